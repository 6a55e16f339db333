#!/usr/bin/env bats
# pidkill: what it makes of a pidfile, and of others at work on it.

# shellcheck disable=SC2154 # stderr is bats's, awkward is pidkill.bash's
load pidkill

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
    start "${awkward[@]}" count "$T/log"
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
        daemonize -t -o ready "${awkward[@]}" hold "$T/app.pid" "$mode"
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

@test "a pidfile from before the boot is stale; -f overrides" {
    own_group "${awkward[@]}" count "$T/log"
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
    own_group "${awkward[@]}" count "$T/log"
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
    pidkill -v -t 60 app.pid 2>err 3>&- &
    it=$!
    eventually 10 not alive "$pid"
    left=$(group_members "$pid")
    rm app.pid
    start_sleeper
    kill -KILL "$left"
    wait "$it"
    grep -q 'not removed' err
    [[ $(<app.pid) == "$pid" ]]
    alive "$pid"
}

@test "a start that meets a pidkill at work finds the daemon running, or gone" {
    daemonize -p app.pid sh -c '(trap "" TERM; exec sleep 1000) & exec sleep 1000'
    pid=$(<app.pid)
    eventually 10 deaf_sleepers "$pid" 1
    pidkill -t 60 app.pid 3>&- &
    it=$!
    eventually 10 not alive "$pid"
    within 15000 run_it daemonize -p app.pid sleep 1000
    expect 1 "daemonize: app.pid: already running (group $pid, whose leader is gone)"
    alive "$it"
    kill -KILL "$(group_members "$pid")"
    wait "$it"
    run_it daemonize -p app.pid sleep 1000
    expect 0
    group_gone "$pid"
    alive "$(<app.pid)"
}

@test "a program that rewrites the pidfile in place keeps it" {
    start "${awkward[@]}" count "$T/log"
    old=$pid
    own_group sleep 1000
    pidkill -v -t 60 app.pid 2>err 3>&- &
    it=$!
    eventually 10 grep -q TERM log
    echo "$pid" >app.pid
    kill -KILL "$old"
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
        runs=$(running sleep 1000) || :
        if [[ $runs ]]; then
            [[ -e app.pid && $(<app.pid) == "$runs" ]] || fail "$delays: $runs runs without its pidfile"
        else
            [[ ! -e app.pid ]] || fail "$delays: a pidfile without a daemon: $(<app.pid)"
        fi
        end_all
        rm -f app.pid
    done
}

@test "starts and stops in a crowd: never a daemon without its pidfile" {
    for round in {1..10}; do
        starts=() stops=()
        for n in 1 2 3 4; do
            daemonize -q -p app.pid sleep 1000 2>/dev/null 3>&- &
            starts+=($!)
            pidkill -q app.pid 2>"err$n" 3>&- &
            stops+=($!)
        done
        for n in 0 1 2 3; do
            wait "${starts[n]}" || [[ $? -eq 1 ]]
            # On a machine under load as above.
            wait "${stops[n]}" || [[ $? -eq 4 && $(<"err$((n + 1))") == *": empty" ]] || fail "$? $(cat err?)"
        done
        runs=$(running sleep 1000) || :
        if [[ $runs ]]; then
            [[ -e app.pid && $runs == "$(<app.pid)" ]] || fail "round $round: $runs, and the pidfile: $(cat app.pid)"
            pidkill app.pid
        fi
        [[ ! -e app.pid ]] || fail "round $round: ${runs:-nobody}, and the pidfile: $(<app.pid)"
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
    daemonize -p app.pid "${awkward[@]}" private "$T/pids"
    eventually 10 test -s pids
    pid=$(<app.pid)
    escapee=$(tail -n 1 pids)
    within 3000 run_it pidkill app.pid
    expect 0 "*left the group and still runs (pidkill -g $escapee ends it): $escapee (python3*"
    group_gone "$pid"
    [[ ! -e app.pid ]]
}

two_sleep() { [[ $(running sleep 1000 | wc -l) -eq 2 ]]; }
