#!/usr/bin/env bats
# The three programs together, on a service of 21 processes (service.py).

load helper

setup() {
    test_setup
    need_python
    # A path of its own tells this test's service from any other.
    cp "$BATS_TEST_DIRNAME/service.py" "$T/app.py"
    start=(daemonize -p app.pid -o app.log "$PYTHON" "$T/app.py")
}

# The master, the worker, 17 children, sh and sleep.
complete() { [[ $(group_members "$1" | wc -l) -eq 21 ]]; }

# start_service: starts it and waits until all of it is there. Sets pid.
start_service() {
    "${start[@]}"
    pid=$(<app.pid)
    eventually 30 complete "$pid"
}

# wrote_since LINE: each Python process wrote to the log after that line.
wrote_since() {
    local written
    written=$(tail -n "+$(($1 + 1))" app.log | awk '{ print $2 }' | sort -u)
    [[ $(wc -l <<<"$written") -eq 19 ]]
}

# rows: pgtree's rows without headings and line art, as "ps jh" has them.
rows() {
    awk '$1 ~ /^[0-9]+$/' | sed -E 's/^ *(([^ ]+ +){9})[-| `+\\]*/\1/' | squeeze
}

squeeze() {
    sed -E 's/^ +//; s/ +/ /g; s/ $//' | sort -n -k 2,2
}

# same_as_ps TARGET: pgtree shows all of the service, and what ps shows.
same_as_ps() {
    pgtree "$1" | rows >pgtree.out
    ps jwwh -p "$(group_members "$pid" | paste -sd,)" | squeeze >ps.out
    [[ $(wc -l <ps.out) -eq 21 ]] && cmp -s pgtree.out ps.out
}

# same TARGET: states change and times grow between the two looks.
same() {
    eventually 10 same_as_ps "$1" || {
        diff ps.out pgtree.out
        return 1
    }
}

nothing_remains() {
    group_gone "$pid" && [[ ! -e app.pid ]]
}

survives_the_terminal() {
    local lines sid dirs
    # What the shell has open must not reach the service.
    shown=$(on_terminal "$1
        exec 5</etc/passwd 8>$T/other 9>&1
        umask 027
        ${start[*]}
        echo status \$?
        tty")
    [[ $shown == *"status 0"*/dev/pts/* ]]
    lines=$(wc -l <app.log)
    pid=$(<app.pid)
    eventually 30 complete "$pid"
    eventually 30 wrote_since "$lines"

    sid=$(stat_field "$pid" 6)
    [[ $sid -ne $pid ]]
    [[ $(session_members "$sid") == "$(group_members "$pid")" ]]
    mapfile -t dirs < <(group_members "$pid" | sed 's|^|/proc/|')
    [[ $(ps -o tty=,tpgid= -s "$sid" | squeeze | uniq) == "? -1" ]]
    [[ $(readlink "${dirs[@]/%//cwd}" | uniq) == / ]]
    [[ $(grep -h ^Umask: "${dirs[@]/%//status}" | uniq) == Umask:*0000 ]]
    find "${dirs[@]/%//fd}" -type l -printf '%l\n' >open-files
    [[ $(wc -l <open-files) -ge $((3 * ${#dirs[@]})) ]]
    run ! grep -E "^(/dev/pts/|/etc/passwd$|$T/other$)" open-files
    [[ $(fds "$pid") =~ ^0\ 1\ 2\ (5[0-9]|6[0-3])$ ]]
    [[ $(readlink "/proc/$pid/fd/${BASH_REMATCH[1]}") == "$T/app.pid" ]]

    pidkill app.pid
    nothing_remains
}

@test "the service outlives its terminal, started as a job" {
    survives_the_terminal "set -m"
}

@test "the service outlives its terminal, started by a script" {
    survives_the_terminal "set +m"
}

@test "pgtree of the pidfile and of its number shows what ps j shows" {
    start_service
    same "$(cat app.pid)"
    same app.pid
    [[ $(pgtree "$pid" | head -n 1 | squeeze) == "$(ps j | head -n 1 | squeeze)" ]]
    pidkill app.pid
    nothing_remains
}

@test "pgtree of the session works, though its leader is gone" {
    start_service
    sid=$(stat_field "$pid" 6)
    eventually 10 not test -e "/proc/$sid"
    same "$sid"
    [[ $(pgtree "$sid") == *"session $sid"*"leader gone"* ]]
    pidkill app.pid
    nothing_remains

    # Init may take its time to reap them; until then pgtree shows zombies.
    eventually 30 not pgtree "$sid" >/dev/null 2>&1
    run --separate-stderr pgtree "$sid"
    [[ $status -eq 1 && -n $stderr && -z $output ]]
}

@test "pgtree -s draws the tree alone" {
    start_service
    tree=$(pgtree -s "$pid")
    for member in $(group_members "$pid"); do
        [[ $tree == *"$(<"/proc/$member/comm")($member)"* ]]
    done
    pidkill app.pid
    nothing_remains
}

@test "pgtree -t shows the threads of master and worker" {
    start_service
    worker=$(pgrep_child "$pid")
    # Started last of all, so there may be a moment without them.
    threads() { [[ $(stat_field "$pid" 20) -eq 4 && $(stat_field "$worker" 20) -eq 4 ]]; }
    eventually 10 threads

    # The PIDs of all, and the TIDs that are no PIDs.
    for member in $(group_members "$pid"); do ls "/proc/$member/task"; done | sort -n >expected
    [[ $(wc -l <expected) -eq 27 ]]
    pgtree -t "$pid" | rows | awk '{ print $2 }' | sort -n | diff expected -
    pgtree "$pid" | rows | awk '{ print $2 }' | diff <(group_members "$pid" | sort -n) -
    pidkill app.pid
    nothing_remains
}

# pgrep_child PID: the only child that it has.
pgrep_child() {
    local child
    child=$(ps -o pid= --ppid "$1")
    echo "${child// /}"
}

@test "with the pidfile lost, pgtree finds the group and pidkill -g ends it" {
    start_service
    rm app.pid
    # Not as an argument: awk would find itself.
    pgid=$(pgtree | rows | app=$T/app.py awk 'index($0, ENVIRON["app"]) { print $3 }' | sort -u)
    [[ $pgid -eq $pid ]]

    pidkill -g "$pgid"
    nothing_remains
}

@test "start, stop and restart are one shell line each, running or not" {
    line="${start[*]}"
    stop="pidkill app.pid"
    restart="$stop && $line"

    # Not running.
    run sh -c "$stop"
    [[ $status -eq 0 ]]
    run sh -c "$restart"
    [[ $status -eq 0 ]]
    first=$(<app.pid)
    eventually 30 complete "$first"

    # Running.
    run sh -c "$line"
    [[ $status -eq 1 && $(<app.pid) == "$first" ]]
    run sh -c "$restart"
    [[ $status -eq 0 ]]
    group_gone "$first"
    pid=$(<app.pid)
    [[ $pid != "$first" ]]
    eventually 30 complete "$pid"
    run sh -c "$stop"
    [[ $status -eq 0 ]]
    nothing_remains

    # Stopped behind its back: the pidfile is stale.
    sh -c "$line"
    stale=$(<app.pid)
    eventually 30 complete "$stale"
    # shellcheck disable=SC2046 # a list of numbers
    kill -KILL $(group_members "$stale")
    eventually 10 group_gone "$stale"
    run sh -c "$line"
    [[ $status -eq 0 && $(<app.pid) != "$stale" ]]
    pid=$(<app.pid)
    sh -c "$stop"
    nothing_remains
}
