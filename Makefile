# procgroup: daemonize, pidkill, pgtree. "make help" lists the targets.

VERSION = 0.1.0
PREFIX  = /usr/local
BINDIR  = $(PREFIX)/bin
MANDIR  = $(PREFIX)/share/man
BASHDIR = $(PREFIX)/share/bash-completion/completions
ZSHDIR  = $(PREFIX)/share/zsh/site-functions
FISHDIR = $(PREFIX)/share/fish/vendor_completions.d

GO          = go
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2

# A program is a directory with a main.go.
PROGRAMS = $(patsubst %/main.go,%,$(wildcard */main.go))
BUILD    = bin
BINARIES = $(PROGRAMS:%=$(BUILD)/%)
MANUALS  = $(wildcard */*.[1-8])
SCRIPTS  = .ci/run tests/need tests/run tests/demo tests/fuzz tests/cover tests/rivals tests/cross tests/model/run \
	tests/kernels/boot tests/kernels/scenario \
	tests/bench/all $(wildcard tests/bench/*.sh) packaging/build packaging/same packaging/test packaging/release-check \
	examples/app.init examples/app.openrc examples/log-syslog examples/log-multilog

# Static, so that one binary serves every distribution. Without VCS stamping,
# which fails in a checkout that belongs to somebody else.
GOBUILD = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false \
	-ldflags '-s -w -X procgroup/internal/posix.Version=$(VERSION)'

.PHONY: build demo test race contexts services fuzz cover bench rivals faults faults-all recycle soak attack scale model model-quick proof lint install uninstall \
	scenario cross cross-build kernels packages packages-same packages-test release-check picture clean help

## build: the three programs, static, in bin/ (the default)
build:
	$(GOBUILD) -o $(BUILD)/ $(PROGRAMS:%=./%)

## demo: start a service, look at it, end it, and see that nothing is left
demo: build
	@tests/demo

## test: go test, then the programs themselves by bats
test: build
	$(GO) test ./...
	tests/run

## race: go test with the race detector, which needs a C compiler
race:
	@tests/need cc:gcc /usr/include/stdio.h:libc6-dev
	CGO_ENABLED=1 $(GO) test -race ./...

## contexts: start daemons from sshd, cron, inetd, at, su, tmux and shells
contexts: build
	@tests/need sshd:openssh-server ssh:openssh-client cron \
		inetd:openbsd-inetd at busybox zsh fish tmux unshare:util-linux
	tests/run tests/contexts/contexts.bats

## services: start and stop redis, nginx, unbound, cron and postgres
services: build
	@tests/need redis-server nginx:nginx-light unbound cron psql:postgresql
	tests/run tests/services/services.bats

## fuzz: every fuzz target for SECONDS (30)
SECONDS = 30
fuzz:
	tests/fuzz $(SECONDS)

## cover: how much of the programs go test and bats run
cover:
	tests/cover

# Programs of their own: as root, each in a PID namespace, where nothing of
# the machine's can be hit and nothing stays behind.
TESTBIN = -bin '$(abspath $(BUILD))'

## faults: a sample of system calls fails, and of moments brings KILL or STOP
faults: build
	$(GO) run ./tests/faults $(TESTBIN) -sample 200

## faults-all: every call fails with every errno, KILL and STOP at every moment
faults-all: build
	$(GO) run ./tests/faults $(TESTBIN)

## recycle: process IDs come round, and nobody signals who bears one by then
recycle: build
	$(GO) run ./tests/recycle $(TESTBIN)

## soak: random starts, stops, kills and worse for SECONDS, all at once
soak: build
	$(GO) run ./tests/soak $(TESTBIN) -seconds $(SECONDS)

## attack: a hostile user against root's starts and stops, for SECONDS
attack: build
	$(GO) run ./tests/attack $(TESTBIN) -seconds $(SECONDS)

## rivals: what other programs do where these promise something, observed
rivals: build
	@tests/rivals

## bench: how fast the programs are, in pairs with others, on this machine
bench: build
	@tests/need cc:gcc /usr/include/stdio.h:libc6-dev strace daemon pstree:psmisc \
		ps:procps start-stop-daemon:dpkg unshare:util-linux /usr/bin/python3:python3
	@tests/bench/all

## scale: a thousand daemons, a group of ten thousand, thirty thousand processes
scale: build
	$(GO) run ./tests/scale $(TESTBIN)

## model: searches the model of the pidfile's protocol, whole and without each check
model:
	@tests/model/run

## model-quick: its small configurations alone, for .ci/run
model-quick:
	@tests/model/run quick

## proof: samples of faults, recycle, soak, attack and scale, for .ci/run
# Of faults always the same one: what that finds is the doing of the change.
proof: build
	$(GO) run ./tests/faults $(TESTBIN) -sample 60 -seed 1
	$(GO) run ./tests/recycle $(TESTBIN)
	$(GO) run ./tests/soak $(TESTBIN) -seconds 15
	$(GO) run ./tests/attack $(TESTBIN) -seconds 15
	$(GO) run ./tests/scale $(TESTBIN) -quick

## scenario: the main promises in plain sh, also with nothing newer than Linux 4.18
scenario: build
	$(GO) build -o .cache/ ./tests/kernels/aid
	@PATH='$(CURDIR)'/bin:'$(CURDIR)'/.cache:"$$PATH" sh -c 'tests/kernels/scenario && aid old tests/kernels/scenario'

## cross: other CPUs: vetted, and run by an emulator; CPUS='386 arm-7 s390x ...'
cross:
	tests/cross $(CPUS)

## cross-build: they build, and one is tested: for .ci/run
cross-build:
	tests/cross -b

# A release of Debian's, with an architecture; or the file of a linux-image
# package, as for the 4.19 of buster where no mirror has that any more.
KERNELS = buster bullseye bookworm trixie sid bullseye/i386 trixie/armhf bookworm/s390x

## kernels: the scenario on Debian's KERNELS, in qemu, a minute each
kernels:
	tests/kernels/boot $(KERNELS)

## lint: format, vet, staticcheck, shellcheck, manuals
lint:
	@tests/need shellcheck mandoc
	@files=$$(gofmt -l .) && test -z "$$files" || { echo "gofmt: $$files" >&2; exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	shellcheck -x -P tests/bats $(SCRIPTS) tests/bats/*.bash tests/*/*.bats completions/*.bash
	mandoc -T lint -W warning $(MANUALS) </dev/null

## install: programs, manuals and completions below PREFIX (/usr/local); DESTDIR for packages
install: $(BINARIES)
	install -d '$(DESTDIR)$(BINDIR)'
	install -m 755 $(BINARIES) '$(DESTDIR)$(BINDIR)'
	for m in $(MANUALS); do \
		install -D -m 644 $$m '$(DESTDIR)$(MANDIR)'/man$${m##*.}/$${m##*/} || exit; done
	for p in $(PROGRAMS); do \
		install -D -m 644 completions/procgroup.bash '$(DESTDIR)$(BASHDIR)'/$$p || exit; done
	install -D -m 644 -t '$(DESTDIR)$(ZSHDIR)' completions/_procgroup
	install -D -m 644 -t '$(DESTDIR)$(FISHDIR)' completions/*.fish

# For install alone: what is built is not built again, as root may have no go.
$(BINARIES) &: $(wildcard */*.go internal/*/*.go) go.mod Makefile
	$(GOBUILD) -o $(BUILD)/ $(PROGRAMS:%=./%)

## uninstall: takes away what install put there
uninstall:
	rm -f $(PROGRAMS:%='$(DESTDIR)$(BINDIR)/%')
	for m in $(MANUALS); do rm -f '$(DESTDIR)$(MANDIR)'/man$${m##*.}/$${m##*/} || exit; done
	rm -f $(PROGRAMS:%='$(DESTDIR)$(BASHDIR)/%') '$(DESTDIR)$(ZSHDIR)/_procgroup' \
		$(PROGRAMS:%='$(DESTDIR)$(FISHDIR)/%.fish')

## packages: .deb, .rpm, .apk and a tarball for each CPU, in dist/
packages:
	VERSION=$(VERSION) packaging/build dist

## packages-same: whether another folder makes the same bytes of them
packages-same: packages
	VERSION=$(VERSION) packaging/same dist

## packages-test: that too, installs one in a new Debian, runs others, removes it
packages-test: packages-same
	@tests/need debootstrap lintian rpm python3 qemu-aarch64-static:qemu-user-static
	VERSION=$(VERSION) packaging/test dist

## release-check: whether version, changelog and manuals agree
release-check: build
	VERSION=$(VERSION) packaging/release-check

## picture: draws docs/pgtree.svg anew, from a real service
picture: build
	PATH='$(CURDIR)'/bin:"$$PATH" unshare --map-root-user --pid --fork --mount-proc \
		python3 docs/picture.py >docs/pgtree.svg.new
	mv docs/pgtree.svg.new docs/pgtree.svg

## clean: removes what was built or fetched here
clean:
	rm -rf bin dist .cache

help:
	@sed -n 's/^## \([a-z-]*\): /\1\t/p' Makefile | expand -t 16
