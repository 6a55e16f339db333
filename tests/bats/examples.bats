#!/usr/bin/env bats
# The examples, as they stand but for names and paths.

load helper

setup() {
    test_setup
    EXAMPLES=$BATS_TEST_DIRNAME/../../examples
    # A service that can reload, and that has a child.
    cat >app <<-'END'
		#!/bin/bash
		trap 'echo reloaded' HUP
		echo "started with $*"
		sleep 1000 &
		while wait; [[ $(jobs -r) ]]; do :; done
	END
    chmod +x app
}

# adapt FILE SED-EXPRESSION...: the example under its name here.
adapt() {
    local file=$1 e args=()
    shift
    for e; do args+=(-e "$e"); done
    sed "${args[@]}" "$EXAMPLES/$file" >"$file"
    chmod +x "$file"
    # Each expression was about something that is there.
    for e; do
        ! sed -e "$e" "$EXAMPLES/$file" | cmp -s - "$EXAMPLES/$file" || fail "$file has nothing for $e"
    done
}

# answers STATUS COMMAND...: it ends with that status.
answers() {
    local want=$1
    shift
    run "$@"
    [[ $status -eq $want ]] || fail "$*: status $status, not $want: $output"
}

in_log() { grep -q "$@"; }

@test "app.init: the actions and statuses of LSB, four lines adapted" {
    adapt app.init "s#^NAME=.*#NAME=svc#" "s#^RUN_AS=.*#RUN_AS=$(id -un)#" \
        "s#^COMMAND=.*#COMMAND='$T/app --config x'#" "s#^LOG=.*#LOG=$T/svc.log#" "s#=/run/#=$T/#"
    answers 3 ./app.init status
    answers 7 ./app.init reload
    answers 0 ./app.init stop
    answers 0 ./app.init try-restart
    answers 3 ./app.init status

    answers 0 ./app.init start
    answers 0 ./app.init status
    first=$(<svc.pid)
    grep -qx "started with --config x" svc.log
    answers 0 ./app.init start
    [[ $(<svc.pid) == "$first" ]]
    answers 0 ./app.init reload
    eventually 30 in_log reloaded svc.log
    alive "$first"

    answers 0 ./app.init restart
    second=$(<svc.pid)
    [[ $second != "$first" ]]
    group_gone "$first"
    answers 0 ./app.init try-restart
    group_gone "$second"
    answers 0 ./app.init force-reload

    # Dead, and the pidfile still there.
    kill -KILL -- "-$(<svc.pid)"
    eventually 30 group_gone "$(<svc.pid)"
    answers 1 ./app.init status
    answers 0 ./app.init stop
    answers 3 ./app.init status

    echo rubbish >svc.pid
    answers 4 ./app.init status
    answers 1 ./app.init start
    answers 1 ./app.init stop
    answers 2 ./app.init nonsense
    rm svc.pid app
    answers 5 ./app.init start
}

