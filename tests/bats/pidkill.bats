#!/usr/bin/env bats
# pidkill: how it ends a group, its options, and whoever calls it.

# shellcheck disable=SC2154 # stderr is bats's, awkward is pidkill.bash's
load pidkill

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
    start "${awkward[@]}" count "$T/log"
    run_it pidkill -r STOP/0.1/HUP/0.1 app.pid
    expect 3 "*still alive*"
    eventually 20 grep -q CONT log
    [[ $(<log) == *HUP* && $(grep -c CONT log) -eq 1 ]]
}

@test "a fork chain that forks faster than it can be listed is ended" {
    need strace
    own_group "${awkward[@]}" chain app.pid
    eventually 10 test -s app.pid
    pid=$(<app.pid)
    # A listing takes the longer, and never meets the one that lives.
    run_it timeout 60 strace -f -o trace -e trace=getpgid -e inject=getpgid:delay_enter=200 pidkill -v -t 0.5 app.pid
    expect 0 "*TERM sent*KILL sent*gone*"
    group_gone "$pid"
}

@test "a fork chain whose first process is gone is ended" {
    own_group "${awkward[@]}" chain app.pid 0
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
    own_group "${awkward[@]}" zombies app.pid
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
pidkill = subprocess.Popen(["strace", "-f", "-o", "trace", "pidkill", "b.pid"])
os.waitpid(leader, 0)
sys.exit(pidkill.wait())' 3>&-
        [[ ! -e b.pid ]] && grep -q 'pidfd_send_signal.*SIGTERM' trace && not grep -q '"/proc", ' trace
    }
    eventually 30 without_a_scan
}

# --- Options ---

@test "-t and -9: how long until KILL" {
    start "${awkward[@]}" count "$T/log"
    within 5000 pidkill -9 app.pid
    not grep -q TERM log
    start "${awkward[@]}" count "$T/log"
    run_it pidkill -v -t 0.3 app.pid
    expect 0 "*TERM sent*KILL sent*gone after 0.[3-9] s*"
    group_gone "$pid"
}

