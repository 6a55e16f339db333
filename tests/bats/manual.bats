#!/usr/bin/env bats
# The manuals: that they name the options there are, and that their examples
# do what they say.

load helper

setup() {
    test_setup
    ROOT=$BATS_TEST_DIRNAME/../..
    expected=()
}

# Each source of options prints lines "-p --pidfile ARG", sorted; the argument
# is there or not.
of_help() {
    "$1" --help | sed -nE 's/^  (-.), (--[^ ]+)( [A-Z].*)?  .*/\1 \2\3/p; s/^  (-.), (--[^ ]+)( [A-Z]\S*)?$/\1 \2\3/p' |
        sed -E 's/^(\S+ \S+) .*/\1 ARG/' | sort
}

# Both forms of mdoc: "Fl x , -long Ar arg" and "Fl x Ar arg , Fl \-long Ar arg".
of_manual() {
    sed -n '/^\.It Fl/ { s/Fl //g; s/\\-/-/g; p }' "$ROOT/$1/$1.1" |
        sed -nE 's/^\.It (.)( Ar .*)? , -([^ ]+)( Ar.*)?$/-\1 --\3\4/p' |
        sed -E 's/ Ar.*/ ARG/' | sort
}

of_zsh() {
    sed -n "/^_procgroup_$1()/,/^}/p" "$ROOT/completions/_procgroup" |
        sed -nE "s/.*\{(-.)(\+?),(--[^=}]+)=?\}.*/\1 \3 \2/p" | sed 's/+$/ARG/; s/ $//' | sort
}

of_fish() {
    sed -nE "s/^complete .* -s (\S+) -l (\S+)( -[xr])?.*/-\1 --\2\3/p" "$ROOT/completions/$1.fish" |
        sed -E 's/ -[xr]$/ ARG/' | sort
}

# takes PROGRAM OPTION: "ARG" or nothing, or that the program does not know it.
takes() {
    run "$1" "$2"
    case $output in
    *"needs an argument"*) echo " ARG" ;;
    *"unknown option"*) echo " unknown" ;;
    esac
}

# The program, which decides: all letters are tried. The long name of one is
# what the help says, if the program takes both alike.
of_program() {
    local letter long arg
    for letter in {a..z} {A..Z} {0..9}; do
        arg=$(takes "$1" "-$letter")
        [[ $arg != " unknown" ]] || continue
        long=$("$1" --help | sed -nE "s/^  -$letter, (--[^ ]+).*/\1/p")
        [[ $(takes "$1" "$long") == "$arg" ]] || long="no $long"
        echo "-$letter $long$arg"
    done | sort
}

agree() {
    of_program "$1" >program
    [[ $(wc -l <program) -gt 10 ]]
    diff program <(of_help "$1")
    diff program <(of_manual "$1")
    diff program <(of_zsh "$1")
    diff program <(of_fish "$1") # bash reads --help
}

@test "daemonize: program, help, manual and completions name the same options" { agree daemonize; }
@test "pidkill: program, help, manual and completions name the same options" { agree pidkill; }
@test "pgtree: program, help, manual and completions name the same options" { agree pgtree; }