@test "app.openrc: the same under openrc-run" {
    need_root
    need openrc-run
    need_namespaces
    mkdir init.d
    adapt app.openrc "s#^name=.*#name=svc#" "s#^run_as=.*#run_as=root#" \
        "s#^command=.*#command='$T/app --config x'#" "s#^log=.*#log=$T/svc.log#" "s#=/run/#=$T/#" \
        "s#daemonize -m#$BIN/daemonize -m#" "s#pidkill -q#$BIN/pidkill -q#"
    mv app.openrc init.d/svc
    # What the boot would have started.
    printf '#!/sbin/openrc-run\nstart() { :; }\n' >init.d/localmount
    chmod +x init.d/*
    cat >actions <<-'END'
		set -e
		mount -t tmpfs none /run
		mkdir -p /run/openrc/{daemons,exclusive,failed,hotplugged,inactive,options,scheduled} \
		    /run/openrc/{started,starting,stopping,tmp,wasinactive}
		: >/run/openrc/softlevel
		mount --bind "$T/init.d" /etc/init.d
		try() {
		    local want=$1 status=0
		    shift
		    /etc/init.d/svc --nocolor "$@" || status=$?
		    [[ $status -eq $want ]] || { echo "$*: status $status, not $want"; exit 1; }
		}
		try 3 status
		try 0 start
		try 0 status
		first=$(<"$T/svc.pid")
		try 0 start
		[[ $(<"$T/svc.pid") == "$first" ]]
		try 0 reload
		until grep -q reloaded "$T/svc.log"; do sleep 0.02; done
		try 0 restart
		[[ $(<"$T/svc.pid") != "$first" ]]
		kill -KILL -- "-$(<"$T/svc.pid")"
		until "$BIN/pidkill" -q -0 "$T/svc.pid"; (($? == 1)); do sleep 0.02; done
		try 32 status
		try 0 zap
		try 0 start
		try 0 stop
		try 3 status
	END
    T=$T BIN=$BIN unshare --mount timeout 300 bash actions
    [[ ! -e svc.pid ]]
}

@test "app.service: systemd finds nothing wrong with it" {
    need systemd-analyze
    adapt app.service "s#/usr/bin/daemonize#$BIN/daemonize#" "s#/usr/bin/pidkill#$BIN/pidkill#" \
        "s#/usr/local/bin/app#$T/app#"
    chmod -x app.service
    run systemd-analyze verify --man=no "$T/app.service"
    [[ $status -eq 0 && ! $output ]] || fail "$output"
}

@test "app.service: what it starts, reloads and stops" {
    need_root # for -u
    # The command lines as systemd would run them: words, no shell.
    words() { read -ra line < <(sed -n "s/^$1=//p" "$EXAMPLES/app.service" |
        sed "s#/usr/bin#$BIN#; s#/run/#$T/#; s#/var/log/#$T/#; s#/usr/local/bin#$T#; s#-u app#-u $TEST_USER#"); }
    chmod 755 .
    words ExecStart
    "${line[@]}"
    pid=$(<app.pid)
    # For Type=forking: what the pidfile names is no child of systemd's command.
    alive "$pid"
    words ExecReload
    "${line[@]}"
    eventually 30 in_log reloaded app.log
    words ExecStop
    "${line[@]}"
    group_gone "$pid"
}

@test "crontab: cron starts it, and starts it again when it is gone" {
    need_root
    need cron
    need_namespaces
    mkdir spool home
    mv app home
    # Five minutes are long to wait, and so is one: each of its two lines has a
    # start of the machine for itself.
    places="s#^PATH=#HOME=$T/home\nPROCGROUP_TEST=$T\nPATH=$BIN:#"
    adapt crontab "$places" '/^\*/d'
    mv crontab spool/root
    adapt crontab "$places" /^@reboot/d 's#^\*/5 \* \* \* \*#@reboot#'
    chmod 600 spool/root crontab
    cat >night <<-'END'
		set -e
		mount -t tmpfs none /run
		mount --bind "$T/spool" /var/spool/cron/crontabs
		comes_up() {
		    rm -f /run/crond.reboot
		    cron -f &
		    until [[ -s $T/home/app.pid ]]; do sleep 0.1; done
		    kill $!
		}
		comes_up
		first=$(<"$T/home/app.pid")
		pidkill "$T/home/app.pid"
		mv "$T/crontab" "$T/spool/root"
		comes_up
		[[ $(<"$T/home/app.pid") != "$first" ]]
	END
    T=$T unshare --mount timeout 400 bash night
    pidkill home/app.pid
}

