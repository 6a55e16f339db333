#!/usr/bin/env bats
# pgtree on real processes; go test has made-up tables.

load helper

setup() {
    test_setup
    need_python
}

# Most tests leave processes; they are ended here, by number. To end_all a
# zombie is dead already, even one with threads that live.
teardown() {
    [[ -z ${maker-} ]] || kill -KILL "$maker" || :
    end_all
    test_teardown
}

# have WHAT: starts pgtree.py and waits until its processes are there. Sets the
# array pids.
have() {
    rm -f pids
    "$PYTHON" "$BATS_TEST_DIRNAME/pgtree.py" "$1" 3>&- &
    maker=$!
    eventually 20 test -e pids
    # shellcheck disable=SC2094
    read -ra pids <pids
}

# idle [COMMAND...]: sleep(1), run by the command. Sets pid.
idle() {
    "${@:-sleep}" 600 3>&- &
    pid=$!
    eventually 10 asleep
}

# No longer the shell that was forked for it.
asleep() { [[ ! /proc/$pid/exe -ef /proc/$$/exe && ! /proc/$pid/exe -ef /usr/bin/setsid ]]; }

is() { [[ $output == "$1" ]] || fail "$output"; }
has() { [[ $output == *"$1"* ]] || fail "no $1 in: $output"; }
lacks() { [[ $output != *"$1"* ]] || fail "$1 in: $output"; }

squeeze() { sed -E 's/^ +//; s/ +/ /g' <<<"$output"; }

# quiet STATUS COMMAND...: that status, and nothing on standard error.
quiet() {
    local status=0
    "${@:2}" 2>errors || status=$?
    [[ $status -eq $1 && ! -s errors ]] || fail "status $status: $(<errors)"
}

# --- values

# The machine does not stand still: what counts differs at every look.
agrees_with_ps() {
    LC_ALL=C.UTF-8 "$PYTHON" "$BATS_TEST_DIRNAME/pgtree.py" compare >differences && return
    cut -d : -f 1 differences | sort >seen
    if [[ -e always ]]; then comm -12 always seen >both; else cp seen both; fi
    mv both always
    [[ ! -s always ]]
}

@test "every process of the machine has the values that ps prints" {
    have threads
    have zombie-leader
    idle nice -n 5 sleep
    idle
    kill -STOP "$pid"
    eventually 20 agrees_with_ps || fail "$(<differences)"
}

@test "the owner of a process that is not dumpable is not root" {
    need_root
    chmod a+w .
    cp "$BATS_TEST_DIRNAME/pgtree.py" . # from where that user may not look
    as_user "$PYTHON" pgtree.py secret &
    eventually 20 test -e pids
    run -0 pgtree -no user,uid "$(<pids)"
    is "$TEST_USER $(id -u "$TEST_USER")"
}

# --- what is there