# The default is 0, which few commands are made for.
@test "every example says -m 022" {
    cd "$ROOT"
    grep -E '(^|[^:.[:alnum:]])daemonize -' README.md docs/*.[0-9] docs/picture.py daemonize/*.1 pidkill/*.1 pgtree/*.1 examples/* tests/demo |
        grep -v 'Ql daemonize -s$' >"$T/found"
    [[ $(wc -l <"$T/found") -gt 20 ]]
    run -1 grep -v -e 'daemonize -m 0' "$T/found"
    [[ -z $output ]] || fail "$output"
}

# examples FILE: the commands of its EXAMPLES, as a reader would copy them. A
# line "--" stands between those that do not belong together.
examples() {
    awk '
        /^\.Sh/ { here = $2 == "EXAMPLES"; next }
        !here { next }
        /^\.Bd/ { print "--"; block = 1; next }
        /^\.Ed/ { block = 0; next }
        /^\.Dl/ { if (!lines) print "--"; lines = 1; sub(/^\.Dl /, ""); print; next }
        block { print; next }
        { lines = 0 }' "$1" |
        sed 's/^\$ //; s/\\(dq/"/g; s/\\(aq/'\''/g; s/\\(ga/`/g; s/\\-/-/g; s/\\&//g; s/\\e/\\/g'
}

# run_examples FILE: each block on a machine of its own, which has a user app,
# the service /usr/bin/app and, in the directory, ./app and ./backup. The first
# daemon, where the manual is about one that runs, is started by "before".
# A line ends with status 0, unless expected says otherwise, by its number.
run_examples() {
    need_root
    need_python
    need_namespaces
    need jq
    stage
    local line block='' blocks=0 number=0
    while IFS= read -r line; do
        if [[ $line == -- ]]; then
            on_machine "$block"
            block=
            ((blocks += 1))
        else
            block+="try ${expected[number += 1]:-0} ${line@Q}"$'\n'
        fi
    done < <(examples "$1"; echo --)
    ((blocks > 1))
}

stage() {
    cat >app <<-END
		#!$PYTHON
		import os, signal, socket, subprocess
		signal.signal(signal.SIGHUP, lambda *_: print("reloaded", flush=True))
		signal.signal(signal.SIGUSR1, lambda *_: print("log", flush=True))
		subprocess.Popen(["sleep", "1000"])
		path = os.environ.get("NOTIFY_SOCKET")
		if path:
		    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", path)
		while True:
		    signal.pause()
	END
    cp app backup
    chmod 755 . app backup
    cat >machine <<-'END'
		set -e
		# Whatever is written goes to memory, and with the machine.
		mount -t tmpfs none /mnt
		mkdir /mnt/{root,upper,work}
		mount -t overlay none -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
		for dir in /dev /sys "$BIN" "$T"; do mount --rbind "$dir" "/mnt/root$dir"; done
		mount -t proc none /mnt/root/proc
		mount -t tmpfs none /mnt/root/run
		cd /mnt/root
		cp "$T/app" usr/bin/app
		echo app:x:64000:64000::/:/bin/sh >>etc/passwd
		echo app:x:64000: >>etc/group
		mkdir -p srv/here
		cp "$T/app" "$T/backup" srv/here
		ls >/mnt/before
		PATH=$BIN:$PATH
		chroot . bash -c 'cd /srv/here && exec bash "$T/block"'
		# The daemon's directory is /: has a relative name meant that one? A
		# logger ends after what feeds it.
		chroot . sh -c "pidkill -q srv/here/*.pid; while pgtree -n -o args | grep -q '[m]ultilog'; do sleep 0.02; done"
		ls | diff /mnt/before -
	END
    cat >block-begin <<-'END'
		try() {
		    local status=0
		    eval "$2" >"$T/shown" 2>"$T/errors" || status=$?
		    echo "[$status] $2"
		    cat "$T/shown" "$T/errors"
		    [[ $status -eq $1 ]] || exit 1
		    [[ $status -ne 0 || $2 != pgtree* || -s $T/shown ]] || exit 1
		}
	END
}

on_machine() {
    [[ $1 ]] || return 0
    { cat block-begin; echo "$before"; echo "$1"; } >block
    T=$T BIN=$BIN timeout 300 unshare --mount --pid --fork --kill-child bash machine || fail "in the block above"
}

@test "daemonize(1): the examples do what they say" {
    need multilog
    before=
    run_examples "$ROOT/daemonize/daemonize.1"
}

@test "pidkill(1): the examples do what they say" {
    before='daemonize -p /run/app.pid app'
    # But for the number, which nobody knows beforehand.
    sed 's/4711/"$(cat \/run\/app.pid)"/' "$ROOT/pidkill/pidkill.1" >pidkill.1
    run_examples pidkill.1
}

@test "pgtree(1): the examples do what they say" {
    before='daemonize -u app -p /run/app.pid app; daemonize -u www-data sleep 1000'
    run_examples "$ROOT/pgtree/pgtree.1"
}

@test "procgroup(7): the examples do what they say" {
    before='set -m' expected=([6]=1)
    run_examples "$ROOT/docs/procgroup.7"
}