@test "services.mk: up, again, ps, down" {
    need make
    adapt services.mk "s#python3 -m http.server --bind 127.0.0.1 800.#$T/app#" "s#sleep 5#sleep 0.1#"
    mk() { make -f services.mk "$@"; }
    mk up
    api=$(<run/api.pid) worker=$(<run/worker.pid) web=$(<run/web.pid)
    alive "$api" && alive "$worker" && alive "$web"
    [[ $(readlink "/proc/$api/cwd") == "$T" ]]

    # Up again starts what is missing and nothing else.
    pidkill run/web.pid
    mk up
    [[ $(<run/api.pid) == "$api" && $(<run/worker.pid) == "$worker" ]]
    alive "$(<run/web.pid)"

    mk api-again
    group_gone "$api"
    alive "$(<run/api.pid)"
    mk ps | grep -q "$T/app"

    # One that fails at once makes make fail, and the log says why.
    run mk up api="sh -c 'echo no database; exit 3'"
    [[ $status -eq 0 ]] # it runs
    pidkill run/api.pid
    run mk up api="sh -c 'echo no database; exit 3'"
    [[ $status -ne 0 ]]
    grep -q "no database" run/api.log

    make -f services.mk log >shown 2>&1 &
    eventually 30 in_log "started with" shown
    kill "$!"
    mk down
    [[ ! -e run/api.pid && ! -e run/web.pid && ! -e run/worker.pid ]]
}