@test "a session leader that is a zombie: its session is still one" {
    have zombie-leader
    nice= # STAT says it, where the tests run so
    (($(nice) <= 0)) || nice=N
    run -0 pgtree -n -o pid,stat,tree "${pids[0]}"
    [[ $(squeeze) == "${pids[0]} Z${nice}s [python3] <defunct>
${pids[1]} S$nice $PYTHON $BATS_TEST_DIRNAME/pgtree.py zombie-leader" ]] || fail "$output"
    run -0 pgtree -s "${pids[0]}"
    has "session ${pids[0]}, leader zombie"
}

@test "a first thread that has ended, with others alive: no zombie leader" {
    have zombie-threads
    eventually 10 eval '[[ $(stat_field "${pids[0]}" 3) == Z ]]'
    run -0 pgtree -no stat "${pids[0]}"
    [[ $output == Z*l* ]] || fail "$output"
    run -0 pgtree -J "${pids[0]}"
    [[ $(jq '.sessions[].groups[].leader' <<<"$output" | sort -u) != *zombie* ]]
}

@test "a leader that moved to another group is gone from its own" {
    have moved
    run -0 pgtree -s "${pids[1]}"
    is "group ${pids[1]} of session ${pids[0]}, leader gone
\`-python3(${pids[2]})"
    run -0 pgtree -s "${pids[0]}"
    is "session ${pids[0]}
|-python3(${pids[0]})
| \`-python3(${pids[1]})
\`-group ${pids[1]}, leader gone
  \`-python3(${pids[2]})"
}

@test "a session and a group whose leaders are gone are found by number" {
    # Both shells end, the one that leads the session and the one that leads
    # the group, and leave two processes.
    setsid "$BASH" -c 'echo $$ >session; set -m; sh -c "echo \$\$ >group; sleep 600 & sleep 600 &" & wait' 3>&-
    sid=$(<session) pgid=$(<group)
    eventually 10 not alive "$pgid"
    run -0 pgtree -s "$sid"
    [[ ${lines[0]} == "session $sid, leader gone" && ${lines[1]} == "\`-group $pgid, leader gone" && ${#lines[@]} -eq 4 ]] || fail "$output"
    run -0 pgtree -s "$pgid"
    [[ ${lines[0]} == "group $pgid of session $sid, leader gone" && ${lines[1]} == *"sleep("* && ${#lines[@]} -eq 3 ]] || fail "$output"
}

@test "threads: after their process, with their own numbers" {
    have threads
    tids=$(cd "/proc/${pids[0]}/task" && printf '%s\n' * | grep -vx "${pids[0]}" | sort -n)
    run -0 pgtree -nst "${pids[0]}"
    # shellcheck disable=SC2086
    is "server(${pids[0]})
$(printf '|-{python3}(%d)\n' $tids | sed '$s/|/`/')"
    run -0 pgtree -nto pid "${pids[0]}"
    [[ $(tr -d ' ' <<<"$output") == "${pids[0]}"$'\n'"$tids" ]]
    run -0 pgtree -Jt "${pids[0]}"
    [[ $(jq -c '[.sessions[].processes[].threads[].tid]' <<<"$output") == "$(jq -cs . <<<"$tids")" ]]
}

@test "threads are only shown with -t" {
    have threads
    run -0 pgtree -ns "${pids[0]}"
    is "server(${pids[0]})"
}

@test "a PID namespace: parents and sessions outside are 0; /proc of another one" {
    need_root
    need_namespaces
    run -0 unshare --pid --fork --mount-proc pgtree -no pid,ppid,pgid,sid,comm
    [[ $(squeeze) == "1 0 0 0 pgtree" ]] || fail "$output"
    # Without a /proc of its own, the numbers there are not those of getsid(2).
    idle setsid sleep
    eventually 10 eval '[[ $(stat_field "$pid" 6) == "$pid" ]]'
    run -0 unshare --pid --fork pgtree -s "$pid"
    is "sleep($pid)"
}

@test "hidden processes: said on standard error, the rest is shown" {
    need_root
    need_namespaces
    cp "$BIN/pgtree" .
    for mode in 1 2; do
        run -0 --separate-stderr unshare --mount sh -c "
            mount -t proc -o hidepid=$mode proc /proc &&
            exec setpriv --reuid=$TEST_USER --regid=$(id -g "$TEST_USER") --clear-groups ./pgtree -no uid,comm"
        # shellcheck disable=SC2154
        [[ $(awk '{ print $1 }' <<<"$output" | sort -u) == "$(id -u "$TEST_USER")" && $output == *pgtree* && $stderr == "pgtree: /proc: the view is partial: processes are hidden (hidepid)" ]] ||
            fail "hidepid=$mode: $output $stderr"
    done
}

@test "hidden processes: a leader that is hidden is not gone" {
    need_root
    need_namespaces
    cp "$BIN/pgtree" .
    daemonize -p app.pid "$BASH" -c 'setpriv --reuid="$1" --regid="$2" --clear-groups -- sleep 600 & wait' - \
        "$TEST_USER" "$(id -g "$TEST_USER")"
    pid=$(<app.pid) sid=$(stat_field "$(<app.pid)" 6)
    eventually 10 eval 'pgtree -no user,comm "$pid" | grep -qx "$TEST_USER *sleep"'
    for mode in 1 2; do
        for options in "-s $sid" "-s $pid" -s "-J $sid"; do
            run -0 --separate-stderr unshare --mount sh -c "
                mount -t proc -o hidepid=$mode proc /proc &&
                exec setpriv --reuid=$TEST_USER --regid=$(id -g "$TEST_USER") --clear-groups ./pgtree $options"
            case $options in
                -J*) has "\"leader\":\"gone\",\"tty\":null,\"foreground\":null,\"groups\":[{\"pgid\":$pid,\"leader\":\"alive\"" ;;
                "-s $pid") has "group $pid of session $sid, leader hidden"$'\n'"\`-sleep(" ;;
                *) has "session $sid, leader gone"$'\n'"\`-group $pid, leader hidden"$'\n'"  \`-sleep(" ;;
            esac
        done
    done
}