@test "-r forever repeats what follows it" {
    start "${awkward[@]}" count "$T/log"
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
    daemonize -p app.pid -c "$T" -o ready sh -c '"$@" log1 & exec "$@" log2' - "${awkward[@]}" count
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
    start "${awkward[@]}" count "$T/log"
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

@test "-L: the pidfile stays while something of the daemon lives, also outside its group" {
    daemonize -p app.pid -c "$T" sh -c 'setsid sleep 1000 & echo $! >left; exec sleep 1000'
    eventually 10 test -s left
    left=$(<left)
    eventually 10 is_named "$left" sleep
    pid=$(<app.pid)
    run_it pidkill -L app.pid
    expect 0 "pidkill: app.pid: not removed: it still runs (its lock is held by $left (sleep, user *))"
    not alive "$pid"
    [[ $(<app.pid) == "$pid" ]]
    run_it pidkill -L app.pid
    expect 4 "pidkill: app.pid: process and group are gone, but others of the daemon live (-T reaches them, or pidkill -g $left): *"
    run_it pidkill -T app.pid
    expect 0
    not alive "$left"
    [[ ! -e app.pid ]]
}

@test "the plain call names whoever left the group; -T and -S reach them" {
    daemonize -p app.pid -c "$T" "${awkward[@]}" escape all
    eventually 10 test -s all
    { read -r pid && read -r group && read -r session; } <all
    run_it pidkill app.pid
    expect 0 "pidkill: app.pid: left the group and still runs (pidkill -g $group $session ends it): $group (*, $session (*"
    not alive "$pid"
    alive "$group"
    alive "$session"
    kill -KILL "$group" "$session"
    rm all

    daemonize -p app.pid -c "$T" "${awkward[@]}" escape all
    eventually 10 test -s all
    { read -r pid && read -r group && read -r session; } <all
    run_it pidkill -S app.pid
    expect 0 # whatever session has the lock that daemonize made, it is of the daemon
    not alive "$group"
    not alive "$session"
    rm all

    daemonize -p app.pid -c "$T" "${awkward[@]}" escape all
    eventually 10 test -s all
    { read -r pid && read -r group && read -r session; } <all
    run_it pidkill -T app.pid
    expect 0
    for pid in "$pid" "$group" "$session"; do not alive "$pid"; done
    [[ ! -e app.pid ]]
}

@test "-T: who was seen in the tree stays in it, also if /proc then keeps it from being read" {
    need strace
    need setsid
    own_group sh -c 'setsid sleep 1000 & echo $! >left; wait'
    eventually 10 test -s left
    left=$(<left)
    eventually 10 is_named "$left" sleep
    run_it timeout 60 strace -f -qq -o trace -P "/proc/$left/stat" -e trace=openat \
        -e inject=openat:error=EPERM:when=2+ pidkill -T -r TERM/2/KILL/5 -g "$pid"
    expect 0
    not alive "$left"
    grep -q EPERM trace
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
        daemonize -p $name.pid -o ready-$name "${awkward[@]}" count "$T/log-$name"
    done
    for name in a b c d; do eventually 10 test -s ready-$name; done
    within 7500 pidkill -t 2 a.pid b.pid c.pid d.pid
}

@test "two pidfiles naming one group: signalled once, both removed" {
    start "${awkward[@]}" count "$T/log"
    cp app.pid b.pid
    run_it pidkill -v -r TERM/0.2 app.pid b.pid ./app.pid
    expect 3 "pidkill: app.pid: TERM sent to group $pid
pidkill: app.pid: group $pid: still alive: *"
    within 4500 run_it pidkill -9 app.pid b.pid ./app.pid
    expect 0
    [[ ! -e app.pid && ! -e b.pid ]]
}

@test "two pidfiles of one supervised daemon, its own and the supervisor's: it is not started again" {
    for operands in 'app.pid sup.pid' 'sup.pid app.pid'; do
        daemonize -s -r -m 022 -p sup.pid -c "$T" sh -c 'echo $$ >app.new; mv app.new app.pid; exec sleep 1000'
        pid=$(<sup.pid)
        eventually 10 test -e app.pid
        # shellcheck disable=SC2086
        run_it pidkill $operands
        expect 0
        nothing_left
        # A supervisor that meets the end before pidkill's word begins one more
        # run, and ends it then: that may have written its number.
        [[ ! -e sup.pid && (! -e app.pid || $(<app.pid) != "$pid") ]]
        rm -f app.pid
    done
}

@test "two pidfiles of one supervised daemon, and a run that was just being started: it is ended too" {
    need strace
    for operands in 'app.pid sup.pid' 'sup.pid app.pid'; do
        daemonize -s -r -m 022 -p sup.pid -c "$T" sh -c 'trap "" TERM; echo $$ >app.new; mv app.new app.pid; exec sleep 1000'
        pid=$(<sup.pid)
        supervisor=$(stat_field "$pid" 4)
        eventually 10 test -e app.pid
        traced() { [[ $(field "$supervisor" TracerPid) != 0 ]]; }
        strace -f -qq -o writes -p "$supervisor" -e trace=pwrite64 -e inject=pwrite64:delay_enter=1500000 3>&- 2>/dev/null &
        eventually 10 traced
        # shellcheck disable=SC2086
        strace -f -b execve -qq -o trace -e trace=pidfd_send_signal -e inject=pidfd_send_signal:delay_enter=300000 \
            pidkill -q -t 1 $operands 3>&- &
        tracer=$!
        looked_at() { [[ $(grep -cs pidfd_send_signal trace) -ge 6 ]] || not alive "$tracer"; }
        eventually 20 looked_at # it has looked at both files, and is about to signal
        kill -KILL "$pid" || :
        wait "$tracer"
        not alive "$supervisor"
        [[ ! -e sup.pid ]]
        rm -f app.pid trace # the second run may have made it anew
        wait
    done
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
    own_group "${awkward[@]}" zombies app.pid
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
    start "${awkward[@]}" count "$T/log"
    shown=$(on_terminal "PATH=$PATH; stty cols 100; cd $T && pidkill -t 2.5 app.pid; echo status \$?")
    [[ $shown == *"waiting for group $pid: $pid (python3"*"; KILL in "[12]" s"*"status 0"* ]]
    # It is erased at the end.
    [[ ${shown%status*} == *$'\r\e[K' ]]
}

@test "on a terminal, a schedule that only waits next does not give up" {
    start "${awkward[@]}" count "$T/log"
    shown=$(on_terminal "PATH=$PATH; stty cols 100; cd $T && pidkill -r TERM/3/0/3/KILL/5 app.pid; echo status \$?")
    [[ $shown == *"; the next wait in "*"; KILL in "*"status 0"* && $shown != *"giving up"* ]] || fail "$shown"
}

@test "on a terminal several are one line" {
    start "${awkward[@]}" count "$T/log"
    mv app.pid a.pid
    start "${awkward[@]}" count "$T/log"
    shown=$(on_terminal "PATH=$PATH; stty cols 100; cd $T && pidkill -t 2.5 a.pid app.pid; echo status \$?")
    [[ $shown == *"waiting for group "*" and 1 more"*"; KILL in "[12]" s"*"status 0"* ]]
    [[ $shown != *": 0;"* ]]
}

@test "the status line is cut at the terminal's width" {
    start "${awkward[@]}" count "$T/log"
    shown=$(on_terminal "PATH=$PATH; stty cols 20; cd $T && pidkill -t 1.5 app.pid")
    [[ $shown == *$'\e[Kwaiting for group '* ]]
    while IFS= read -r line; do
        line=${line##*$'\e[K'}
        [[ ${#line} -lt 20 ]]
    done <<<"${shown//$'\r'/$'\n'}"
}

@test "no status line where nobody looks" {
    start "${awkward[@]}" count "$T/log"
    run_it pidkill -t 1.3 app.pid
    expect 0
}

@test "interrupted, it ends by the signal and leaves the pidfile" {
    start "${awkward[@]}" count "$T/log"
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
    start "${awkward[@]}" count "$T/log"
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
