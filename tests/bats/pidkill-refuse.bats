#!/usr/bin/env bats
# pidkill: whom it must not signal, and what it then says.

# shellcheck disable=SC2154 # stderr is bats's, awkward is pidkill.bash's
load pidkill

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

# mixed_group: a group of root's whose child is the test user's. Sets uid, root
# and child.
mixed_group() {
    uid=$(id -u "$TEST_USER")
    own_group "${awkward[@]}" mixed both "$uid"
    eventually 10 test -s both
    { read -r root && read -r child; } <both
}

@test "partly not permitted: status 3, and the survivors are listed" {
    need_root
    mixed_group
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
    run_it as_user "$BIN/pidkill" -n theirs.pid
    expect 3 "pidkill: theirs.pid: group $child: operation not permitted: $root (sleep, user root)" "theirs.pid: would send * to group $child: $child (sleep, user $TEST_USER)"
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
    for option in -n -9 '-s HUP'; do
        # shellcheck disable=SC2086
        run_it as_user "$BIN/pidkill" $option -g "$pid"
        expect 3 "pidkill: $pid: group $pid: operation not permitted: $pid (sleep, user root)"
    done
    [[ -e root.pid ]]
}

@test "as root, a pidfile or directory of another user reaches only that user's" {
    need_root
    mixed_group
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
    start "${awkward[@]}" count "$T/log"
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