free_port() {
    "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

@test "ready.py: the port is open when daemonize returns" {
    need_python
    cp "$EXAMPLES/ready.py" .
    port=$(free_port)
    daemonize -n 30 -p ready.pid -o ready.log -c . "$PYTHON" ready.py "$port"
    # At once, no second try.
    "$PYTHON" -c 'import sys, urllib.request; urllib.request.urlopen("http://127.0.0.1:%s/ready.py" % sys.argv[1])' "$port"

    # The port is taken: it fails, and says so.
    run --separate-stderr daemonize -n 30 -p other.pid -o other.log -c . "$PYTHON" ready.py "$port"
    [[ $status -eq 3 && ! -e other.pid ]]
    grep -q "Address already in use" other.log
    pidkill ready.pid

    # Without anybody who waits for READY=1.
    daemonize -p ready.pid -o ready.log "$PYTHON" "$T/ready.py" "$port"
    pidkill ready.pid
}

@test "log-syslog: what it writes arrives at syslog, to the last line" {
    need logger
    need_python
    # The real logger, but a socket of the test's own instead of /dev/log.
    mkdir bin
    printf '#!/bin/sh\nexec %s --socket %s "$@"\n' "$(command -v logger)" "$T/log" >bin/logger
    chmod +x bin/logger
    daemonize -p syslog.pid -o received -c . "$PYTHON" -u -c '
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("log")
while True:
    print(s.recv(4096).decode())'
    eventually 30 test -S log
    PATH=$T/bin:$PATH "$EXAMPLES/log-syslog" svc sh -c 'echo first; echo last >&2; exec sleep 1000'
    eventually 30 in_log "svc.*: first" received
    eventually 30 in_log "svc.*: last" received
    pidkill svc.pid syslog.pid
}

@test "log-multilog: what it writes stands in the directory, with times" {
    need multilog
    "$EXAMPLES/log-multilog" svc sh -c 'echo first; echo last >&2; exec sleep 1000'
    eventually 30 test -e svc.logs/current
    eventually 30 in_log '^@4[0-9a-f]* last$' svc.logs/current
    pidkill svc.pid
    nothing_left || eventually 30 nothing_left # multilog reads to the end
    grep -q '^@4[0-9a-f]* first$' svc.logs/current
}

@test "app.logrotate: rotates under the daemon, which writes on" {
    need logrotate
    adapt app.logrotate "s#/var/log/#$T/#" "s#^    weekly#    hourly#"
    sed -i 's/^    delaycompress//; s/^    compress//' app.logrotate
    chmod 600 app.logrotate
    # shellcheck disable=SC2016 # for the shell inside
    daemonize -p app.pid -o app.log sh -c 'i=0; while :; do echo $((i += 1)); sleep 0.05; done'
    eventually 30 test -s app.log
    (($(id -u))) || chown root app.logrotate
    logrotate --force --state "$T/state" app.logrotate
    grep -qx 1 app.log.1
    # Its next lines come to the beginning of the file: no hole of zeros.
    eventually 30 test -s app.log
    run ! grep -qx 1 app.log
    [[ $(tr -d '0-9\n' <app.log | wc -c) -eq 0 ]]
    pidkill app.pid
}

# machines: what runs where the machines are, for the next test.
machines() {
    set -euo pipefail
    page=$1
    # command TOOL WORD: the command of that tool's section that has the word.
    command_of() {
        sed -n "/^## With .*$1/,/^## /s/^    //p" "$page" | grep -m 1 -- "$2"
    }
    # gives STATUS TOOL WORD: it ends with that status. Its output is in shown.
    gives() {
        local status=0
        (eval "$(command_of "$2" "$3")") >shown 2>errors || status=$?
        [[ $status -eq $1 ]] || {
            echo "$2, $3: status $status, not $1"
            cat shown errors
            exit 1
        } >&2
    }
    eval "$(command_of pdsh export)"
    for tool in pdsh parallel; do
        # pdsh says the largest status, parallel how many were not 0.
        one() { if [[ $tool == pdsh ]]; then echo "$1"; else echo 1; fi; }
        all() { if [[ $tool == pdsh ]]; then echo "$1"; else echo 3; fi; }
        printf '%s\n' web1 web2 web3 >hosts

        gives "$(all 3)" "$tool" "pidkill -0"
        gives 0 "$tool" daemonize
        gives 0 "$tool" "pidkill -0"
        [[ $(grep -Ec 'web[123][^ ]*.*app.pid: running \(group [0-9]+\)' shown) -eq 3 ]]
        gives "$(all 1)" "$tool" daemonize
        grep -q "already running" errors || grep -q "already running" shown

        gives 0 "$tool" "pgtree -J"
        [[ $(wc -l <shown) -eq 3 ]]
        [[ $(sed 's/^[^{]*//' shown | jq -s 'map(.sessions[0].processes | length) | add') -eq 6 ]]
        gives 0 "$tool" "pidkill app.pid"
        gives "$(all 3)" "$tool" "pidkill -0"

        # One where it ends at once, one without it, one machine that is down.
        echo web4 >>hosts
        sed -i '2i exit 1' web2/app
        mv web3/app web3/away
        gives "$(all 255)" "$tool" daemonize
        cat errors >>shown
        grep -q 'web2.*ended' shown
        grep -q 'web3.*not found\|web3.*no such file' shown
        [[ $tool != pdsh ]] || grep -q 'web3.*exit code 127' shown
        mv web3/away web3/app
        sed -i 2d web2/app
        gives "$(one 255)" "$tool" "pidkill app.pid"
    done

    printf '%s\n' web1 web2 web3 >hosts
    gives 0 parallel daemonize
    eval "$(sed -n '/^What runs where/,/^## /s/^    //p' "$page")" >shown
    [[ $(grep -c $'^web[123]\t[0-9]*\t.*app' shown) -eq 3 ]]
    [[ $(grep -c $'^web[123]\t[0-9]*\tsleep 1000$' shown) -eq 3 ]]
    gives 0 parallel "pidkill app.pid"
}

@test "many-machines.md: pdsh and parallel start, list and stop; the statuses" {
    need_root
    need_namespaces
    need ip sshd ssh ssh-keygen pdsh parallel jq
    for host in web1 web2 web3; do
        mkdir "$host"
        cp app "$host"
    done
    export BIN HOME=$T
    mkdir .parallel
    : >.parallel/will-cite
    timeout 500 bash "$BATS_TEST_DIRNAME/hosts.bash" "$T" \
        bash -c "$(declare -f machines); machines '$EXAMPLES/many-machines.md'"
}
