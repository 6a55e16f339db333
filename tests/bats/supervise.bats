#!/usr/bin/env bats
# daemonize -s, -r, -R and '|command': the supervisor and the loggers.
#
# ROUNDS is how many rounds the kill test makes (40 by default).

load helper

setup() {
    test_setup
    log=$T/app.log
}

# supervise [OPTION...] -- COMMAND...: starts it with the pidfile and the log.
# Sets pid and supervisor.
supervise() {
    daemonize -s -p app.pid -o "$log" "$@" || return
    pid=$(<app.pid)
    supervisor=$(stat_field "$pid" 4)
    [[ $(<"/proc/$supervisor/comm") == daemonize ]]
}

# logged PATTERN...: the log has that many lines, and they match.
logged() {
    local lines pattern
    [[ -e $log ]] || return
    mapfile -t lines <"$log"
    ((${#lines[@]} == $#)) || return
    for pattern; do
        [[ ${lines[0]} =~ ^daemonize:\ $pattern$ ]] || return
        lines=("${lines[@]:1}")
    done
}

# over: the supervisor has ended, and the pidfile with it.
over() { ! alive "$supervisor" && [[ ! -e app.pid ]]; }

# restarted: the pidfile names another living command than pid.
restarted() {
    local now
    now=$(<app.pid) && [[ $now != "$pid" ]] && alive "$now"
}

is_free() { flock -n "$1" true; }
is_locked() { not is_free "$1"; }

seconds='after [0-9]+\.[0-9] s'

@test "-s: the supervisor leads the session, the command its group" {
    supervise sleep 1000
    [[ $(stat_field "$supervisor" 5) == "$supervisor" ]]
    [[ $(stat_field "$supervisor" 6) == "$supervisor" ]]
    [[ $(stat_field "$supervisor" 7) == 0 ]]
    [[ $(stat_field "$pid" 5) == "$pid" ]]
    [[ $(stat_field "$pid" 6) == "$supervisor" ]]
    is_locked app.pid
    pidkill app.pid
    over
}

@test "-s: says how it ended, removes the pidfile and ends" {
    mkfifo go
    supervise sh -c "read -r x <'$T/go'; exit 3"
    [[ ! -s $log ]]
    echo >go
    eventually 10 over
    logged "sh: pid $pid ended: exit status 3 $seconds"
}

@test "-s: waits until the group is empty" {
    mkfifo end go
    supervise sh -c "cat '$T/go' & read -r x <'$T/end'; exit 0"
    echo >end
    eventually 10 logged "sh: pid $pid ended: exit status 0 $seconds"
    alive "$supervisor"
    [[ $(<app.pid) == "$pid" ]]
    run daemonize -p app.pid sleep 1000
    [[ $status -eq 1 ]]
    true >go
    eventually 10 over
}

@test "-s: no descriptor of the caller's but -k, before and after a restart" {
    supervise -r -k 7 sleep 1000 5</etc/passwd 7</etc/group 60>other
    for process in "$supervisor" "$pid"; do
        links=$(readlink "/proc/$process/fd"/*)
        [[ $links != *passwd* && $links != *other* ]]
        [[ $(readlink "/proc/$process/fd/7") == /etc/group ]]
    done
    before=$(fds "$pid")
    kill "$pid"
    eventually 10 restarted
    [[ $(fds "$(<app.pid)") == "$before" ]]
    [[ $before =~ ^0\ 1\ 2\ 7\ 5[0-9]$ ]]
    pidkill app.pid
}

@test "-s: the caller's pipes see their end at once" {
    # shellcheck disable=SC2016 # for the inner shell
    run timeout 20 bash -c 'out=$(daemonize -s -p app.pid sleep 1000 4>&1 70>&1 2>&1); echo "$?:$out"'
    [[ $output == 0: ]]
    run timeout 20 bash -c 'daemonize -s -o "|cat >/dev/null" sh -c "read x" 2>&1 | cat'
    [[ $status -eq 0 ]]
    pidkill app.pid
}

@test "-s: failures reach the caller with the statuses that they have without" {
    echo text >script.txt
    for s in "" -s "-s -r"; do
        # shellcheck disable=SC2086 # words
        try() { run --separate-stderr daemonize $s -p app.pid "$@"; }
        # shellcheck disable=SC2086 # words
        run -127 --separate-stderr daemonize $s -p app.pid "$T/missing"
        [[ $stderr == "daemonize: $T/missing: command not found"* ]]
        try "$T/script.txt"
        [[ $status -eq 126 ]]
        try -o "$T/no/such" sleep 1000
        [[ $status -eq 125 ]]
        try -w 20 sh -c 'exit 7'
        [[ $status -eq 3 && $stderr =~ ended:\ exit\ status\ 7\ $seconds ]]
        try -n 20 sh -c 'kill -KILL $$'
        [[ $status -eq 3 && $stderr == *"killed by SIGKILL"* ]]
        try -n 0.1 sleep 1000
        [[ $status -eq 124 ]]
        [[ ! -e app.pid ]]
    done
}

@test "-s: a start that fails leaves no zombie to an init that reaps nobody" {
    need_python
    for command in /no/such "sh -c false"; do
        # It becomes a subreaper, waits for daemonize alone, and must be without a child then.
        # shellcheck disable=SC2086 # words
        run_it "$PYTHON" -c '
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
status = subprocess.call(sys.argv[1:])
try:
    print("left:", os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print(status)' daemonize -s -w 100 $command
        [[ $output == @(127|3) ]] || fail "$output"
    done
}

@test "-s -w and -n return when the command runs" {
    supervise -w 0.1 sleep 1000
    pidkill app.pid
    over

    need_python
    # shellcheck disable=SC2016 # Python's
    supervise -n 20 "$PYTHON" -c '
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)'
    pidkill app.pid
    over
}

@test "-s -n: the next run is not told of a socket that is gone" {
    need_python
    cat >app.py <<'END'
import os, socket, sys, time
path = os.environ.get("NOTIFY_SOCKET")
print(path is not None, flush=True)
if path:
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", path)
time.sleep(1000)
END
    supervise -r -n 20 "$PYTHON" "$T/app.py"
    kill -KILL "$pid"
    eventually 10 restarted
    eventually 10 grep -qx False "$log"
    [[ $(grep -cx True "$log") -eq 1 ]]
    pidkill app.pid
}

@test "-s -u: the supervisor stays the caller, the command is the user" {
    need_root
    id=$(id -u "$TEST_USER")
    supervise -r -u "$TEST_USER" -o "|cat >/dev/null" sh -c 'echo hello >/dev/stdout; exec sleep 1000'
    [[ $(stat -c %u "/proc/$supervisor") -eq 0 && $(stat -c %u "/proc/$pid") == "$id" ]]
    kill "$pid"
    eventually 10 restarted
    pid=$(<app.pid)
    [[ $(stat -c %u "/proc/$pid") == "$id" ]]
    [[ $(stat -c %u app.pid) -eq 0 ]]
    pidkill app.pid
}

# told N: so many lines in the logs that have numbers as names.
told() { [[ $(cat "$T"/[0-9]* | wc -l) -eq $1 ]]; }

@test "every exit status is told right" {
    for ((n = 0; n < 256; n++)); do
        daemonize -s -o "$T/$n" sh -c "exit $n"
    done
    eventually 60 told 256
    for ((n = 0; n < 256; n++)); do
        [[ $(<"$T/$n") =~ ^daemonize:\ sh:\ pid\ [0-9]+\ ended:\ exit\ status\ $n\ $seconds$ ]] ||
            fail "$n: $(<"$T/$n")"
    done
}

@test "every signal is told right" {
    ulimit -c 0
    fatal=()
    for n in {1..31} {34..64}; do
        case $n in
        17 | 18 | 19 | 20 | 21 | 22 | 23 | 28) ;; # ignored by default, or stop
        *) fatal+=("$n") ;;
        esac
    done
    for n in "${fatal[@]}"; do
        daemonize -s -o "$T/$n" sh -c "kill -$n \$\$"
    done
    eventually 60 told "${#fatal[@]}"
    for n in "${fatal[@]}"; do
        name=$(kill -l "$n")
        case $n in # bash counts the upper half down from RTMAX, and has other names
        16) name=STKFLT ;;
        29) name=IO ;;
        3[5-9] | 4? | 5? | 6[0-3]) name="RTMIN\\+$((n - 34))" ;;
        esac
        [[ $(<"$T/$n") =~ ^daemonize:\ sh:\ pid\ [0-9]+\ ended:\ killed\ by\ SIG$name(\ \(core\ dumped\))?\ $seconds$ ]] ||
            fail "$n: $(<"$T/$n")"
    done
}

@test "-r: started again after 0, 1, 2 s, and given up after -R failures" {
    supervise -r -R 4 sh -c "until [ -e '$T/go' ]; do sleep 0.02; done; date +%s%N >>'$T/starts'; exit 9"
    : >go
    eventually 30 over
    ended="sh: pid [0-9]+ ended: exit status 9 $seconds"
    logged "$ended; starting it again" "$ended; starting it again in 1 s" \
        "$ended; starting it again in 2 s" "$ended; giving up"
    mapfile -t starts <starts
    [[ ${#starts[@]} -eq 4 ]]
    ((starts[1] - starts[0] < starts[2] - starts[1])) # at once: a busy machine makes both longer
    ((starts[2] - starts[1] >= 1000000000))
    ((starts[3] - starts[2] >= 2000000000))
}

@test "-r: status 0 is the end, a plain kill is a failure" {
    mkfifo go
    supervise -r sh -c "read -r x <'$T/go'"
    kill "$pid"
    eventually 10 restarted
    first=$pid pid=$(<app.pid)
    echo >go
    eventually 10 over
    logged "sh: pid $first ended: killed by SIGTERM $seconds; starting it again" \
        "sh: pid $pid ended: exit status 0 $seconds"
}

@test "pidkill ends a supervisor that cannot notice that its command has ended" {
    supervise -r sleep 1000
    kill -STOP "$supervisor"
    kill -KILL "$pid"
    eventually 20 not alive "$pid"
    run --separate-stderr pidkill -0 app.pid
    [[ $status -eq 0 && $output == "app.pid: running (supervisor $supervisor)" ]]
    run --separate-stderr pidkill app.pid
    [[ $status -eq 0 ]]
    over
}

@test "-r: what is left of the group is ended first, by KILL if need be" {
    supervise -r sh -c "
        (trap 'echo TERM >>$T/got; exit' TERM; while :; do sleep 0.05; done) &
        (trap '' TERM; echo \"\$PPID\" >>$T/stubborn; while :; do sleep 0.05; done) &
        while [ ! -s $T/stubborn ]; do sleep 0.01; done
        exec sleep 1000"
    eventually 10 test -s stubborn
    kill -KILL "$pid"
    eventually 20 test -s got
    # Five seconds lie between the signals, unless this was longer in coming.
    [[ $(<app.pid) == "$pid" && -n $(group_members "$pid") ]] || restarted
    eventually 20 restarted
    group_gone "$pid"
    pidkill -9 app.pid
    over
}

@test "-r: a command that cannot be executed again counts as a failure" {
    cp "$(command -v sleep)" app
    supervise -r -R 3 "$T/app" 1000
    rm app
    kill "$pid"
    eventually 20 over
    logged "$T/app: pid $pid ended: killed by SIGTERM $seconds; starting it again" \
        "$T/app: .*; starting it again in 1 s" "$T/app: .*; giving up"
}

@test "-r: an input file is read from its beginning each time" {
    echo first >input
    # shellcheck disable=SC2016 # for the inner shell
    supervise -r -i "$T/input" sh -c 'read -r x; echo "got $x"; exec sleep 1000'
    eventually 10 grep -qx 'got first' "$log"
    kill "$pid"
    eventually 10 restarted
    twice() { [[ $(grep -cx 'got first' "$log") -eq 2 ]]; }
    eventually 10 twice
    pidkill app.pid
}

@test "-r: a reader of the pidfile never meets an empty or partial one" {
    need_python
    supervise -r sh -c 'exec sleep 1000'
    # The PIDs read, one line each; it ends when the pidfile goes.
    "$PYTHON" -c '
import sys
last = None
while True:
    try:
        with open("app.pid") as f: text = f.read()
    except FileNotFoundError:
        break
    if text != last:
        if not (text.strip().isdigit() and text.endswith("\n")): print("bad", repr(text))
        elif last is None or text.strip() != last.strip(): print(text.strip(), flush=True)
        last = text' >seen &
    reader=$!
    expected=$pid
    for n in 1 2 3; do
        eventually 10 grep -qx "$pid" seen
        kill -KILL "$pid"
        eventually 10 restarted
        pid=$(<app.pid)
        expected+=$'\n'$pid
    done
    eventually 10 grep -qx "$pid" seen
    pidkill app.pid
    wait "$reader"
    [[ $(<seen) == "$expected" ]]
}

# in_pause: brings the supervisor between two runs, with a second to go.
in_pause() {
    supervise -r "$@" sleep 1000
    kill "$pid"
    eventually 10 restarted
    pid=$(<app.pid)
    kill "$pid"
    eventually 10 grep -q 'again in 1 s$' "$log"
}

@test "a second start says 1 while it runs, and between two runs" {
    in_pause
    run --separate-stderr daemonize -p app.pid sleep 1000
    [[ $status -eq 1 && $stderr == *"already running (its supervisor, pid $supervisor, "* ]]
    eventually 10 restarted
    run --separate-stderr daemonize -p app.pid sleep 1000
    [[ $status -eq 1 && $stderr == *"already running (pid $(<app.pid))" ]]
    pidkill app.pid
}

@test "pidkill -0 says that it runs when the supervisor has not yet noticed the command's end" {
    supervise -r sleep 1000
    kill -STOP "$supervisor"
    eventually 20 state_is "$supervisor" T
    kill -KILL "$pid"
    eventually 20 state_is "$pid" Z
    run --separate-stderr pidkill -0 app.pid
    kill -CONT "$supervisor"
    [[ $status -eq 0 && $output == "app.pid: running (supervisor $supervisor)" && -z $stderr ]]
    eventually 10 restarted
    pidkill app.pid
    over
}

@test "pidkill ends command and supervisor, with and without -r" {
    for r in "" -r; do
        # shellcheck disable=SC2086 # nothing, or a word
        supervise $r sh -c 'sleep 1000 & wait'
        run --separate-stderr pidkill app.pid
        [[ $status -eq 0 && -z $output$stderr ]]
        over
        group_gone "$pid"
    done
}

@test "pidkill ends a supervisor between two runs" {
    in_pause
    run --separate-stderr pidkill app.pid
    [[ $status -eq 0 && -z $output$stderr ]]
    over
    rm "$log"

    in_pause
    run pidkill -9 app.pid
    [[ $status -eq 0 ]]
    over
}

@test "pidkill ends what a supervisor that it ended had not yet ended itself" {
    supervise -r sh -c "
        (trap '' TERM; echo >$T/stubborn; while :; do sleep 0.05; done) &
        while [ ! -s $T/stubborn ]; do sleep 0.01; done
        exec sleep 1000"
    eventually 10 test -s stubborn
    kill "$pid"
    eventually 10 grep -q again "$log"
    run pidkill -t 0.5 app.pid
    [[ $status -eq 0 ]]
    group_gone "$pid"
    over
}

@test "pidkill -s reaches the command's group and nobody else" {
    supervise -r -o "|trap 'echo HUP >>$T/logger' HUP; cat >$T/out" \
        sh -c "trap 'echo HUP >>$T/got' HUP; echo >$T/set; while :; do sleep 0.05; done"
    eventually 10 test -e set
    pidkill -s HUP app.pid
    eventually 10 test -s got
    alive "$supervisor"
    [[ $(<app.pid) == "$pid" && ! -e logger ]]
    pidkill app.pid
}

@test "signals that are meant for the command leave the supervisor alone" {
    supervise -r sleep 1000
    for sig in HUP QUIT USR2; do kill -s "$sig" "$supervisor"; done
    kill "$pid"
    eventually 10 restarted
    for sig in HUP QUIT USR2; do kill -s "$sig" "$supervisor"; done
    kill -STOP "$supervisor"
    kill -CONT "$supervisor"
    alive "$supervisor"
    pidkill app.pid
    over
}

@test "-r: asked by USR1 it starts the command no more" {
    supervise -r sleep 1000
    kill -s USR1 "$supervisor"
    alive "$pid"
    kill -KILL "$pid"
    eventually 10 over
    logged "sleep: pid $pid ended: killed by SIGKILL $seconds; not starting it again, as it is being stopped"
}

@test "TERM and INT end the supervisor and its command" {
    for sig in TERM INT; do
        supervise -r sh -c 'sleep 1000 & wait'
        kill -s "$sig" "$supervisor"
        eventually 10 over
        group_gone "$pid"
    done
}

@test "TERM ends it between two runs" {
    in_pause
    kill "$supervisor"
    eventually 10 over
}

@test "TERM ends it while it waits for the group, and while it ends that" {
    mkfifo end go
    supervise sh -c "cat '$T/go' & read -r x <'$T/end'; exit 0"
    echo >end
    eventually 10 grep -q ended "$log"
    kill "$supervisor"
    eventually 10 over
    group_gone "$pid"
    rm "$log"

    # One that takes two TERMs to end.
    supervise -r sh -c "
        (n=0; trap 'n=\$((n + 1)); echo \$n >>$T/got; [ \$n -lt 2 ] || exit' TERM
        echo >$T/set; while :; do sleep 0.05; done) &
        while [ ! -e $T/set ]; do sleep 0.01; done
        exec sleep 1000"
    eventually 10 test -e set
    kill -KILL "$pid"
    eventually 10 test -s got
    kill "$supervisor"
    eventually 10 over
    group_gone "$pid"
    [[ $(<got) == 1$'\n'2 ]]
}

@test "an interrupted start leaves nothing, or all of it" {
    for n in {0..24}; do
        daemonize -s -p app.pid sleep 1000 &
        start=$!
        read -rt "0.00$((n / 10))$((n % 10))5" <> <(:) || :
        kill "$start" 2>/dev/null || :
        status=0
        wait "$start" || status=$?
        case $status in
        0)
            alive "$(<app.pid)"
            pidkill app.pid
            ;;
        143)
            [[ ! -e app.pid || ! -s app.pid ]]
            is_free app.pid
            rm -f app.pid
            ;;
        *) fail "status $status" ;;
        esac
    done
}

@test "an interrupted -w ends all of it" {
    daemonize -s -r -w 100 -p app.pid sleep 1000 &
    start=$!
    eventually 10 test -s app.pid
    pid=$(<app.pid)
    kill "$start"
    status=0
    wait "$start" || status=$?
    [[ $status -eq 143 && ! -e app.pid ]]
    not alive "$pid"
}

@test "KILL of the supervisor leaves a locked daemon that pidkill ends" {
    supervise -r -o "|cat >$T/out" sh -c 'sleep 1000 & wait'
    kill -KILL "$supervisor"
    eventually 10 not alive "$supervisor"
    alive "$pid"
    is_locked app.pid
    run daemonize -p app.pid sleep 1000
    [[ $status -eq 1 ]]
    run --separate-stderr pidkill app.pid
    echo "$stderr"
    [[ $status -eq 0 && -z $stderr && ! -e app.pid ]]
    group_gone "$pid"
}

@test "KILL of the supervisor between the start and the pidfile's change" {
    need strace
    supervise -r sleep 1000
    strace -f -qq -o /dev/null -e inject=pwrite64:delay_enter=20000000 -p "$supervisor" 2>attached &
    tracer=$!
    traced() { [[ $(field "$supervisor" TracerPid) != 0 ]]; }
    eventually 10 traced || skip "may not trace"
    kill "$pid"
    new() { session_members "$supervisor" | grep -vx -e "$supervisor" -e "$pid"; }
    eventually 10 new >/dev/null
    [[ $(<app.pid) == "$pid" ]]
    second=$(session_members "$supervisor" | grep -vx "$supervisor")
    eventually 10 is_named "$second" sleep
    kill -KILL "$supervisor"
    kill -KILL "$tracer" # it would go on delaying a thread of the dead
    wait "$tracer" || :
    eventually 10 not alive "$supervisor"

    alive "$second"
    run daemonize -p app.pid sleep 1000
    [[ $status -eq 1 ]]
    run pidkill -0 app.pid
    [[ $status -eq 0 ]]
    run --separate-stderr pidkill app.pid
    [[ $status -eq 0 && -z $stderr && ! -e app.pid ]]
    not alive "$second"
}

@test "a pidfile that was removed is not written to again" {
    supervise -r sleep 1000
    rm app.pid
    daemonize -p app.pid sleep 1000
    kill "$pid"
    eventually 10 not alive "$supervisor"
    logged "sleep: pid $pid ended: killed by SIGTERM $seconds; not starting it again, as the pidfile is gone"
    alive "$(<app.pid)"
    pidkill app.pid
}

@test "orphans are reaped, and no zombie stays" {
    supervise sh -c "for i in 1 2 3 4 5; do sh -c 'setsid sh -c \"echo \\\$\\\$ >>$T/orphans; sleep 0.3\" & exit'; done
        exec sleep 1000"
    five() { [[ $(wc -l <orphans) -eq 5 ]]; }
    eventually 10 test -e orphans
    eventually 10 five
    for orphan in $(<orphans); do
        parent=$(stat_field "$orphan" 4) || continue
        [[ $parent == "$supervisor" ]]
    done
    alone() { [[ $(ps -o pid= --ppid "$supervisor" | tr -d ' ') == "$pid" ]]; }
    eventually 10 alone
    pidkill app.pid
}

@test "the supervisor is small and still" {
    supervise -r -w 0.2 sleep 1000
    # Anonymous memory: the program file's own pages may not be on disk yet.
    used() { sed -n 's/^Anonymous: *\([0-9]*\) kB/\1/p' "/proc/$supervisor/smaps_rollup"; }
    switches() { cat "/proc/$supervisor/task"/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'; }
    [[ $(used) -le 1024 ]]
    # Nothing in two seconds. Should the once-a-minute look of Go's monitor
    # fall into them: nothing in the next two.
    still() {
        local before
        before=$(switches)
        sleep 2
        [[ $(switches) == "$before" ]]
    }
    eventually 20 still
    pidkill app.pid
}

# The output to a program.

@test "'|command': gets every byte of a command that is killed" {
    for s in "" -s; do
        # shellcheck disable=SC2086 # nothing, or a word
        daemonize $s -p app.pid -o "|cat >$T/out" sh -c 'seq 200000; kill -KILL $$'
        complete() { [[ $(tail -n 1 out) == 200000 || $(grep -c '^[0-9]*$' out) -eq 200000 ]]; }
        eventually 30 complete
        grep '^[0-9]*$' out | cmp - <(seq 200000)
        # It ends by the end of file.
        eventually 10 nothing_left
        rm -f out app.pid
    done
}

@test "'|command': a group of its own, the same user, none of the locks" {
    user=() id=$EUID
    ((EUID)) || { user=(-u "$TEST_USER") id=$(id -u "$TEST_USER"); }
    for s in "" -s; do
        # shellcheck disable=SC2086 # nothing, or a word
        daemonize $s "${user[@]}" -l lock -p app.pid -e "|exec tr a b >/dev/null" sleep 1000 8</etc/passwd
        pid=$(<app.pid)
        sid=$(stat_field "$pid" 6)
        logger=
        found() {
            for logger in $(session_members "$sid"); do
                [[ $(<"/proc/$logger/comm") == tr ]] && return
            done
            return 1
        }
        eventually 10 found
        [[ $(stat_field "$logger" 5) == "$logger" ]]
        [[ $(stat -c %u "/proc/$logger") == "$id" ]]
        [[ $(fds "$logger") == "0 1 2" ]]
        [[ $(readlink "/proc/$logger/fd/0") == "$(readlink "/proc/$pid/fd/2")" ]]
        [[ $(readlink "/proc/$pid/fd/1") == /dev/null ]]
        run --separate-stderr pidkill app.pid
        [[ $status -eq 0 && -z $stderr ]]
        eventually 10 nothing_left
        rm -f lock
    done
}

@test "'|command': one program for each stream" {
    mkfifo go
    supervise -o "|sed 's/^/out: /' >$T/one" -e "|sed 's/^/err: /' >$T/two" sh -c "echo a; echo b >&2; read -r x <'$T/go'; exit 4"
    echo >go
    eventually 10 over
    [[ $(<one) == "out: a" ]]
    [[ $(<two) =~ ^"err: b"$'\n'"err: daemonize: sh: pid $pid ended: exit status 4 "$seconds$ ]]
}

@test "'|command': one that dies is started again, and the pipe lost nothing" {
    mkfifo go
    # Each logger reads one line, byte by byte as sh does, and dies: not before
    # daemonize has returned, or the start would fail.
    supervise -o "|read -r x; echo \"\$x\" >>$T/out; kill -KILL \$\$" \
        sh -c "read -r x <$T/go; echo 1; echo 2; echo 3; exec sleep 1000"
    echo >go
    # What the supervisor says of each goes there too.
    three() { [[ $(grep -v ^daemonize: out) == 1$'\n'2$'\n'3 ]]; }
    eventually 20 test -e out
    eventually 30 three
    pidkill app.pid
    over
}

@test "'|command': one that does not read stops neither a restart nor the end" {
    supervise -r -o "|echo \$\$ >>$T/reader; exec sleep 1000" \
        sh -c "head -c 65536 /dev/zero; echo >'$T/full'; exec sleep 1000"
    eventually 10 test -e full # as a pipe is with so much: pipe(7)
    kill -KILL "$pid"
    eventually 20 restarted
    kill "$supervisor"
    eventually 20 over
    [[ $(wc -l <reader) -eq 1 ]]
    kill "$(<reader)"
}

# sequence FILE...: checks the lines "RUN NUMBER" of two runs: in each, every
# number once and in order; the second is whole.
sequence() {
    cat "$@" | grep -v '^daemonize: ' | awk -v total="$total" '
        { if ($2 != next_[$1] + 1) { print "after " next_[$1] " of run " $1 ": " $0; bad = 1; exit 1 }
          next_[$1] = $2 }
        END { if (!bad && next_[2] != total) { print "run 2 ended with " next_[2]; exit 1 }
              if (!bad) print next_[1] }'
}

# through_a_kill LOGGER: feeds it a run that is killed in the middle and a
# whole one; then sets written to what the first wrote for certain.
through_a_kill() {
    cat >writer.py <<'END'
import os, signal, sys
lines, state = int(sys.argv[1]), sys.argv[2]
run = 2 if os.path.exists(state) else 1
progress = os.open(state, os.O_RDWR | os.O_CREAT)
# A write of up to PIPE_BUF bytes is in the pipe whole or not at all.
for first in range(1, lines + 1, 250):
    last = min(first + 249, lines)
    os.write(1, b"".join(b"%d %d\n" % (run, n) for n in range(first, last + 1)))
    if run == 1:
        os.pwrite(progress, b"%d\n" % last, 0)
        if last >= lines // 2:
            signal.pause() # for KILL
END
    supervise -r -o "|$1" "$PYTHON" "$T/writer.py" "$total" "$T/state"
    far() { [[ -s state && $(<state) -ge $((total / 3)) ]]; }
    eventually 60 far
    kill -KILL "$pid"
    eventually 60 over
    written=$(<state)
    ((written < total)) || fail "killed too late"
}

@test "a million lines to multilog, through a KILL and a restart" {
    need_python
    need multilog
    total=1000000
    through_a_kill "exec multilog s16777215 n20 $T/logs"
    [[ $(sequence logs/*) -ge $written ]]
}

@test "a million lines to s6-log, through a KILL and a restart" {
    need_python
    need s6-log
    total=1000000
    through_a_kill "exec s6-log n20 s10000000 $T/logs"
    [[ $(sequence logs/*) -ge $written ]]
}

@test "logger(1) to a syslog socket, through a KILL and a restart" {
    need_python
    need logger
    total=20000
    "$PYTHON" -c '
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("devlog")
with open("messages", "wb", 0) as out:
    while True:
        text = s.recv(65536)
        if text == b"end": break
        out.write(text.split(b"app: ", 1)[-1].rstrip(b"\n\0") + b"\n")' &
    syslog=$!
    eventually 10 test -S devlog
    through_a_kill "exec logger -u $T/devlog -t app"
    "$PYTHON" -c 'import socket
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"end", "devlog")'
    wait "$syslog"
    [[ $(sequence messages) -ge $written ]]
}

@test "logrotate's copytruncate works with a plain file" {
    need logrotate
    cat >rotate.conf <<END
$log {
    copytruncate
    rotate 5
    nocompress
}
END
    chmod 644 rotate.conf
    for s in "" -s; do
        # shellcheck disable=SC2016,SC2086 # for the inner shell; nothing, or a word
        daemonize $s -p app.pid -o "$log" sh -c 'n=0; while :; do echo $((n += 1)); done'
        for _ in 1 2 3; do
            more() { [[ $(stat -c %s "$log") -gt 1000 ]]; }
            eventually 20 more
            # What is written between the copy and the cut would be lost.
            pidkill -s STOP app.pid
            stopped() { [[ $(stat_field "$(<app.pid)" 3) == T ]]; }
            eventually 10 stopped
            logrotate -f -s rotate.state rotate.conf
            pidkill -s CONT app.pid
            eventually 20 test -s "$log"
        done
        pidkill app.pid
        # The numbers of all parts, one after the other, and no hole.
        cat app.log.3 app.log.2 app.log.1 "$log" | grep -v '^daemonize: ' | awk '$0 != NR { print NR ": " $0; exit 1 }'
        rm -f "$log"* rotate.state
    done
}

@test "supervisor and command killed at random moments" {
    need_python
    need flock
    run "$PYTHON" "$BATS_TEST_DIRNAME/rounds.py" "${ROUNDS:-40}"
    echo "$output"
    [[ $status -eq 0 ]]
}

@test "-r: after a deploy the next run is the new program, in the new directory, with the new log" {
    for n in 1 2; do
        mkdir -p "releases/$n/log"
        printf '#!/bin/sh\necho "%s in $(pwd -P)"\necho "PWD $PWD" >&2\nexec sleep 1000\n' $n >"releases/$n/app"
        chmod 755 "releases/$n/app"
    done
    users=("")
    ((EUID)) || users+=("-u $TEST_USER")
    for user in "${users[@]}"; do
        for command in ./current/app app; do
            ln -sfn releases/1 current
            # shellcheck disable=SC2086 # words
            PWD=$PWD PATH=$T/current:$PATH daemonize -s -r $user -p app.pid -c current -o current/log/out -e current/log/err $command
            pid=$(<app.pid)
            supervisor=$(stat_field "$pid" 4)
            eventually 10 test -s releases/1/log/out
            eventually 10 test -s releases/1/log/err
            ln -sfn releases/2 current
            kill "$pid"
            eventually 10 restarted
            eventually 10 test -s releases/2/log/out
            eventually 10 grep -q PWD releases/2/log/err
            [[ $(<releases/1/log/out) == "1 in $T/releases/1" && $(<releases/2/log/out) == "2 in $T/releases/2" ]]
            [[ $(grep PWD releases/2/log/err) == "PWD $T/releases/2" ]]
            [[ $(readlink "/proc/$supervisor/cwd") != "$T" ]]
            pidkill app.pid
            eventually 10 over
            rm releases/*/log/*
        done
    done
}

@test "-r: relative parts of PATH are the caller's directories at a restart too" {
    mkdir sub
    printf '#!/bin/sh\nexec sleep 1000\n' | tee app >sub/app
    chmod 755 app sub/app
    users=("")
    ((EUID)) || users+=("-u $TEST_USER")
    for user in "${users[@]}"; do
        for part in . "" sub; do
            # shellcheck disable=SC2086 # words
            PATH=$part:$PATH daemonize -s -r -R 2 $user -p app.pid -o "$log" app
            pid=$(<app.pid)
            kill "$pid"
            eventually 10 restarted || fail "$user $part: $(<"$log")"
            eventually 10 executed "$(<app.pid)" sleep
            [[ $(tr '\0' ' ' <"/proc/$(<app.pid)/environ") == *"PATH=$part:$PATH "* ]]
            pidkill app.pid
        done
    done
}

@test "-r: what the names do not lead to at a restart is a failure like others, until they do" {
    mkdir dir logs
    supervise -r -R 9 -c dir -e logs/log sleep 1000
    mv dir away
    kill "$pid"
    eventually 10 grep -q "dir: no such file or directory; starting it again" logs/log
    mv away dir
    eventually 20 restarted
    pid=$(<app.pid)
    mv logs/log logs/old
    mv logs away
    kill "$pid"
    eventually 10 grep -q "log: no such file or directory; starting it again" away/old
    mv away logs
    eventually 20 restarted
    pidkill app.pid
    eventually 10 over
    grep -q "ended: killed by SIGTERM" logs/log
}

@test "-s: a log that was renamed is held by nobody after HUP and a restart" {
    supervise -r -e ./app.log sleep 1000
    mv app.log app.log.1
    kill -HUP "$supervisor"
    eventually 10 test -e app.log
    kill "$pid"
    eventually 10 restarted
    run --separate-stderr find "/proc/$supervisor/fd" "/proc/$(<app.pid)/fd" -lname "*/app.log.1"
    [[ -z $output ]] || fail "$output"
    pidkill app.pid
}

@test "-s -n: HUP before the command is ready opens the logs anew" {
    need_python
    mkfifo go
    # shellcheck disable=SC2016 # for the inner shell
    daemonize -s -n 100 -p app.pid -o "$log" sh -c 'read -r x <"$1"; "$2" -c "
import os, socket
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b\"READY=1\", os.environ[\"NOTIFY_SOCKET\"])"
        exec sleep 1000' sh "$T/go" "$PYTHON" &
    start=$!
    eventually 10 grep -qs "[0-9]" app.pid
    mv "$log" renamed
    supervisor=$(stat_field "$(<app.pid)" 4)
    kill -HUP "$supervisor"
    timeout 10 sh -c 'echo >go'
    wait "$start"
    eventually 10 test -e "$log"
    pidkill app.pid
    eventually 10 grep -q "ended: killed by SIGTERM" "$log"
}

@test "-s: HUP to the supervisor opens the logs anew, for its lines and the next run" {
    for both in "-o log" "-o out -e log" "-o '|cat >/dev/null' -e log" "-o log -e ./log"; do
        eval daemonize -s -r -p app.pid "$both" sh -c "'echo run >&2; exec sleep 1000'"
        pid=$(<app.pid)
        supervisor=$(stat_field "$pid" 4)
        eventually 10 grep -q run log
        mv log log.1
        kill -HUP "$supervisor"
        eventually 10 test -e log
        kill "$pid"
        eventually 10 restarted
        eventually 10 grep -q run log
        grep -q "ended: killed by SIGTERM" log
        [[ $(<log.1) == run ]]
        [[ $(readlink "/proc/$(<app.pid)/fd/2") == "$T/log" ]]
        [[ "$both" != "-o log"* || $(readlink "/proc/$(<app.pid)/fd/1") == "$T/log" ]]
        pidkill app.pid
        eventually 10 over
        rm -f log log.1
        # Without -r there is no next run.
        eval daemonize -s -p app.pid "$both" sh -c "'echo run >&2; exec sleep 1000'"
        pid=$(<app.pid)
        supervisor=$(stat_field "$pid" 4)
        eventually 10 grep -q run log
        mv log log.1
        kill -HUP "$supervisor"
        eventually 10 test -e log
        # One that cannot be opened is said, and the old one goes on.
        mv log log.1
        mkdir log
        kill -HUP "$supervisor"
        eventually 10 grep -q "log: is a directory" log.1
        pidkill app.pid
        eventually 10 over
        [[ $(tail -n 1 log.1) == "daemonize: sh: pid $pid ended: killed by SIGTERM after "* ]]
        rm -rf log log.1
    done
}
