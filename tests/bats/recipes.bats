#!/usr/bin/env bats
# examples/recipes.md: each recipe does what it says.

# shellcheck disable=SC2154,SC2016 # stderr is bats's; scripts in quotes
load helper

setup() {
    test_setup
    PAGE=$BATS_TEST_DIRNAME/../../examples/recipes.md
    # It says how it was started, and what it is told.
    cat >app <<-'END'
		#!/bin/bash
		printf '%s\n' "$PWD" "$@" >"${OUT:=/dev/null}"
		while read -r line; do echo "got $line"; done
		for name in TERM INT QUIT; do trap "echo $name; exit 0" "$name"; done
		sleep 1000 &
		wait
	END
    chmod 755 app .
    mkdir bin
    ln -s ../app bin/app
    PATH=$T/bin:$PATH
}

# recipe TITLE [SED-EXPRESSION...]: the commands of that section, adapted.
recipe() {
    local title=$1 e args=()
    shift
    for e; do args+=(-e "$e"); done
    sed -n "/^## $title\$/,/^## /s/^    //p" "$PAGE" | sed "${args[@]}" -e '' | grep .
}

# end PIDFILE: it ran, and is gone.
end() {
    pidkill -q -0 "$1"
    pidkill -q "$1"
    [[ ! -e $1 ]]
}

@test "each recipe of the page is tried here" {
    diff <(sed -n 's/^## //p' "$PAGE" | sort) \
        <(sed -n 's/^@test "recipe: \(.*\)" {$/\1/p' "$BATS_TEST_FILENAME" | sort)
}

@test "recipe: A file name among the command's arguments" {
    export OUT=$T/out
    eval "$(recipe "A file name among the command's arguments")"
    eventually 10 test -s out
    [[ $(<out) == "$T"$'\n'--config$'\n'app.conf ]]
    end app.pid
}

@test "recipe: A shell's syntax" {
    export OUT=$T/out
    eval "$(recipe "A shell's syntax")"
    eventually 10 test -s out
    [[ $(<out) == "$T/data"$'\n'--verbose ]]
    [[ $(tr '\0' ' ' <"/proc/$(<app.pid)/cmdline") == "/bin/bash ../app --verbose " ]]
    end app.pid
}

@test "recipe: What root must do before the user changes" {
    need_root
    need_namespaces
    need choom
    mkdir jail
    # A container's root may not raise what it has.
    core=-500 files=100000
    choom -n $core -- true 2>/dev/null || core=500
    prlimit --nofile=$files true 2>/dev/null || files=100
    recipe "What root must do before the user changes" "s#/run/#$T/#; s#/srv/jail#$T/jail#; s#-u app#-u nobody#; s#app:app#nobody:nogroup#; s#-500#$core#; s#100000#$files#" >block
    (($(wc -l <block) == 2))
    unshare -m sh -c 'mount --bind / jail && . ./block'
    pid=$(<app.pid)
    [[ $(field "$pid" Uid | cut -f 1) == "$(id -u nobody)" && $(stat_field "$pid" 19) == $(($(nice) - 5)) ]]
    [[ $(<"/proc/$pid/oom_score_adj") == "$core" ]]
    [[ $(sed -n 's/^Max open files  *\([0-9]*\).*/\1/p' "/proc/$pid/limits") == "$files" ]]
    end app.pid
    pid=$(<jail.pid)
    [[ $(field "$pid" Uid | cut -f 1) == "$(id -u nobody)" && $(readlink "/proc/$pid/root") == */jail ]]
    end jail.pid
}

@test "recipe: A command after another one" {
    block=$(recipe "A command after another one")
    run -3 eval "$block"
    [[ $output == "daemonize: nice: pid "*" ended: exit status 127 after "* && ! -e app.pid ]]
    run -0 eval "${block/ -w 1/}"
    [[ -z $output ]]
}

@test "recipe: Output that comes late" {
    need_python
    need stdbuf
    unset PYTHONUNBUFFERED
    printf 'import time\nprint("py")\ntime.sleep(1000)\n' >app.py
    mkfifo in
    block=$(recipe "Output that comes late" "s#python3#$PYTHON#; s#-p c.pid#-i in &#")
    eval "$block"
    echo aha >in
    eventually 10 test -s py.log
    eventually 10 test -s c.log
    [[ $(<py.log) == py && $(<c.log) == bhb ]]
    end py.pid
    end c.pid
    # Without, nothing would have come.
    daemonize -m 022 -c . -p py.pid -o quiet.log "$PYTHON" app.py
    [[ ! -s quiet.log ]]
    end py.pid
}

@test "recipe: A program that reads commands" {
    eval "$(recipe "A program that reads commands")"
    eventually 10 test -s app.log
    echo more >console
    told() { [[ $(<app.log) == "got save all"$'\n'"got more" ]]; }
    eventually 10 told
    alive "$(<app.pid)"
    end app.pid
}

