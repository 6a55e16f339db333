#!/usr/bin/env bats
# pidkill: each promise of its manual, from outside.

load helper

setup() {
    test_setup
    need_python
    prey=("$PYTHON" "$BATS_TEST_DIRNAME/prey.py")
}

# Groups end by number, whatever a test left of them.
teardown() {
    end_all
    test_teardown
}

# --- What the tests are made of ---

# start WORD...: runs it as a daemon with app.pid, waits until it says that it
# is ready, and sets pid.
start() {
    daemonize -t -p app.pid -o ready "$@"
    pid=$(<app.pid)
    eventually 10 grep -q ready ready
}

# start_sleeper [FILE]: a daemon that dies on TERM. Sets pid.
start_sleeper() {
    daemonize -p "${1:-app.pid}" sleep 1000
    pid=$(<"${1:-app.pid}")
}

# own_group WORD...: runs it in the background as the leader of its group,
# without a pidfile's lock. Sets pid.
own_group() {
    # Without the descriptors of bats, which waits for their end.
    set -m
    "$@" </dev/null >"$T/out" 2>&1 3>&- &
    pid=$!
    set +m
}

# deaf_sleepers PID N: so many in the group are sleep and ignore TERM.
deaf_sleepers() {
    local member n=0
    for member in $(group_members "$1"); do
        [[ $(field "$member" Name) == sleep && $((16#$(field "$member" SigIgn) & 1 << 14)) -ne 0 ]] && n=$((n + 1))
    done
    [[ $n -eq $2 ]]
}

# sleepers: the test's processes of that name. (The programs of the test itself
# come and go, and carry its mark as well.)
sleepers() {
    local pid
    for pid in $(survivors); do
        [[ $(field "$pid" Name) != sleep ]] || echo "$pid"
    done
}

# expect STATUS [MESSAGE [OUTPUT]]: of the last run; patterns, nothing by default.
expect() {
    # shellcheck disable=SC2053,SC2154 # patterns; run sets them
    if [[ $status -ne $1 || $stderr != ${2-} || $output != ${3-} ]]; then
        echo "status $status, wanted $1"
        echo "stderr: $stderr"
        echo "stdout: $output"
        return 1
    fi
}

run_it() { run --separate-stderr "$@"; }

# milliseconds since some time.
clock() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# within MS COMMAND...: it took no longer.
within() {
    local limit=$1 began
    began=$(clock)
    shift
    "$@"
    local took=$(($(clock) - began))
    ((took <= limit)) || fail "took $took ms, allowed are $limit"
}

# injected OPTION... -- COMMAND...: under strace, threads included, but not
# what it starts.
injected() {
    strace -f -b execve -o "$T/trace" "$@"
}

# --- Ending a group ---

@test "ends a daemon, removes its pidfile, and says nothing" {
    start_sleeper
    run_it pidkill app.pid
    expect 0
    group_gone "$pid"
    [[ ! -e app.pid ]]
}

@test "-v says what is done" {
    start_sleeper
    run_it pidkill -v app.pid
    expect 0 "pidkill: app.pid: TERM sent to group $pid
pidkill: app.pid: group $pid is gone after 0.? s
pidkill: app.pid: removed"
}

@test "the leader exits on TERM, a member ignores it: KILL reaches the member" {
    daemonize -p app.pid sh -c '(trap "" TERM; exec sleep 1000) & exec sleep 1000'
    pid=$(<app.pid)
    eventually 10 deaf_sleepers "$pid" 1
    run_it pidkill -v -t 0.5 app.pid
    expect 0 "*TERM sent*KILL sent*gone*removed"
    group_gone "$pid"
    [[ ! -e app.pid ]]
}

@test "the leader is gone before the start: its group still ends" {
    daemonize -p app.pid sh -c 'sleep 1000 & sleep 1000 & echo ready; exec sleep 0.1' >ready
    pid=$(<app.pid)
    eventually 20 reaped "$pid"
    [[ $(group_members "$pid" | wc -l) -eq 2 ]]
    run_it pidkill app.pid
    expect 0
    group_gone "$pid"
    [[ ! -e app.pid ]]
}

@test "a classic double fork: the group is that of a process that does not lead it" {
    daemonize -m 022 -c "$T" sh -c 'sleep 1000 & echo $! >app.pid; sleep 1000 & echo $! >other'
    eventually 10 test -s other
    pid=$(<app.pid)
    leader=$(stat_field "$pid" 5)
    eventually 10 not alive "$leader"
    run_it pidkill app.pid
    expect 0
    not alive "$pid"
    not alive "$(<other)"
    [[ ! -e app.pid ]]
}

@test "a process that a live script started, and leads nothing: only it ends" {
    own_group bash -c 'sleep 1000 & echo $! >app.pid; sleep 1000 & echo $! >other; wait; sleep 1000'
    script=$pid
    eventually 10 test -s other
    pid=$(<app.pid)
    run_it pidkill app.pid
    expect 0 "pidkill: app.pid: process $pid does not lead its group, $script (bash, user *) does: only that process is meant"
    eventually 20 not alive "$pid"
    alive "$script"
    alive "$(<other)"
    [[ ! -e app.pid ]]
}

@test "a stopped member gets CONT after TERM" {
    start_sleeper
    kill -STOP "$pid"
    eventually 20 state_is "$pid" T
    within 15000 pidkill -t 20 app.pid
    group_gone "$pid"
}

@test "a schedule with STOP does not undo it" {
    start "${prey[@]}" count "$T/log"
    run_it pidkill -r STOP/0.1/HUP/0.1 app.pid
    expect 3 "*still alive*"
    eventually 20 grep -q CONT log
    [[ $(<log) == *HUP* && $(grep -c CONT log) -eq 1 ]]
}

@test "a fork chain that forks faster than it can be listed is ended" {
    need strace
    own_group "${prey[@]}" chain app.pid
    eventually 10 test -s app.pid
    pid=$(<app.pid)
    # A listing takes the longer, and never meets the one that lives.
    run_it timeout 60 strace -f -o trace -e trace=getpgid -e inject=getpgid:delay_enter=200 pidkill -v -t 0.5 app.pid
    expect 0 "*TERM sent*KILL sent*gone*"
    group_gone "$pid"
}

@test "a fork chain whose first process is gone is ended" {
    own_group "${prey[@]}" chain app.pid 0
    eventually 10 test -s app.pid
    pid=$(<app.pid)
    eventually 20 reaped "$pid"
    within 15000 run_it pidkill -v -t 0.5 -g "$pid"
    expect 0 "*TERM sent*KILL sent*gone*"
    group_gone "$pid"
}

@test "members that fork while they are waited for are ended too" {
    daemonize -p app.pid bash -c 'trap "sleep 1000 & sleep 1000 &" TERM; while :; do sleep 0.05; done'
    pid=$(<app.pid)
    run_it pidkill -t 0.5 app.pid
    expect 0
    group_gone "$pid"
}

@test "a group of zombies that nobody reaps is gone at once" {
    own_group "${prey[@]}" zombies app.pid
    eventually 10 test -s app.pid
    within 10000 run_it pidkill -t 20 app.pid
    expect 0 "pidkill: app.pid: not running"
    [[ ! -e app.pid ]]
}

@test "a member that its parent never reaps counts as gone, within moments" {
    "$PYTHON" -c '
import os, signal, time
pid = os.fork()
if pid == 0:
    time.sleep(1000)
os.setpgid(pid, pid)
open("app.pid", "w").write("%d\n" % pid)
time.sleep(1000)' </dev/null >/dev/null 2>&1 3>&- &
    eventually 10 test -s app.pid
    pid=$(<app.pid)
    within 10000 run_it pidkill -t 20 app.pid
    expect 0
    state_is "$pid" Z
    [[ ! -e app.pid ]]
}

@test "a zombie leader with living members: they are ended" {
    "$PYTHON" -c '
import os, time
leader = os.fork()
if leader == 0:
    os.setpgid(0, 0)
    os.fork() and os._exit(0)
    time.sleep(1000)
os.waitid(os.P_PID, leader, os.WEXITED | os.WNOWAIT)
open("app.pid", "w").write("%d\n" % leader)
time.sleep(1000)' </dev/null >/dev/null 2>&1 3>&- &
    eventually 10 test -s app.pid
    pid=$(<app.pid)
    state_is "$pid" Z
    [[ -n $(group_members "$pid") ]]
    run_it pidkill app.pid
    expect 0
    group_gone "$pid"
}

@test "what survives is listed, status 3, and the pidfile stays" {
    need_linux 5.3 "pidfds, whose signals strace can lose"
    need strace
    start_sleeper
    # As for a process in an uninterruptible wait, the signals do nothing.
    run_it injected -e trace=pidfd_send_signal -e inject=pidfd_send_signal:retval=0 -- pidkill -r KILL/0.2 app.pid
    expect 3 "pidkill: app.pid: group $pid: still alive: $pid (sleep, user *)"
    [[ $(<app.pid) == "$pid" ]]
    alive "$pid"
}

@test "the leader is reaped between reading and signalling: that is success" {
    need strace
    own_group sleep 1000
    echo "$pid" >app.pid
    injected -e trace=pidfd_open -e inject=pidfd_open:delay_exit=1000000:when=1 -- pidkill app.pid 2>err 3>&- &
    it=$!
    eventually 10 grep -q pidfd_open trace
    kill -KILL "$pid"
    wait "$pid" || :
    wait "$it"
    [[ ! -e app.pid ]]
}

@test "where the leader's exit empties the group nobody scans /proc" {
    need_linux 6.9 "a pidfd that tells of being reaped"
    need strace
    start_sleeper
    track "$pid"
    # A parent that is slow to reap makes it look again, which this one may be
    # too when the machine is busy: once is enough.
    without_a_scan() {
        "$PYTHON" -c '
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
leader = os.fork()
if leader == 0:
    os.setpgid(0, 0)
    os.execvp("sleep", ["sleep", "1000"])
while os.getpgid(leader) != leader:
    pass
open("b.pid", "w").write("%d\n" % leader)
killer = subprocess.Popen(["strace", "-f", "-o", "trace", "pidkill", "b.pid"])
os.waitpid(leader, 0)
sys.exit(killer.wait())' 3>&-
        [[ ! -e b.pid ]] && grep -q 'pidfd_send_signal.*SIGTERM' trace && not grep -q '"/proc", ' trace
    }
    eventually 30 without_a_scan
}

# --- Options ---

@test "-t and -9: how long until KILL" {
    start "${prey[@]}" count "$T/log"
    within 5000 pidkill -9 app.pid
    not grep -q TERM log
    start "${prey[@]}" count "$T/log"
    run_it pidkill -v -t 0.3 app.pid
    expect 0 "*TERM sent*KILL sent*gone after 0.[3-9] s*"
    group_gone "$pid"
}

@test "-r forever repeats what follows it" {
    start "${prey[@]}" count "$T/log"
    pidkill -r HUP/0.1/forever/USR1/0.05 app.pid 3>&- &
    it=$!
    three() { [[ $(grep -c USR1 log) -ge 3 ]]; }
    eventually 10 three
    [[ $(grep -c HUP log) -eq 1 ]]
    alive "$it"
    kill -KILL "$pid"
    wait "$it"
    [[ ! -e app.pid ]]
}

@test "-s sends one signal to the daemon's process and does nothing else; -a to its group" {
    daemonize -p app.pid -c "$T" -o ready sh -c '"$@" log1 & exec "$@" log2' - "${prey[@]}" count
    pid=$(<app.pid)
    two_ready() { [[ $(grep -c ready ready) -eq 2 ]]; }
    eventually 10 two_ready
    run_it pidkill -s hup app.pid
    expect 0
    eventually 20 grep -q HUP log2
    [[ $(<log2) == HUP && ! -s log1 && -e app.pid ]]
    run_it pidkill -as USR1 app.pid
    expect 0
    eventually 20 grep -q USR1 log1
    eventually 20 grep -q USR1 log2
    [[ $(<log2) == HUP$'\n'USR1 && $(<log1) == USR1 ]]
    alive "$pid"

    # The process is gone, its group lives: a reload has nobody to go to.
    kill -KILL "$pid"
    eventually 20 reaped "$pid"
    run_it pidkill -s HUP app.pid
    expect 4 "pidkill: app.pid: process $pid is gone, its group lives: -a reaches it"
    run_it pidkill -ns HUP app.pid
    expect 4 "*-a reaches it"
    run_it pidkill -as HUP app.pid
    expect 0
    eventually 20 grep -q HUP log1
    run_it pidkill -9 app.pid
    expect 0
    group_gone "$pid"

    run_it pidkill -s HUP app.pid
    expect 1 "pidkill: app.pid: not running (no such file)"
}

@test "-0 tells whether it runs, by status 0, 1, 3 and 4" {
    start_sleeper
    run_it pidkill -0 app.pid
    expect 0 "" "app.pid: running (group $pid)"
    kill -KILL "$pid"
    eventually 10 not alive "$pid"
    run_it pidkill -0 app.pid
    expect 1 "pidkill: app.pid: not running"
    [[ -e app.pid ]]
    run_it pidkill -0 none.pid
    expect 3 "pidkill: none.pid: not running (no such file)"
    echo rubbish >bad.pid
    run_it pidkill -0 bad.pid
    expect 4 "pidkill: bad.pid: not a pidfile*"
    run_it pidkill -q0 none.pid
    expect 3
}

@test "-m: not running is status 1" {
    run_it pidkill none.pid
    expect 0 "pidkill: none.pid: not running (no such file)"
    run_it pidkill -m none.pid
    expect 1 "pidkill: none.pid: not running (no such file)"
    start_sleeper
    run_it pidkill -m app.pid
    expect 0
}

@test "-n says who would get what, and does nothing" {
    start "${prey[@]}" count "$T/log"
    run_it pidkill -n -t 3 app.pid
    expect 0 "" "app.pid: would send TERM/3/KILL/5 to group $pid: $pid (python3*, user *)"
    run_it pidkill -n -s HUP app.pid
    expect 0 "" "app.pid: would send HUP to process $pid: $pid (python3*, user *)"
    run_it pidkill -n -a -s HUP app.pid
    expect 0 "" "app.pid: would send HUP to group $pid: $pid (python3*, user *)"
    [[ ! -s log && $(<app.pid) == "$pid" ]]
    alive "$pid"
}

@test "-n names twenty, and says how many more" {
    own_group sh -c 'for i in $(seq 24); do sleep 1000 & done; wait'
    echo "$pid" >app.pid
    all_there() { [[ $(group_members "$pid" | wc -w) -eq 25 ]]; }
    eventually 10 all_there
    run_it pidkill -n app.pid
    expect 0 "" "app.pid: would send * to group $pid: $pid (sh, user *), * and 5 more"
    [[ $(grep -o ', user' <<<"$output" | wc -l) -eq 20 ]]
    run_it pidkill -9 app.pid
    expect 0
}

@test "-g: by the group's number, leader or not" {
    start_sleeper
    run_it pidkill -g "$pid"
    expect 0
    group_gone "$pid"
    run_it pidkill -g "$pid"
    expect 0 "pidkill: $pid: not running"
    run_it pidkill -g 0
    expect 4 "pidkill: 0: refused: no process group that may be ended"
    run_it pidkill -g -- -5
    expect 2 "pidkill: -5: not a process group ID"$'\n'*
    run_it pidkill "$pid"
    expect 2 "pidkill: $pid: a number: did you mean -g $pid?"$'\n'*
    daemonize -p "$pid" sleep 1000 # a pidfile all the same
    run_it pidkill "$pid"
    expect 0
    own_group sh -c 'sleep 1000 & echo $! >member; wait'
    eventually 10 test -s member
    run_it pidkill -g "$(<member)"
    expect 4 "pidkill: $(<member): process $(<member) leads no group: it is in group $pid"
    run_it pidkill -g "$pid"
    expect 0

    daemonize -p app.pid sh -c 'sleep 1000 & exec sleep 0.1'
    pid=$(<app.pid)
    eventually 20 reaped "$pid"
    run_it pidkill -g "$pid"
    expect 0
    group_gone "$pid"
}

@test "-L: the process alone" {
    daemonize -p b.pid -c "$T" sh -c 'sleep 1000 & echo $! >member; exec sleep 1000'
    pid=$(<b.pid)
    eventually 10 test -s member
    run_it pidkill -L b.pid
    expect 0 "pidkill: b.pid: not removed: it still runs (group $pid, whose leader is gone)"
    not alive "$pid"
    alive "$(<member)"
    [[ $(<b.pid) == "$pid" ]]
    # So a second daemon does not start beside what is left of the first.
    run daemonize -p b.pid sleep 1000
    [[ $status -eq 1 ]]

    # The same where the clock alone tells, or does not: the second member is
    # younger than the pidfile.
    for begin in : 'sleep 1'; do
        daemonize -p c.pid -c "$T" bash -c 'for fd in {3..63}; do eval "exec $fd>&-"; done
            '"$begin"'; sleep 1000 & echo $! >second; exec sleep 1000'
        eventually 20 test -s second
        run_it pidkill -L c.pid
        expect 0 "pidkill: c.pid: not removed: *"
        alive "$(<second)"
        pidkill -q -g "$(<c.pid)"
        rm c.pid second
    done

    eventually 20 reaped "$pid"
    # It is gone: no other member is meant.
    echo "$pid" >b.pid
    run_it pidkill -L b.pid
    expect 4 "pidkill: b.pid: process $pid is gone, its group lives: without -L it is ended"
    alive "$(<member)"
}

@test "the plain call names whoever left the group; -T and -S reach them" {
    daemonize -p app.pid -c "$T" "${prey[@]}" escape all
    eventually 10 test -s all
    { read -r pid && read -r group && read -r session; } <all
    run_it pidkill app.pid
    expect 0 "pidkill: app.pid: left the group and still runs (pidkill -g $group $session ends it): $group (*, $session (*"
    not alive "$pid"
    alive "$group"
    alive "$session"
    kill -KILL "$group" "$session"
    rm all

    daemonize -p app.pid -c "$T" "${prey[@]}" escape all
    eventually 10 test -s all
    { read -r pid && read -r group && read -r session; } <all
    run_it pidkill -S app.pid
    expect 0 # whatever session has the lock that daemonize made, it is of the daemon
    not alive "$group"
    not alive "$session"
    rm all

    daemonize -p app.pid -c "$T" "${prey[@]}" escape all
    eventually 10 test -s all
    { read -r pid && read -r group && read -r session; } <all
    run_it pidkill -T app.pid
    expect 0
    for pid in "$pid" "$group" "$session"; do not alive "$pid"; done
    [[ ! -e app.pid ]]
}

@test "an orphan in another group of the session is named, and -S reaches it" {
    # What starts in the same tick as the daemon could be its logger.
    script='sleep 0.05; set -m; (sleep 1000 & echo $! >orphan); sleep 1000 & touch complete; exec sleep 1000'
    daemonize -p app.pid -c "$T" bash -c "$script"
    eventually 10 test -e complete
    orphan=$(<orphan)
    run_it pidkill app.pid
    expect 0 "*left the group and still runs (pidkill -g * ends it): $orphan (sleep*"
    alive "$orphan"
    kill -KILL "$orphan"
    rm complete

    daemonize -p app.pid -c "$T" bash -c "$script"
    eventually 10 test -e complete
    orphan=$(<orphan)
    run_it pidkill -S app.pid
    expect 0
    not alive "$orphan"
}

@test "a child that left a group as large as the rest of the machine is named" {
    need_root
    need_namespaces
    # shellcheck disable=SC2016 # for the shell that is init there
    run_it unshare --pid --fork --kill-child --mount-proc sh -c '
        daemonize -p app.pid sh -c "setsid sleep 1001 & for i in $(seq -s" " 20); do sleep 1000 & done; wait"
        for i in $(seq 100); do [ "$(pgrep -c "^sleep$")" = 21 ] && break; sleep 0.1; done
        pgrep -f "^sleep 1001" >escapee
        pidkill app.pid'
    expect 0 "pidkill: app.pid: left the group and still runs (pidkill -g $(<escapee) ends it): $(<escapee) (sleep, user root)"
}

@test "other jobs of a shared session are none of its business" {
    own_group sleep 1000
    other=$pid
    own_group sh -c 'sleep 1000 & wait'
    echo "$pid" >app.pid
    run_it pidkill app.pid
    expect 0
    alive "$other"
}

@test "the logger of -o '|...' is no escapee" {
    daemonize -p app.pid -o "|cat >$T/log; exec sleep 5" sh -c 'sleep 1000 & wait'
    run_it pidkill app.pid
    expect 0
}

@test "a supervisor is waited for, and ends" {
    daemonize -s -r -p app.pid sleep 1000
    pid=$(<app.pid)
    supervisor=$(stat_field "$pid" 4)
    run_it pidkill app.pid
    expect 0
    not alive "$supervisor"
    group_gone "$pid"
    [[ ! -e app.pid ]]
}

@test "a supervisor that does not end is a survivor" {
    daemonize -s -p app.pid sleep 1000
    pid=$(<app.pid)
    supervisor=$(stat_field "$pid" 4)
    kill -STOP "$supervisor"
    run_it pidkill app.pid
    expect 3 "pidkill: app.pid: supervisor: still alive: $supervisor (daemonize*"
    [[ -e app.pid ]]
    run_it pidkill app.pid # now that is what is left of it
    expect 0
    not alive "$supervisor"
}

@test "several operands: each is dealt with, the largest status counts" {
    start_sleeper a.pid
    a=$pid
    start_sleeper b.pid
    b=$pid
    echo rubbish >bad.pid
    run_it pidkill -m a.pid bad.pid none.pid b.pid
    expect 4 "pidkill: none.pid: not running (no such file)"*"pidkill: bad.pid: not a pidfile"*
    group_gone "$a"
    group_gone "$b"
    [[ ! -e a.pid && ! -e b.pid && $(<bad.pid) == rubbish ]]
}

@test "all operands are waited for together" {
    for name in a b c d; do
        daemonize -p $name.pid -o ready-$name "${prey[@]}" count "$T/log-$name"
    done
    for name in a b c d; do eventually 10 test -s ready-$name; done
    within 7500 pidkill -t 2 a.pid b.pid c.pid d.pid
}

@test "two pidfiles naming one group: signalled once, both removed" {
    start "${prey[@]}" count "$T/log"
    cp app.pid b.pid
    run_it pidkill -v -r TERM/0.2 app.pid b.pid ./app.pid
    expect 3 "pidkill: app.pid: TERM sent to group $pid
pidkill: app.pid: group $pid: still alive: *"
    within 4500 run_it pidkill -9 app.pid b.pid ./app.pid
    expect 0
    [[ ! -e app.pid && ! -e b.pid ]]
}

@test "operands that are one file do not wait for each other's lock" {
    # Nor is that lock taken for a start's.
    echo 4194304 >a.pid
    ln a.pid b.pid
    within 4500 run_it pidkill a.pid b.pid ./a.pid
    expect 0 "*a.pid: not running*b.pid: not running*./a.pid: not running"
    [[ ! -e a.pid && ! -e b.pid ]]
    : >a.pid
    within 4500 run_it pidkill -f a.pid a.pid
    expect 0 "*a.pid: not running*a.pid: not running"
    [[ ! -e a.pid ]]
}

@test "descriptors last for many operands that survive, or are strangers'" {
    own_group bash -c 'trap "" TERM; for n in {1..80}; do sleep 1000 & echo $! >"$1/$n.pid"; done; wait' - "$T"
    eventually 10 test -s 80.pid
    run_it bash -c 'ulimit -n 64; exec pidkill -q -r TERM/0.02 "$@"' - {1..80}.pid
    [[ $status -eq 3 && $(grep -c 'still alive' <<<"$stderr") -eq 80 ]] || fail "$status $stderr"

    for n in {1..80}; do echo "$pid" >"$n.pid"; done
    touch -d '2 minutes ago' {1..80}.pid
    [[ $(cut -d. -f1 /proc/uptime) -gt 150 ]] || skip "the machine has just started"
    run_it bash -c 'ulimit -n 64; exec pidkill "$@"' - {1..80}.pid
    [[ $status -eq 0 && $(grep -c 'started later' <<<"$stderr") -eq 80 ]] || fail "$status $stderr"
}

@test "an option after an operand is refused before anything is done" {
    start_sleeper
    run_it pidkill app.pid -9
    expect 2 "pidkill: -9: options come before the operands
usage: *"
    alive "$pid"
    run_it pidkill
    expect 2 "pidkill: which pidfile?*"
}

# --- Pidfiles ---

@test "trailing newline, CRLF and blanks are fine" {
    for content in '%d' '%d\n' '%d\r\n' ' \t%d \n\n'; do
        own_group sleep 1000
        # shellcheck disable=SC2059
        printf "$content" "$pid" >app.pid
        run_it pidkill app.pid
        expect 0
        eventually 20 not alive "$pid"
    done
}

@test "malformed pidfiles: status 4 and not one signal" {
    need strace
    start "${prey[@]}" count "$T/log"
    # In each of them some program would find the victim, or everybody.
    for content in ' ' '\n' 'abc\n' "0x%x\n" "+%d\n" "-%d\n" "%dx\n" "%d x\n" "%d\0" "\x00%d" "\xef\xbb\xbf%d" "%d %d\n" \
        "%d\n%d\n" '0\n' '1\n' '-1\n' '4194305\n' '4294967297\n' '18446744073709551616\n' "%d.0\n" "%d\v"; do
        # shellcheck disable=SC2059
        printf -- "${content//%d/$pid}" "$pid" >bad.pid
        cp bad.pid copy
        for option in -9 -f '-s HUP' -S; do
            # There is nothing in it: -f removes that.
            [[ $option == -f && -z ${content//[ \\n]/} ]] && continue
            # shellcheck disable=SC2086
            run_it injected -e trace=kill,tgkill,pidfd_send_signal -- pidkill $option bad.pid
            [[ $status -eq 4 && $stderr == "pidkill: bad.pid: "* ]] || fail "$content $option: $status $stderr"
            # The runtime preempts its own threads by SIGURG.
            if grep -E '^[0-9]+ +(kill|tgkill|pidfd)' trace | grep -v SIGURG; then fail "$content $option: signalled"; fi
            cmp bad.pid copy
        done
    done
    [[ ! -s log ]]
    alive "$pid"
}

@test "a FIFO, directory, device, link or huge file: status 4, never a hang" {
    mkfifo fifo
    mkdir dir
    start_sleeper
    ln -s app.pid link
    truncate -s 1T huge
    for name in fifo dir /dev/null /dev/zero link huge; do
        within 3000 run_it pidkill -9 "$name"
        expect 4 "pidkill: $name: *"
    done
    alive "$pid"
}

@test "nobody who waits to write to a FIFO is woken" {
    mkfifo fifo
    sh -c 'echo x >fifo' 3>&- &
    writer=$!
    eventually 10 state_is "$writer" S
    run_it pidkill fifo
    expect 4 "pidkill: fifo: refused: not a regular file"
    alive "$writer"
}

@test "unreadable is status 4, not stopped" {
    if ((EUID == 0)); then
        user=as_user
    else
        user=
    fi
    start_sleeper
    chmod 0 app.pid
    # shellcheck disable=SC2086
    run_it $user pidkill app.pid
    expect 4 "pidkill: app.pid: permission denied"
    # shellcheck disable=SC2086
    run_it $user pidkill -0 app.pid
    expect 4 "pidkill: app.pid: permission denied"
    alive "$pid"
}

@test "empty and not locked: looked at for a moment, then status 4; -f removes it" {
    : >app.pid
    run_it pidkill app.pid
    expect 4 "pidkill: app.pid: empty"
    [[ -e app.pid ]]
    run_it pidkill -f app.pid
    expect 0 "pidkill: app.pid: not running"
    [[ ! -e app.pid ]]
}

@test "empty and locked with no start under way: who holds the lock is the daemon" {
    for mode in r rb; do # inherited; close-on-exec
        : >app.pid
        daemonize -t -o ready "${prey[@]}" hold "$T/app.pid" "$mode"
        eventually 10 grep -q ready ready
        run_it pidkill -0 app.pid
        expect 0 "" "app.pid: running (group *)"
        pid=${output//[!0-9]/}
        run_it pidkill app.pid
        expect 0
        group_gone "$pid"
        [[ ! -e app.pid ]]
    done
}

@test "a lock on descriptor 0 is seen" {
    need flock
    : >app.pid
    # shellcheck disable=SC2016
    daemonize -c "$T" -i app.pid -o ready sh -c 'flock 0 && echo $$ >app.pid && echo ready && exec sleep 1000'
    eventually 10 grep -q ready ready
    touch -d '2001-01-01' app.pid # the clock says that it started later
    run_it pidkill app.pid
    expect 0
    [[ ! -e app.pid ]]
}

@test "a lock held by the process overrides what the clock did to the times" {
    start_sleeper
    touch -d '2001-01-01' app.pid
    run_it pidkill -0 app.pid
    expect 0 "" "app.pid: running (group $pid)"
    run_it pidkill app.pid
    expect 0
    group_gone "$pid"
}

@test "a daemon that closed all its descriptors is known by its start time" {
    # shellcheck disable=SC2016
    daemonize -p app.pid bash -c 'for fd in {3..63}; do eval "exec $fd>&-"; done; exec sleep 1000'
    pid=$(<app.pid)
    closed() { [[ $(fds "$pid") == "0 1 2" ]]; }
    eventually 10 closed
    run_it pidkill app.pid
    expect 0
    group_gone "$pid"
}

@test "a pidfile from before the boot is stale; -f overrides" {
    own_group "${prey[@]}" count "$T/log"
    eventually 10 grep -q ready out
    echo "$pid" >app.pid
    touch -d "@$(($(date +%s) - $(cut -d. -f1 /proc/uptime) - 100))" app.pid
    run_it pidkill -0 app.pid
    expect 1 "pidkill: app.pid: not running (older than the last boot)"
    cp -p app.pid copy
    run_it pidkill app.pid
    expect 0 "pidkill: app.pid: not running (older than the last boot)"
    [[ ! -e app.pid && ! -s log ]]
    alive "$pid"
    run_it pidkill -f -9 copy
    expect 0
    eventually 20 not alive "$pid"
}

@test "a group without its leader, and a pidfile from before the boot: stale" {
    # shellcheck disable=SC2016
    daemonize -p app.pid -c "$T" bash -c 'for fd in {3..63}; do eval "exec $fd>&-"; done; sleep 1000 & echo $! >member; exec sleep 0.1'
    pid=$(<app.pid)
    eventually 20 reaped "$pid"
    touch -d "@$(($(date +%s) - $(cut -d. -f1 /proc/uptime) - 100))" app.pid
    run_it pidkill app.pid
    expect 0 "pidkill: app.pid: not running (older than the last boot)"
    alive "$(<member)"
}

@test "a process that started after the pidfile was written is a stranger" {
    own_group "${prey[@]}" count "$T/log"
    eventually 10 grep -q ready out
    echo "$pid" >app.pid
    touch -d '2 minutes ago' app.pid
    [[ $(cut -d. -f1 /proc/uptime) -gt 150 ]] || skip "the machine has just started"
    run_it pidkill app.pid
    expect 0 "pidkill: app.pid: not running (process $pid started later; the file stays, and the next start takes it over)"
    [[ ! -s log && -e app.pid ]]
    alive "$pid"
    daemonize -p app.pid sleep 1000
    [[ $(<app.pid) != "$pid" ]]
    pidkill app.pid
}

@test "a group whose leader is gone, and no lock: the clock decides" {
    own_group bash -c 'sleep 1000 & echo $! >member; exec sleep 0.1'
    leader=$pid
    eventually 20 reaped "$leader"
    echo "$leader" >app.pid
    cp app.pid old.pid
    touch -d '2 minutes ago' old.pid
    [[ $(cut -d. -f1 /proc/uptime) -gt 150 ]] || skip "the machine has just started"
    run_it pidkill old.pid
    expect 4 "pidkill: old.pid: process $leader is gone, and nothing tells*"
    alive "$(<member)"
    run_it pidkill app.pid # its member is as old as the file
    expect 0
    eventually 20 not alive "$(<member)"
}

@test "a group that nothing ties to the pidfile: -f ends it" {
    own_group bash -c 'sleep 1000 & echo $! >member; exec sleep 0.1'
    eventually 20 reaped "$pid"
    echo "$pid" >app.pid
    touch -d '2 minutes ago' app.pid
    run_it pidkill -f app.pid
    expect 0
    eventually 20 not alive "$(<member)"
}

@test "a recycled PID: the stranger lives; with -f it is signalled" {
    need_root
    need_namespaces
    cat >inside <<'END'
set -m
sleep 1000 & old=$!
echo $old >app.pid
cp app.pid copy
touch -d '1 minute ago' app.pid copy
kill -KILL $old
wait $old 2>/dev/null
echo $((old - 1)) >/proc/sys/kernel/ns_last_pid
sleep 1000 & new=$!
[[ $new -eq $old ]] || exit 77
pidkill app.pid
echo "status $?"
kill -0 $new && [[ -e app.pid ]] && echo alive
pidkill -f copy
echo "status $?"
END
    [[ $(cut -d. -f1 /proc/uptime) -gt 90 ]] || skip "the machine has just started"
    run_it unshare -pf --mount-proc --kill-child bash inside 3>&-
    [[ $status -ne 77 ]] || skip "the PID was not free again"
    expect 0 "*app.pid: not running (process * started later; *)*" "status 0
alive
status 0"
}

# --- Two at work on one pidfile ---

@test "a pidkill waits, a successor takes the path: its pidfile stays" {
    daemonize -p app.pid sh -c '(trap "" TERM; exec sleep 1000) & exec sleep 1000'
    pid=$(<app.pid)
    eventually 10 deaf_sleepers "$pid" 1
    pidkill -v -t 1 app.pid 2>err 3>&- &
    it=$!
    eventually 10 not alive "$pid"
    rm app.pid
    start_sleeper
    wait "$it"
    grep -q 'not removed' err
    [[ $(<app.pid) == "$pid" ]]
    alive "$pid"
}

@test "a start that meets a pidkill at work finds the daemon running, or gone" {
    daemonize -p app.pid sh -c '(trap "" TERM; exec sleep 1000) & exec sleep 1000'
    pid=$(<app.pid)
    eventually 10 deaf_sleepers "$pid" 1
    pidkill -t 1 app.pid 3>&- &
    it=$!
    eventually 10 not alive "$pid"
    within 900 run_it daemonize -p app.pid sleep 1000
    expect 1 "daemonize: app.pid: already running (group $pid, whose leader is gone)"
    wait "$it"
    run_it daemonize -p app.pid sleep 1000
    expect 0
    group_gone "$pid"
    alive "$(<app.pid)"
}

@test "a program that rewrites the pidfile in place keeps it" {
    start "${prey[@]}" count "$T/log"
    old=$pid
    own_group sleep 1000
    pidkill -v -t 0.5 app.pid 2>err 3>&- &
    it=$!
    eventually 10 grep -q TERM log
    echo "$pid" >app.pid
    wait "$it"
    group_gone "$old"
    [[ $(<app.pid) == "$pid" ]]
    alive "$pid"
}

@test "two pidkills and a daemonize on one pidfile: no newcomer's file is unlinked" {
    need strace
    # Each of the three waits in turn where another could come between: the
    # newcomer behind its flock, the others before they lock and before they
    # unlink.
    for delays in "300 0 0" "0 300 0" "0 0 300" "300 100 0" "100 200 300" "0 100 100" "200 0 200"; do
        read -r first second third <<<"$delays"
        echo 4194304 >app.pid
        ended=()
        strace -f -b execve -qq -o trace1 -e trace=flock -e inject=flock:delay_exit="${first}000" \
            daemonize -p app.pid sleep 1000 2>err1 3>&- &
        it=$!
        for n in 2 3; do
            strace -f -qq -o "trace$n" -e trace=flock,unlinkat -e inject=flock:delay_exit="${second}000" \
                -e inject=unlinkat:delay_enter="${third}000" pidkill app.pid 2>"err$n" 3>&- &
            ended+=($!)
        done
        started=0
        wait "$it" || started=$?
        for n in 2 3; do
            # Traced, a start may take its time between creating the file and
            # locking it: longer than a pidkill looks at an empty one.
            wait "${ended[n - 2]}" || [[ $? -eq 4 && $(<"err$n") == *": empty" ]] || fail "$delays: $? $(cat err?)"
        done
        [[ $started -eq 0 ]] || fail "$delays: daemonize: $started $(<err1)"
        # A daemon that runs has its pidfile; a pidkill that came later may
        # have ended it.
        running=$(sleepers)
        if [[ $running ]]; then
            [[ -e app.pid && $(<app.pid) == "$running" ]] || fail "$delays: $running runs without its pidfile"
        else
            [[ ! -e app.pid ]] || fail "$delays: a pidfile without a daemon: $(<app.pid)"
        fi
        end_all
        rm -f app.pid
    done
}

@test "starts and stops in a crowd: never a daemon without its pidfile" {
    for round in {1..10}; do
        its=()
        for n in 1 2 3 4; do
            daemonize -q -p app.pid sleep 1000 2>/dev/null 3>&- &
            its+=($!)
            pidkill -q app.pid 3>&- &
            its+=($!)
        done
        for it in "${its[@]}"; do wait "$it" || [[ $? -eq 1 ]]; done
        running=$(sleepers)
        if [[ $running ]]; then
            [[ -e app.pid && $running == "$(<app.pid)" ]] || fail "round $round: $running, and the pidfile: $(cat app.pid)"
            pidkill app.pid
        fi
        [[ ! -e app.pid ]]
    done
}

@test "an escapee that holds the lock does not keep the pidfile" {
    daemonize -p app.pid -c "$T" sh -c 'setsid sleep 1000 & exec sleep 1000'
    pid=$(<app.pid)
    eventually 10 two_sleep
    run_it pidkill app.pid
    expect 0 "*left the group and still runs (pidkill -g * ends it): * (sleep, user *)"
    [[ ! -e app.pid ]]
}

@test "an escapee that has marked all its descriptors close-on-exec is no start" {
    daemonize -p app.pid "${prey[@]}" private "$T/pids"
    eventually 10 test -s pids
    pid=$(<app.pid)
    escapee=$(tail -n 1 pids)
    within 3000 run_it pidkill app.pid
    expect 0 "*left the group and still runs (pidkill -g $escapee ends it): $escapee (python3*"
    group_gone "$pid"
    [[ ! -e app.pid ]]
}

two_sleep() { [[ $(sleepers | wc -l) -eq 2 ]]; }

# --- Who must not be signalled ---

@test "its own group and its ancestors are refused, also with -f" {
    cat >inside <<'END'
echo $$ >own.pid
pidkill "$@" own.pid
echo "status $?"
sh -c 'pidkill "$@" own.pid; echo "status $?"' - "$@"
set -m
sh -c 'pidkill "$@" own.pid; echo "status $?"' - "$@"
END
    for options in -9 -f -fS -fT -fL; do
        # A session of its own: a container's may be led from outside, which
        # -S refuses in other words.
        setsid bash inside "$options" </dev/null >out 2>&1 3>&- &
        pid=$!
        wait "$pid" || fail "$options: it ended: $(<out)"
        [[ $(grep -c 'refused: .* has pidkill.s own process' out) -eq 3 && $(grep -c 'status 4' out) -eq 3 ]] || {
            # The last two are not in the group of which -L speaks.
            cat out
            fail "$options"
        }
    done
}

@test "init and kernel threads are refused, also with -f" {
    need_root
    [[ $(field 2 Name) == kthreadd ]] || skip "no kernel threads to be seen"
    for option in -9 -f -fS -fT '-f -s HUP'; do
        echo 2 >app.pid
        # shellcheck disable=SC2086
        run_it pidkill $option app.pid
        expect 4 "pidkill: app.pid: refused: 2 is a kernel thread"
        echo 1 >app.pid
        # shellcheck disable=SC2086
        run_it pidkill $option app.pid
        expect 4 "pidkill: app.pid: 1: no daemon's process ID"
    done
}

@test "a session with init in it is refused" {
    need_root
    need_namespaces
    # Only as PID 1 it can still make a session.
    run_it unshare -pf --mount-proc --kill-child setsid sh -c '
        sleep 1000 & echo $! >app.pid
        setsid -w pidkill -f -S app.pid; echo "status $?"; kill -0 $! && echo alive' 3>&-
    expect 0 "*refused: session * has pidkill's own process 1 *" "status 4
alive"
}

@test "partly not permitted: status 3, and the survivors are listed" {
    need_root
    uid=$(id -u "$TEST_USER")
    own_group "${prey[@]}" mixed both "$uid"
    eventually 10 test -s both
    { read -r root && read -r child; } <both
    echo "$root" >app.pid
    # All or nothing: the daemon's own process is root's.
    for options in '-t 0.1' '-as HUP' -n; do
        # shellcheck disable=SC2086
        run_it as_user "$BIN/pidkill" $options app.pid
        expect 4 "pidkill: app.pid: $root (python3*, user root): operation not permitted; nothing was sent"
    done
    alive "$child"
    # The other way round: a child that has become root's, or somebody else's.
    run_it pidkill -9 app.pid
    expect 0

    daemonize -p theirs.pid sh -c 'sleep 1000 & exec setpriv --reuid="$1" --regid=65534 --clear-groups -- sleep 1000' - "$uid"
    child=$(<theirs.pid)
    theirs() { [[ $(group_members "$child" | wc -l) -eq 2 && $(field "$child" Uid) != 0* ]]; }
    eventually 10 theirs
    root=$(group_members "$child" | grep -vx "$child")
    run_it as_user "$BIN/pidkill" -as CONT theirs.pid
    expect 3 "pidkill: theirs.pid: group $child: operation not permitted: $root (sleep, user root)"
    run_it as_user "$BIN/pidkill" -t 0.1 theirs.pid
    expect 3 "pidkill: theirs.pid: group $child: *: $root (sleep, user root)"
    not alive "$child"
    alive "$root"
    kill -KILL "$root"

    daemonize -p root.pid sleep 1000
    pid=$(<root.pid)
    run_it as_user "$BIN/pidkill" root.pid
    expect 4 "pidkill: root.pid: $pid (sleep, user root): operation not permitted; nothing was sent"
    run_it as_user "$BIN/pidkill" -s HUP root.pid
    expect 4 "pidkill: root.pid: $pid (sleep, user root): operation not permitted; nothing was sent"
    [[ -e root.pid ]]
}

@test "as root, a pidfile or directory of another user reaches only that user's" {
    need_root
    uid=$(id -u "$TEST_USER")
    own_group "${prey[@]}" mixed both "$uid"
    eventually 10 test -s both
    { read -r root && read -r child; } <both
    mkdir theirs
    chown "$TEST_USER" theirs
    own_group sleep 1000
    echo "$pid" >theirs/app.pid
    run_it pidkill theirs/app.pid
    expect 4 "pidkill: theirs/app.pid: refused: *theirs belongs to user $TEST_USER, and it names $pid (sleep, user root)*"
    run_it pidkill -s HUP theirs/app.pid
    expect 4 "*refused*"
    cp theirs/app.pid theirs.pid
    chown "$TEST_USER" theirs.pid
    run_it pidkill theirs.pid
    expect 4 "*refused: theirs.pid belongs to user $TEST_USER*"
    alive "$pid"

    echo "$root" >theirs/app.pid
    for options in -n -9 '-as HUP'; do
        # shellcheck disable=SC2086
        run_it pidkill $options theirs/app.pid
        expect 4 "*refused: *theirs belongs to user $TEST_USER, and it names $root (python3*, user root); nothing was sent (-f overrides)"
    done
    alive "$child"
    alive "$root"

    run_it pidkill -f -9 theirs/app.pid
    expect 0
    eventually 20 not alive "$root"

    as_user "$BIN/daemonize" -p "$T/theirs/app.pid" sleep 1000
    run_it pidkill theirs/app.pid
    expect 0
    [[ ! -e theirs/app.pid ]]
}

@test "as root, no link of another user leads to a root-owned pidfile" {
    need_root
    mkdir theirs ours
    start_sleeper ours/app.pid
    ln -s "$T/ours" theirs/dir
    ln -s "$T/ours/app.pid" theirs/app.pid
    ln "$T/ours/app.pid" theirs/hard.pid
    chown -hR "$TEST_USER" theirs/dir theirs/app.pid
    chown "$TEST_USER" theirs
    for path in theirs/dir/app.pid theirs/app.pid theirs/hard.pid; do
        run_it pidkill -9 "$path"
        expect 4 "pidkill: $path: refused: *"
    done
    # Not even where anybody may add entries.
    mkdir -m 1777 sticky
    ln ours/app.pid sticky/app.pid
    run_it pidkill sticky/app.pid
    expect 4 "pidkill: sticky/app.pid: refused: it has other names (hard links)*"
    rm sticky/app.pid theirs/hard.pid
    alive "$pid"
    run_it pidkill ours/app.pid
    expect 0
}

@test "hidepid: what cannot be seen is not taken for gone" {
    need_root
    need_namespaces
    start_sleeper
    cp "$BIN/pidkill" "$BIN/daemonize" .
    mkdir theirs
    chown "$TEST_USER" theirs
    cat >inside <<'END'
mount -t proc -o hidepid=2 proc /proc || exit 77
user() { setpriv --reuid="$1" --regid=65534 --clear-groups --inh-caps=-all -- "${@:2}"; }
user "$1" ./pidkill -0 app.pid; echo "status $?"
user "$1" ./pidkill app.pid; echo "status $?"
user "$1" ./daemonize -p "$PWD/theirs/b.pid" sleep 1000
user "$1" ./pidkill theirs/b.pid; echo "status $?"
user "$1" ./pidkill -0 theirs/b.pid; echo "status $?"
END
    run_it unshare -m bash inside "$TEST_USER" 3>&-
    [[ $status -ne 77 ]] || skip "cannot mount /proc"
    expect 0 "pidkill: app.pid: $pid: operation not permitted; nothing was sent*" "app.pid: running (group $pid)
status 0
status 4
status 0
status 3"
    alive "$pid"
}

@test "hidepid: -g, -S, -T and a hidden member: status 3, and nothing is removed" {
    need_root
    need_namespaces
    start_sleeper
    cp "$BIN/pidkill" .
    mkdir theirs
    # A leader of the other user's, with a member of root's in its group.
    daemonize -p mixed.pid sh -c 'sleep 1000 & exec setpriv --reuid="$1" --regid=65534 --clear-groups -- sleep 1000' - "$TEST_USER"
    mixed=$(<mixed.pid)
    two() { [[ $(group_members "$mixed" | wc -l) -eq 2 && $(field "$mixed" Uid) != 0* ]]; }
    eventually 10 two
    echo "$mixed" >theirs/m.pid
    chown -R "$TEST_USER" theirs
    cat >inside <<'END'
user() { setpriv --reuid="$1" --regid=65534 --clear-groups --inh-caps=-all -- "${@:2}"; }
for hidepid in 1 2; do
    mount -t proc -o hidepid=$hidepid proc /proc || exit 77
    for option in -g -gS -gT; do
        user "$1" ./pidkill -r TERM/0.1 $option "$2"; echo "$option $?"
    done
done
user "$1" ./pidkill -r TERM/1 theirs/m.pid; echo "mixed $?"
END
    run_it unshare -m bash inside "$TEST_USER" "$pid" 3>&-
    [[ $status -ne 77 ]] || skip "cannot mount /proc"
    expect 0 "*" "-g 3
-gS 3
-gT 3
-g 3
-gS 3
-gT 3
mixed 3"
    alive "$pid"
    [[ -e theirs/m.pid && $(group_members "$mixed" | wc -l) -eq 1 ]]
}

@test "a pidfile that cannot be removed is no reason to say that it runs" {
    if ((EUID == 0)); then need_root; user=as_user; else user=; fi
    mkdir fixed
    echo 4194303 >fixed/a.pid
    chmod 555 fixed
    # shellcheck disable=SC2086
    run_it $user pidkill fixed/a.pid
    expect 0 "*not running*cannot remove the pidfile: permission denied"
    chmod 755 fixed
}

@test "QUIT ends it like any other program" {
    start "${prey[@]}" count "$T/log"
    env --default-signal bash -c 'ulimit -c 0; exec pidkill app.pid' 2>said 3>&- &
    it=$!
    eventually 10 grep -q TERM log
    kill -QUIT "$it"
    status=0
    wait "$it" || status=$?
    [[ $(kill -l "$status") == QUIT && ! -s said ]]
    alive "$pid"
}

@test "-n and -0 know a supervisor between two runs" {
    daemonize -s -r -p app.pid sh -c 'exit 1'
    between() { pidkill -n app.pid >said 2>&1 && grep -q supervisor said; }
    eventually 20 between
    run_it pidkill -0 app.pid
    [[ $status -eq 0 && $output == "app.pid: running"* ]]
    pidkill app.pid
    [[ ! -e app.pid ]]
}

@test "/proc of another PID namespace is refused" {
    need_root
    need_namespaces
    start_sleeper
    run_it unshare -pf --kill-child pidkill app.pid 3>&-
    expect 4 "pidkill: /proc: not mounted, or of another PID namespace"
    alive "$pid"
}

# --- Older kernels ---

same_results() {
    daemonize -p app.pid sh -c '(trap "" TERM; exec sleep 1000) & exec sleep 1000'
    pid=$(<app.pid)
    eventually 10 deaf_sleepers "$pid" 1
    run_it injected "$@" -- pidkill -0 app.pid
    expect 0 "" "app.pid: running (group $pid)"
    run_it injected "$@" -- pidkill -v -t 0.3 app.pid
    expect 0 "*TERM sent to group $pid*KILL sent to group $pid*gone*removed"
    group_gone "$pid"

    # One that leads nothing, zombies, a thread's number.
    own_group bash -c 'sleep 1000 & echo $! >app.pid; wait; sleep 1000'
    script=$pid
    eventually 10 test -s app.pid
    run_it injected "$@" -- pidkill app.pid
    expect 0 "*only that process is meant"
    alive "$script"
    own_group "${prey[@]}" zombies app.pid
    eventually 10 test -s app.pid
    within 15000 run_it injected "$@" -- pidkill -t 20 app.pid
    expect 0 "pidkill: app.pid: not running"
    own_group "$PYTHON" -c 'import threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
open("app.pid", "w").write(str(threading.enumerate()[1].native_id))
time.sleep(1000)'
    eventually 10 test -s app.pid
    run_it injected "$@" -- pidkill -9 app.pid
    expect 0 "pidkill: app.pid: not running"
    alive "$pid"
    run_it injected "$@" -- pidkill -g "$pid"
    expect 0
}

@test "a kernel without pidfds gives the same results" {
    need strace
    same_results -e trace=pidfd_open -e inject=pidfd_open:error=ENOSYS
}

@test "a seccomp filter that denies pidfds gives the same results" {
    need strace
    same_results -e trace=pidfd_open -e inject=pidfd_open:error=EPERM
}

@test "a kernel that cannot signal a group by pidfd gives the same results" {
    need strace
    # Where flags are not known at all a process is signalled by kill(2) too.
    daemonize -p app.pid sh -c 'sleep 1000 & exec sleep 1000'
    pid=$(<app.pid)
    run_it injected -e trace=pidfd_send_signal,kill -e inject=pidfd_send_signal:error=EINVAL -- pidkill app.pid
    expect 0
    group_gone "$pid"
    grep -q "kill(-$pid, SIGTERM" trace
}

# --- The caller ---

@test "a closed or full standard error or output changes nothing" {
    start_sleeper
    pidkill -0 app.pid >&-
    pidkill -0 app.pid >/dev/full
    pidkill -v app.pid 2>/dev/full
    group_gone "$pid"
    start_sleeper
    pidkill -v app.pid >&- 2>&- </dev/null
    group_gone "$pid"
    [[ ! -e app.pid ]]
    start_sleeper
    mkfifo pipe
    sh -c 'exec 3<pipe; exec 3<&-; touch closed' 3>&- &
    exec 7>pipe
    eventually 10 test -e closed
    status=0
    pidkill -v app.pid 2>&7 3>&- || status=$?
    exec 7>&-
    [[ $status -eq 0 ]]
    group_gone "$pid"
}

@test "on a terminal a status line says who is waited for and when KILL comes" {
    start "${prey[@]}" count "$T/log"
    shown=$(on_terminal "PATH=$PATH; stty cols 100; cd $T && pidkill -t 2.5 app.pid; echo status \$?")
    [[ $shown == *"waiting for group $pid: $pid (python3"*"; KILL in "[12]" s"*"status 0"* ]]
    # It is erased at the end.
    [[ ${shown%status*} == *$'\r\e[K' ]]
}

@test "on a terminal several are one line" {
    start "${prey[@]}" count "$T/log"
    mv app.pid a.pid
    start "${prey[@]}" count "$T/log"
    shown=$(on_terminal "PATH=$PATH; stty cols 100; cd $T && pidkill -t 2.5 a.pid app.pid; echo status \$?")
    [[ $shown == *"waiting for group "*" and 1 more"*"; KILL in "[12]" s"*"status 0"* ]]
    [[ $shown != *": 0;"* ]]
}

@test "the status line is cut at the terminal's width" {
    start "${prey[@]}" count "$T/log"
    shown=$(on_terminal "PATH=$PATH; stty cols 20; cd $T && pidkill -t 1.5 app.pid")
    [[ $shown == *$'\e[Kwaiting for group '* ]]
    while IFS= read -r line; do
        line=${line##*$'\e[K'}
        [[ ${#line} -lt 20 ]]
    done <<<"${shown//$'\r'/$'\n'}"
}

@test "no status line where nobody looks" {
    start "${prey[@]}" count "$T/log"
    run_it pidkill -t 1.3 app.pid
    expect 0
}

@test "interrupted, it ends by the signal and leaves the pidfile" {
    start "${prey[@]}" count "$T/log"
    for signal in INT TERM HUP; do
        : >log
        env --default-signal pidkill app.pid 3>&- &
        it=$!
        eventually 10 grep -q TERM log
        kill -$signal "$it"
        status=0
        wait "$it" || status=$?
        [[ $(kill -l "$status") == "$signal" ]]
        [[ $(<app.pid) == "$pid" ]]
        alive "$pid"
    done
}

@test "it uses no processor time while it waits" {
    need_linux 5.3 "pidfds, else it looks every 10 ms"
    start "${prey[@]}" count "$T/log"
    pidkill -t 3 app.pid 3>&- &
    it=$!
    eventually 10 grep -q TERM log
    # Fields 14 and 15: its ticks of 10 ms. A second of polling takes many.
    before=$(($(stat_field "$it" 14) + $(stat_field "$it" 15)))
    looks=0
    while alive "$it" && user=$(stat_field "$it" 14) && system=$(stat_field "$it" 15); do
        ((user + system - before <= 2)) || fail "$((user + system - before)) ticks"
        looks=$((looks + 1))
        sleep 0.05
    done
    ((looks > 5))
    wait "$it"
}