@test "processes that end while they are read are no error" {
    have storm
    for _ in {1..20}; do
        quiet 0 pgtree -t >out
        [[ -s out ]]
    done
}

@test "a process may vanish at each single read" {
    need strace
    idle
    for call in openat read newfstatat; do
        for error in ENOENT ESRCH; do
            # shellcheck disable=SC2030
            quiet 0 strace -f -qq -o trace -e trace="$call" -e inject="$call:error=$error:when=10+7" pgtree -nu 0 >out
            grep -q INJECTED trace
        done
    done
}

@test "arguments and owners are read of the processes that are shown alone" {
    need strace
    idle setsid sleep
    eventually 10 eval '[[ $(stat_field "$pid" 6) == "$pid" ]]'
    strace -f -qq -e trace=openat,newfstatat -o trace pgtree "$pid" >out
    [[ $(grep -Eo '"/proc/[0-9]+(/cmdline)?"' trace) == "\"/proc/$pid\"
\"/proc/$pid/cmdline\"" ]]
}

@test "a row that makes no sense: said, and the others shown" {
    need_root
    need_namespaces
    idle
    printf '%s (odd' "$pid" >stat
    run -0 --separate-stderr unshare --mount sh -c "mount --bind stat /proc/$pid/stat && exec pgtree -no pid"
    [[ $stderr == "pgtree: read /proc/$pid/stat: malformed: left out" ]] || fail "$stderr"
    [[ $'\n'${output// /}$'\n' == *$'\n'1$'\n'* && $'\n'${output// /}$'\n' != *$'\n'"$pid"$'\n'* ]]
}

# --- targets

@test "targets: an unknown number, numbers that no process can have" {
    quiet 0 pgtree -n $$ >out
    run -1 pgtree 4194304
    is "pgtree: 4194304: no such session, group or process"
    for number in 0 00 4194305 4294967297 18446744073709551616 +1; do
        run -2 pgtree "$number"
        [[ ${lines[0]} == "pgtree: $number: a process ID is from 1 to 4194304" && ${lines[1]} == usage:* ]]
    done
    run -2 pgtree -- -1
    has "pgtree: -1: a process ID"
    run -2 pgtree $$ -s
    has "pgtree: -s: options come before the first target"
}

# family: a process with a child in its group, and one in a session of its own
# that has a child in a group of its own. Sets pid, session and group.
family() {
    cat >family <<-'END'
		setsid bash -c 'set -m; echo $$ >session; sleep 600 & echo $! >group; wait' &
		sleep 600 &
		wait
	END
    "$BASH" family 3>&- &
    pid=$!
    eventually 10 test -s group
    session=$(<session) group=$(<group)
    eventually 10 eval '[[ $(pgtree -no comm "$pid" | grep -c sleep) == 2 ]]'
}

@test "targets: a process with its descendants, those elsewhere under their own heading" {
    family
    run -0 pgtree -s "$pid"
    [[ ${lines[0]} == "bash($pid)" && ${lines[1]} == "\`-sleep("* && ${#lines[@]} -eq 5 ]] || fail "$output"
    [[ ${lines[2]} == "session $session, from $pid (bash)" && ${lines[3]} == "|-bash($session)" && ${lines[4]} == "\`-sleep($group)" ]] ||
        fail "$output"
    run -0 pgtree -J "$pid"
    [[ $(jq -c '[.sessions[] | [.sid, (.processes | length)]]' <<<"$output") == "[[$(stat_field "$pid" 6),2],[$session,2]]" ]]
}

@test "targets: a session or group with what comes from it" {
    family
    run -0 pgtree -s "$session"
    is "session $session
|-bash($session)
\`-sleep($group)"
    cp family leading # as before, but leading a group
    rm session group
    setsid "$BASH" leading 3>&- &
    eventually 10 test -s group
    leader=$(stat_field "$(<session)" 4)
    eventually 10 eval '[[ $(pgtree -no comm "$leader" | grep -c sleep) == 2 ]]'
    run -0 pgtree -s "$leader"
    [[ ${lines[0]} == "session $leader" && ${lines[3]} == "session $(<session), from $leader (bash)" && ${#lines[@]} -eq 6 ]] || fail "$output"
}

@test "targets: nothing that pidkill -T reaches is missing" {
    daemonize -p app.pid "$BASH" -c 'setsid sh -c "sleep 600 & wait" & set -m; sleep 600 & wait'
    eventually 10 eval '[[ $(pgtree -no comm app.pid | grep -c sleep) == 2 ]]'
    run -0 pidkill -Tn app.pid
    grep -oE '[0-9]+ \(' <<<"$output" | tr -d ' (' | sort -u >reached
    pgtree -no pid app.pid | tr -d ' ' | sort >shown
    [[ -s reached && -z $(comm -23 reached shown) ]] || fail "$output" "$(<shown)"
}

@test "targets: names, also those that the kernel has cut, and beginnings" {
    cp /bin/sleep pgtree-test-nap
    cp /bin/sleep pgtree-test-napper
    idle ./pgtree-test-nap
    nap=$pid
    idle ./pgtree-test-napper
    eventually 10 eval '[[ $(pgtree -no pid pgtree-test-napper) == "$pid" ]]'
    run -0 pgtree -ns pgtree-test-nap # 15 bytes: a name, and a cut one
    has "($nap)"
    has "($pid)"
    run -0 pgtree -ns pgtree-test-na
    has "($nap)"
    has "($pid)"
    run -1 pgtree pgtree-test-nape
    is "pgtree: pgtree-test-nape: no process of that name"
}

@test "targets: names that stand on the command line: scripts and titles" {
    printf '%s\n' 'import signal, sys' 'print(1, flush=True)' 'signal.pause()' >pgtree-test-app.py
    printf '%s\n' '#!/bin/sh' 'sleep 600 &' 'wait' >pgtree-test-backup-runner.sh
    chmod +x pgtree-test-backup-runner.sh
    idle "$PYTHON" -u ./pgtree-test-app.py
    app=$pid
    ./pgtree-test-backup-runner.sh 3>&- &
    runner=$!
    "$BASH" -c 'exec -a "pgtree-test-title: worker /x/y" sleep 600' 3>&- &
    title=$!
    for want in "pgtree-test-app.py $app" "pgtree-test-app $app" "pgtree-test-backup-runner.sh $runner" \
        "pgtree-test-title $title" "pgtree-test-tit $title"; do
        eventually 10 eval '[[ $(pgtree -no pid "${want% *}" | head -n 1 | tr -d " ") == "${want#* }" ]]' ||
            fail "$want: $(pgtree "${want% *}" 2>&1)"
    done
    cp /bin/sleep pgtree-test-tit # who really has the name
    idle ./pgtree-test-tit
    run -0 pgtree -no pid pgtree-test-tit
    is "${output%%[0-9]*}$pid"
}

@test "targets: a terminal" {
    run -0 on_terminal 'set -m; sleep 600 & until grep -qsx sleep /proc/$!/comm; do :; done
        pgtree -sC never "$(tty)" | cat; kill $!'
    [[ $output == "session "*", terminal pts/"*"sleep("* ]] || fail "$output"
    run -0 on_terminal 't=$(tty); pgtree -sC never "${t#/dev/}" | cat'
    [[ $output == "session "*", terminal pts/"* ]] || fail "$output"
    run -1 pgtree pts/999999
    is "pgtree: pts/999999: no session on that terminal"
}

@test "targets: of a thread's number the message says whose it is" {
    have threads
    tid=$(cd "/proc/${pids[0]}/task" && printf '%s\n' * | grep -vx "${pids[0]}" | head -n 1)
    run -1 pgtree "$tid"
    is "pgtree: $tid: a thread of process ${pids[0]} (server, user $(id -un))"
}

@test "-p: by descent alone, a target with its ancestors" {
    family
    run -0 pgtree -ps "$group"
    [[ ${lines[-1]} == *"\`-sleep($group)" && ${lines[-2]} == *"\`-bash($session)" && ${lines[-3]} == *"-bash($pid)" ]] || fail "$output"
    lacks "session "
    [[ ${lines[0]} == *"(1)" ]] || fail "$output"
    # Descendants too, but no more of the ancestors' children.
    run -0 pgtree -ps "$session"
    [[ ${lines[-1]} == *"\`-sleep($group)" && ${lines[-3]} == *"-bash($pid)" ]] || fail "$output"
    run -0 pgtree -ps # and without a target
    lacks "session "
    grep -A 1 "bash($session)\$" <<<"$output" | grep -q "\`-sleep($group)"
}

@test "targets: several, each in its place, and the status of the worst" {
    idle
    run -1 --separate-stderr pgtree -ns "$pid" no-such-name $$ "$pid"
    [[ ${lines[0]} == "sleep($pid)" && ${lines[-1]} == "sleep($pid)" && $output == *"bash($$)"* ]]
    [[ $stderr == "pgtree: no-such-name: no process of that name" ]]
    run -0 pgtree -J "$pid" $$ "$pid"
    [[ $(jq "[.sessions[].processes[].pid] | map(select(. == $pid)) | length" <<<"$output") == 1 ]]
}

@test "targets: a pidfile shows the session of its daemon" {
    daemonize -p app.pid "$BASH" -c 'set -m; sleep 600 & wait'
    pid=$(<app.pid) sid=$(stat_field "$(<app.pid)" 6)
    eventually 10 eval '[[ $(session_members "$sid" | wc -l) == 2 ]]'
    run -0 pgtree -s app.pid
    [[ ${lines[0]} == "session $sid, leader gone" && ${#lines[@]} -eq 3 ]]
    run -0 pgtree -s "$T/app.pid"
    cp app.pid plain
    run -0 pgtree -s ./plain
    run -1 pgtree plain
    is "pgtree: plain: no process of that name"
}

@test "targets: of a pidfile with a dead leader, who holds the lock is shown" {
    daemonize -p app.pid "$BASH" -c 'sleep 600 & wait'
    pid=$(<app.pid) sid=$(stat_field "$(<app.pid)" 6)
    eventually 10 eval '[[ $(group_members "$pid" | wc -l) == 2 ]]'
    kill -KILL "$pid"
    eventually 10 not alive "$pid"
    run -0 pgtree -s app.pid
    has "session $sid, leader gone"
    has "sleep("
}

@test "targets: of a pidfile with a dead leader, its group where nobody else's can be" {
    # The lock ends with the leader: the child has closed it.
    daemonize -p app.pid "$BASH" -c "sleep 600 $(printf '%d>&- ' {50..63}) & wait"
    pid=$(<app.pid) sid=$(stat_field "$(<app.pid)" 6)
    eventually 10 eval '[[ $(group_members "$pid" | wc -l) == 2 ]]'
    kill -KILL "$pid"
    eventually 10 test ! -e "/proc/$pid"
    run -0 pgtree -s app.pid
    has "session $sid, leader gone"
    has "sleep("
    touch -d '1970-01-02' app.pid # from before the boot
    run -1 pgtree app.pid
    is "pgtree: app.pid: older than the last boot"
}

@test "targets: of a pidfile, a zombie is dead, unless its group lives" {
    have zombie-leader
    echo "${pids[0]}" >app.pid
    run -0 pgtree -sn app.pid
    has "python3(${pids[1]})"
    kill -KILL "${pids[1]}"
    eventually 10 not alive "${pids[1]}"
    run -1 pgtree app.pid
    is "pgtree: app.pid: process ${pids[0]} is not running"
}

@test "targets: of a pidfile, the supervisor between two runs" {
    daemonize -s -r -p app.pid sh -c 'exit 1'
    between() { pidkill -n app.pid >said 2>&1 && grep -q supervisor said; }
    eventually 20 between
    supervisor=$(grep -o 'supervisor [0-9]*' said | cut -d ' ' -f 2)
    run -0 pgtree -s app.pid
    has "session $(stat_field "$supervisor" 6)"
    has "daemonize($supervisor)"
    if ((EUID == 0)); then # whose locks nobody may look at
        cp "$BIN/pgtree" .
        run -0 as_user ./pgtree -s app.pid
        has "daemonize($supervisor)"
    fi
    pidkill app.pid
}

@test "targets: of a pidfile, the supervisor that has not yet noticed the daemon's end" {
    daemonize -s -p app.pid sleep 600
    pid=$(<app.pid) supervisor=$(stat_field "$(<app.pid)" 4)
    kill -STOP "$supervisor"
    eventually 10 state_is "$supervisor" T
    kill -KILL "$pid"
    eventually 10 state_is "$pid" Z
    run -0 pgtree -s app.pid
    has "daemonize($supervisor)"
    kill -CONT "$supervisor"
}

@test "targets: of a pidfile, strangers and the dead match nothing" {
    idle
    echo "$pid" >stale.pid
    touch -d '1 hour ago' stale.pid # older than the process
    run -1 pgtree stale.pid
    is "pgtree: stale.pid: process $pid started later"
    kill -KILL "$pid"
    wait "$pid" || :
    run -1 pgtree stale.pid
    is "pgtree: stale.pid: process $pid is not running"
    for content in '' abc 0 -1 1 '12 13' 4294967297; do
        printf %s "$content" >bad.pid
        run -4 pgtree bad.pid
        [[ $output == "pgtree: bad.pid: "* ]]
    done
    mkfifo fifo.pid
    run -4 pgtree fifo.pid
    run -1 pgtree missing.pid
    is "pgtree: missing.pid: no such file or directory"
}

# --- options

@test "-u: only the processes of one user" {
    need_root
    idle setpriv --reuid="$TEST_USER" --clear-groups sleep
    eventually 10 eval '[[ $(pgtree -no pid -u "$TEST_USER" "$pid" 2>/dev/null) == "$pid" ]]'
    run -0 pgtree -no user -u "$TEST_USER"
    [[ $(sort -u <<<"$output") == "$TEST_USER" ]]
    # Whoever leads the session is another user's, not gone.
    run -0 pgtree -u "$(id -u "$TEST_USER")"
    lacks "session $(stat_field "$pid" 6), leader"
    # A list, and more than once, adds.
    idle
    for list in "-u $TEST_USER,root" "-u $TEST_USER -u 0"; do
        # shellcheck disable=SC2086
        run -0 pgtree -no user $list
        [[ $(sort -u <<<"$output" | paste -sd' ') == *"$TEST_USER"*root* ]]
    done
    run -1 pgtree -u "$TEST_USER" "$pid"
    is "pgtree: $pid: exists, but belongs to none of the users of -u"
    run -2 pgtree -u no-such-user
    has "pgtree: no-such-user: unknown user"
}

@test "-k: kernel threads too, told by their flag" {
    kthread=$(ps -eo pid=,ppid= | awk '$2 == 2 { print $1; exit }')
    [[ $kthread ]] || skip "shows no kernel threads (a container)"
    run -0 pgtree -no pid
    [[ $'\n'${output// /}$'\n' != *$'\n'"$kthread"$'\n'* ]]
    run -0 pgtree -kno pid
    [[ $'\n'${output// /}$'\n' == *$'\n'"$kthread"$'\n'* ]]
    run -0 pgtree -no pid "$kthread" # asked for
}

@test "-J: complete, by session, each process once" {
    have moved
    run -0 pgtree -J
    [[ $(jq '[.sessions[].processes[].pid] | length == (unique | length)' <<<"$output") == true ]]
    run -0 pgtree -J "${pids[0]}"
    [[ $(jq -c '.sessions[] | [.sid, .leader, .tty, .foreground, .groups]' <<<"$output") == \
        "[${pids[0]},\"alive\",null,null,[{\"pgid\":${pids[0]},\"leader\":\"alive\"},{\"pgid\":${pids[1]},\"leader\":\"gone\"}]]" ]]
    [[ $(jq -c '.sessions[].processes[] | [.pid, .ppid, .pgid, .sid, .depth, .stat[:1]]' <<<"$output") == "\
[${pids[0]},$(stat_field "${pids[0]}" 4),${pids[0]},${pids[0]},0,\"S\"]
[${pids[1]},${pids[0]},${pids[0]},${pids[0]},1,\"S\"]
[${pids[2]},${pids[0]},${pids[1]},${pids[0]},0,\"S\"]" ]]
    run -1 --separate-stderr pgtree -J 4194304
    [[ $output == '{"sessions":[]}' ]]
}

@test "-n: rows alone; -o: columns in the order asked for" {
    have moved
    run -0 pgtree -n -o pgid -o 'pid ppid' "${pids[0]}"
    [[ $(squeeze) == "${pids[0]} ${pids[0]} $(stat_field "${pids[0]}" 4)
${pids[0]} ${pids[1]} ${pids[0]}
${pids[1]} ${pids[2]} ${pids[0]}" ]] || fail "$output"
    run -0 pgtree -o comm,pid "${pids[0]}"
    [[ $(squeeze) == "COMMAND PID
python3 ${pids[0]}
python3 ${pids[1]}
python3 ${pids[2]}" ]] || fail "$output"
}

@test "-A, -U: the last one counts, else the locale" {
    have moved
    ascii="\`-python3(${pids[2]})" utf8="└─python3(${pids[2]})"
    for words in "C -s:$ascii" "C.UTF-8 -s:$utf8" "C -sU:$utf8" "C.UTF-8 -sA:$ascii" "C -sUA:$ascii" "C -sAU:$utf8"; do
        read -r locale options <<<"${words%%:*}"
        LC_ALL=$locale run -0 pgtree "$options" "${pids[0]}"
        [[ $output == *"${words#*:}" ]] || fail "$words: $output"
    done
}

@test "help and version go to standard output" {
    run -0 --separate-stderr pgtree -h
    [[ $output == "usage: pgtree [options] [target ...]"* && -z $stderr ]]
    run -0 --separate-stderr pgtree --version
    [[ $output == "pgtree (procgroup) "* && -z $stderr ]]
}

# --- output

@test "hostile names: nothing that a terminal obeys gets through; JSON keeps them" {
    have names
    for locale in C C.UTF-8; do
        for options in -s -t "-o comm,args,pid" -J; do
            # shellcheck disable=SC2086
            LC_ALL=$locale pgtree $options "${pids[0]}" >out
            # C0 but newline, DEL, raw and encoded C1, bidi, invalid UTF-8
            ! LC_ALL=C grep -aP '[\x00-\x09\x0b-\x1f\x7f]|(?<![\xc2-\xf4\x80-\xbf])[\x80-\xbf]|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xaa-\xae]' out
            iconv -f UTF-8 -t UTF-8 out >/dev/null
            [[ $locale != C ]] || ! LC_ALL=C grep -aP '[^\x00-\x7e]' out
        done
        LC_ALL=$locale pgtree -J "${pids[0]}" >out
        jq -r '.sessions[].processes[] | select(.comm | contains("txt")) | .comm' out | LC_ALL=C grep -qxF $'bidi\xe2\x80\xaetxt'
        jq -r '.sessions[].processes[] | select(.args | endswith("C1 600")) | .args' out | grep -qxF 'raw\x9bC1 600'
    done
}

@test "a closed pipe is quiet; a full or limited output is not" {
    for options in -n -s -J; do
        pgtree "$options" 2>errors | head -c 1 >/dev/null
        [[ ${PIPESTATUS[0]} -eq 0 && ! -s errors ]]
        run -4 --separate-stderr bash -c "pgtree $options >/dev/full"
        [[ $stderr == "pgtree: standard output: no space left on device" ]]
        run -4 bash -c "set -o pipefail; ulimit -f 0; pgtree $options 2>&1 >file | cat"
        is "pgtree: standard output: file too large"
    done
    (exec >&- 2>&-; pgtree) # nobody to tell
    run -1 bash -c 'exec 2>&-; pgtree 4194304'
    run -1 bash -c 'pgtree 4194304 2>/dev/full'
}

@test "no /proc: status 4" {
    need_root
    need_namespaces
    run -4 unshare --mount sh -c 'mount -t tmpfs none /proc && exec pgtree'
    has "pgtree: read /proc: no processes"
}

# terminal COLUMNS OPTIONS...: what pgtree shows on a terminal of that width.
terminal() {
    run -0 on_terminal "stty cols $1 rows 50; TERM=${TERM_IS-xterm} exec pgtree ${*:2}"
}

@test "a terminal: whole PIDs, the command cut with a mark; nothing cut in a pipe" {
    idle "$BASH" -c 'exec -a "long$(printf %0200d 0)" sleep 600'
    eventually 10 eval '[[ $(pgtree -no args "$pid") == long* ]]'
    for width in 40 80; do
        terminal "$width" -nC never "$pid"
        want=$pid
        ((width == 40)) || want="$(stat_field "$pid" 4) $pid $(stat_field "$pid" 5) $(stat_field "$pid" 6)"
        [[ ${#output} -eq $width && $(squeeze) == "$want "*"long0"*">" ]] || fail "$output"
    done
    # Text columns that are not the last are cut too, and share the room.
    terminal 40 -nC never -o args,pid,comm "$pid"
    [[ ${#output} -le 40 && $output == "long0"*"> "*"$pid sleep"* ]] || fail "$output"
    terminal 40 -nlC never "$pid"
    [[ $output == *"long$(printf %0200d 0)"* ]]
    run -0 pgtree "$pid"
    has "long$(printf %0200d 0)"
    lacks $'\e'
}

@test "COLUMNS, where it is exported, is the width: for watch(1)" {
    idle "$BASH" -c 'exec -a "long$(printf %0200d 0)" sleep 600'
    eventually 10 eval '[[ $(pgtree -no args "$pid") == long* ]]'
    COLUMNS=70 run -0 pgtree -n "$pid"
    [[ ${#output} -eq 70 && $output == *">" ]] || fail "$output"
    terminal 80 -n "$pid" "| COLUMNS=50 $BIN/pgtree -n $pid"
    [[ ${#output} -eq 50 ]] || fail "$output"
    COLUMNS=70 run -0 pgtree -nl "$pid"
    has "long$(printf %0200d 0)"
    for odd in '' 0 -1 x 1e3; do
        COLUMNS=$odd run -0 pgtree -n "$pid"
        has "long$(printf %0200d 0)"
    done
}

@test "where the edge would cut a command's name, its directory goes" {
    mkdir -p "$(printf 'directory/%.0s' {1..12})"
    cp /bin/sleep directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/nap
    idle "$T/"directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/nap
    eventually 10 eval '[[ $(pgtree -no comm "$pid") == nap ]]'
    COLUMNS=80 run -0 pgtree -n "$pid"
    [[ $output == *" nap 600" ]] || fail "$output"
}

@test "color: by terminal, NO_COLOR and TERM, unless told" {
    idle setsid sleep
    eventually 10 eval '[[ $(stat_field "$pid" 6) == "$pid" ]]'
    terminal 80 "$pid"
    has $'\e[1m'
    for TERM_IS in dumb ''; do
        terminal 80 "$pid"
        lacks $'\e'
    done
    unset TERM_IS
    TERM_IS='xterm NO_COLOR=1' terminal 80 "$pid"
    lacks $'\e'
    TERM_IS='xterm NO_COLOR=' terminal 80 "$pid"
    has $'\e[1m'
    terminal 80 -C never "$pid"
    lacks $'\e'
    run -0 pgtree -C always "$pid"
    has $'\e[1m'
}

# Between the forks and the execs of the pipe there is less to see.
foreground_shown() {
    run -0 on_terminal 'set -m; sleep 600 & pgtree -sC never $$ | cat; kill $!'
    [[ $output == *"session "*", terminal pts/"*"sleep("* && $output == *"group "*", foreground"* ]]
}

foreground_in_json() {
    run -0 on_terminal 'set -m; tty; sleep 600 & pgtree -J $$ | cat; kill $!'
    local pattern='"tty":"(pts/[0-9]+)","foreground":([0-9]+),'
    [[ $output =~ $pattern && $output == *"/dev/${BASH_REMATCH[1]}"* &&
        $output == *'"pgid":'"${BASH_REMATCH[2]},"* ]]
}

@test "the foreground of a terminal is told" {
    eventually 20 foreground_shown || fail "$output"
    eventually 20 foreground_in_json || fail "$output"
}