@test "recipe: A service with a pidfile of its own" {
    need_python
    cat >app <<-END
		#!$PYTHON
		import os, signal, sys
		own = sys.argv[2]
		open(own, "w").write("%d\n" % os.getpid())
		signal.signal(signal.SIGTERM, lambda *_: (os.remove(own), sys.exit(0)))
		while True: signal.pause()
	END
    eval "$(recipe "A service with a pidfile of its own" "s#app --pidfile #&$T/#")"
    eventually 10 test -s app.own.pid
    [[ $(<app.own.pid) == $(<app.pid) ]]
    end app.pid
    [[ ! -e app.own.pid ]]
}

@test "recipe: An environment from a file" {
    printf 'PORT=8000\nNAME="two words"\n' >app.env
    eval "$(recipe "An environment from a file" "s#PATH=#PATH=$BIN:$T/bin:#")"
    [[ -z ${PORT:-} ]]
    eventually 10 executed "$(<app.pid)"
    tr '\0' '\n' <"/proc/$(<app.pid)/environ" >environment
    grep -qx PORT=8000 environment
    grep -qx "NAME=two words" environment
    track "$(<clean.pid)"
    eventually 10 executed "$(<clean.pid)"
    [[ $(tr '\0' '\n' <"/proc/$(<clean.pid)/environ" | grep -Ev '^(_|PWD|SHLVL|OLDPWD)=' | sort) == LANG=C$'\n'PATH=* ]]
    end app.pid
    end clean.pid
}

@test "recipe: From a git hook, or a job of Jenkins" {
    need git
    export GIT_DIR=$T/repo.git GIT_INDEX_FILE=$T/index BUILD_ID=17
    git init -q --bare repo.git
    run -0 bash -c "$(recipe "From a git hook, or a job of Jenkins")"
    eventually 10 executed "$(<app.pid)"
    eventually 10 executed "$(<job.pid)"
    not grep -qz '^GIT_\(DIR\|INDEX_FILE\)=' "/proc/$(<app.pid)/environ"
    tr '\0' '\n' <"/proc/$(<job.pid)/environ" | grep -qx BUILD_ID=dontKillMe
    end app.pid
    end job.pid
}

@test "recipe: After the user has logged out" {
    # A logind that knows one user, and what it was asked.
    cat >bin/loginctl <<-'END'
		#!/bin/sh
		echo "$@" >>"$T/asked"
		[ "$1" = enable-linger ] || echo "Linger=$LINGER"
	END
    chmod +x bin/loginctl
    export T USER=app
    block=$(recipe "After the user has logged out")
    LINGER=yes eval "$block"
    LINGER=no eval "$block"
    [[ $(tail -n 2 asked) == "show-user app --property=Linger"$'\n'"enable-linger app" && $(wc -l <asked) -eq 3 ]]
}

@test "recipe: Ready when a port answers" {
    need_python
    need systemd-notify
    port=$((20000 + RANDOM % 10000))
    cat >app <<-END
		#!$PYTHON
		import socket, time
		time.sleep(0.5)
		s = socket.create_server(("127.0.0.1", $port))
		while True: s.accept()
	END
    block=$(recipe "Ready when a port answers" "s#/8000#/$port#")
    eval "$block"
    : <"/dev/tcp/127.0.0.1/$port" || fail "not ready"
    end app.pid
    echo 'exit 1' >app
    run -3 eval "$block"
    [[ ! -e app.pid ]]
}

@test "recipe: Start it again whatever its end was" {
    printf '#!/bin/sh\necho run\n' >app
    eval "$(recipe "Start it again whatever its end was")"
    twice() { [[ $(grep -c '^run$' app.log) -ge 2 ]]; }
    eventually 10 twice
    pidkill -q app.pid
}

@test "recipe: First the master, then what is left" {
    cat >master <<-'END'
		#!/bin/bash
		trap 'echo asked; exit 0' TERM
		(trap 'echo worker; exit 0' TERM; sleep 1000 & wait) &
		echo up
		while :; do wait; done
	END
    chmod +x master
    daemonize -m 022 -p app.pid -o log ./master
    eventually 10 test -s log
    eval "$(recipe "First the master, then what is left")"
    [[ ! -e app.pid && $(<log) == up$'\n'asked$'\n'worker ]]
}

@test "recipe: A pidfile of several lines" {
    daemonize -m 022 -p app.pid app
    { cat app.pid; echo /var/lib/data; echo 5432; } >postmaster.pid
    run -4 pidkill postmaster.pid
    eval "$(recipe "A pidfile of several lines")"
    eventually 10 not alive "$(<app.pid)"
}

@test "recipe: A stop that is not TERM, or takes its time" {
    recipe "A stop that is not TERM, or takes its time" >block
    for name in postgres nginx squid; do
        # A job of a script ignores INT and QUIT, if nobody says otherwise.
        daemonize -m 022 -p "$name.pid" -o "$name.log" bash -c 'for s in TERM INT QUIT; do trap "echo $s; exit" "$s"; done
            echo up; env --default-signal=INT,QUIT sleep 1000 & wait'
        eventually 10 test -s "$name.log"
    done
    SECONDS=0
    eval "$(<block)"
    ((SECONDS < 30)) # the first signal of each is enough
    [[ $(tail -n 1 postgres.log) == INT && $(tail -n 1 nginx.log) == QUIT && $(tail -n 1 squid.log) == TERM ]]
    [[ -z $(ls -- *.pid 2>/dev/null) ]]
}
