#!/usr/bin/env bats
# daemonize -w and -n: what it waits for, what it says, and that nothing is
# left when it does not come.

# shellcheck disable=SC2154,SC2016,SC2086 # stderr is bats's; scripts in quotes; words
load helper

setup() {
    test_setup
    need_python
    # say WORD...: sends them to the socket as one message each; "sleep N" as
    # a word sleeps, "barrier" sends a descriptor and waits until it is closed.
    cat >say <<END
#!$PYTHON
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
for word in sys.argv[1:]:
    if word.startswith("sleep "):
        time.sleep(float(word[6:]))
    elif word == "barrier":
        r, w = os.pipe()
        socket.send_fds(s, [b"BARRIER=1"], [w])
        os.close(w)
        os.read(r, 1)
        open("$T/barrier", "w").close()
    else:
        s.send(word.encode())
END
    chmod +x say
}

# fails STATUS TEXT ARGUMENT...: and no pidfile, socket or process is left.
fails() {
    run --separate-stderr "-$1" timeout 60 daemonize -p app.pid "${@:3}"
    [[ -z $output && $stderr == "daemonize: "*"$2"* && $stderr != *$'\n'* ]] || fail "$stderr"
    [[ ! -e app.pid ]] || fail "pidfile left"
    eventually 10 nothing_left
}

@test "-w: a command that dies at once is reported, by exit 0, exit 1 and signal" {
    fails 3 "ended: exit status 0" -w 10 true
    fails 3 "ended: exit status 1" -w 10 false
    fails 3 "ended: killed by SIGKILL" -w 10 sh -c 'kill -9 $$'
    fails 3 "ended: killed by SIGSEGV" -w 10 sh -c 'ulimit -c 0; kill -SEGV $$'
}

@test "-w: one that runs on is status 0, after that time" {
    SECONDS=0
    daemonize -w 1 -p app.pid sleep 1000
    ((SECONDS >= 1))
    pid=$(<app.pid)
    alive "$pid"
    end_all
    daemonize -w 0 -p app.pid sleep 1000
    end_all
}

@test "-w: the PID can be read, and the file is locked, while it waits" {
    daemonize -w 3 -p app.pid sleep 1000 &
    eventually 10 test -s app.pid
    run -1 daemonize -p app.pid sleep 1000
    [[ $output == *"(pid $(<app.pid))" ]]
    wait $!
    end_all
}

@test "-w: what a command that ended has left in its group is ended" {
    fails 3 "exit status 5" -w 10 sh -c 'trap "" TERM HUP; sleep 1000 & exit 5'
}

@test "-w, -n: what has left the group of a command that failed is named, and pidkill -T ends it" {
    leave='setsid sleep 1000 & while [ "$(ps -o comm= -p $!)" != sleep ]; do :; done'
    run --separate-stderr -3 daemonize -w 60 -p app.pid sh -c "$leave; exit 5"
    escaped=$(running sleep 1000)
    [[ ${stderr_lines[0]} == "daemonize: app.pid: stays, as it is locked by $escaped (sleep, user $(id -un)): pidkill -T app.pid" ]]
    [[ ${stderr_lines[1]} == "daemonize: sh: pid "*" ended: exit status 5 after "* && ${#stderr_lines[@]} -eq 2 ]]
    run -1 daemonize -p app.pid sleep 1000
    pidkill -qT app.pid
    [[ ! -e app.pid ]]
    eventually 10 nothing_left
    # The same where it is not ready, or by a lockfile.
    run --separate-stderr -124 daemonize -n 1 -p app.pid -l lock sh -c "$leave; sleep 1000"
    [[ ${stderr_lines[0]} == "daemonize: app.pid: stays, as "* && ${stderr_lines[1]} == "daemonize: lock: stays, as "*")" ]]
    pidkill -qT app.pid
    [[ ! -e app.pid && -e lock ]]
    eventually 10 nothing_left
}

@test "a command that forks and exits by itself: reported by -w; pidkill finds its group" {
    daemonize -p app.pid sh -c 'sleep 1000 & exit 0'
    pid=$(<app.pid)
    eventually 20 not alive "$pid"
    run -1 daemonize -p app.pid sleep 1000 # its child has the lock
    pidkill app.pid
    [[ ! -e app.pid ]]
    eventually 10 nothing_left
}

@test "-n: READY=1 is status 0, from any process of the command's" {
    daemonize -c . -n 20 -p app.pid sh -c './say READY=1; exec sleep 1000'
    end_all
    daemonize -c . -n 20 -p app.pid sh -c '(exec ./say X=1 STATUS=no "MAINPID=1
READY=1"); exec sleep 1000'
    alive "$(<app.pid)"
    end_all
}

@test "-n: it returns when it is ready, not when the time is over" {
    SECONDS=0
    daemonize -c . -n 100 -p app.pid sh -c './say "sleep 0.2" READY=1; exec sleep 1000'
    ((SECONDS < 50))
    end_all
}

@test "-n: the socket and its directory go away, however it ends" {
    note='echo $NOTIFY_SOCKET >>paths'
    daemonize -c . -n 20 -p app.pid sh -c "$note; ./say READY=1; exec sleep 1000"
    end_all
    rm app.pid
    fails 3 "exit status 1" -c . -n 20 sh -c "$note; exit 1"
    fails 124 "not ready" -c . -n 0.3 sh -c "$note; exec sleep 1000"
    env --default-signal=TERM daemonize -c . -n 20 -p app.pid sh -c "$note; exec sleep 1000" &
    starter=$!
    written() { [[ $(wc -l <paths) -eq 4 ]]; }
    eventually 10 written
    kill "$starter"
    wait "$starter" || :
    while read -r socket; do
        [[ $socket == /*/daemonize.*/* && ! -e $socket && ! -e ${socket%/*} ]]
    done <paths
}

@test "-n: a TMPDIR that is not there does not keep it from being ready" {
    as=()
    ((EUID)) || as=(as_user)
    chmod 777 .
    TMPDIR=$T/none "${as[@]}" "$BIN/daemonize" -c . -n 20 -p app.pid sh -c './say READY=1; exec sleep 1000'
    track "$(<app.pid)"
    end_all
}

@test "-n: STATUS= is told with -v, escaped; a BARRIER is answered" {
    run --separate-stderr -0 daemonize -v -c . -n 20 -p app.pid sh -c \
        './say STATUS=loading "STATUS=bad$(printf "\033")[1m" barrier READY=1; exec sleep 1000'
    [[ ${stderr_lines[0]} == "daemonize: sh: loading" && ${stderr_lines[1]} == 'daemonize: sh: bad\x1b[1m' ]]
    [[ -e barrier ]]
    end_all
    run --separate-stderr -0 daemonize -c . -n 20 -p app.pid sh -c './say STATUS=quiet READY=1; exec sleep 1000'
    [[ -z $stderr ]]
    end_all
}

@test "-n: READY=0, a part of the word, a stream of other things are not ready" {
    fails 124 "not ready after 500ms" -c . -n 0.5 sh -c './say READY=0 READY=11 XREADY=1 "" READY; exec sleep 1000'
}

@test "-n: never ready is 124, and nothing is left" {
    fails 124 "sleep: not ready after 200ms" -n 0.2 sleep 1000
    # Members too, and those that want TERM to be said twice.
    fails 124 "not ready" -n 0.2 sh -c 'sleep 1000 & sleep 1000'
    # Stopped ones act on TERM only after CONT.
    fails 124 "not ready" -n 0.2 sh -c 'kill -STOP $$; sleep 1000'
}

@test "-n: late is 124 too" {
    fails 124 "not ready" -c . -n 0.3 sh -c './say "sleep 5" READY=1; exec sleep 1000'
}

@test "-n: one that ignores TERM is killed 10 seconds later" {
    SECONDS=0
    fails 124 "not ready" -n 0.1 sh -c 'trap "" TERM; while :; do sleep 0.1; done'
    ((SECONDS >= 9))
}

@test "-n: dies first is 3; ready just before it died counts as ready" {
    fails 3 "exit status 4" -n 20 sh -c 'exit 4'
    for _ in {1..20}; do
        daemonize -c . -n 20 ./say READY=1
    done
    # It has ended before daemonize looks at what it said.
    need strace
    strace -f -o trace -e inject=recvmsg:delay_enter=500000 daemonize -c . -n 20 ./say READY=1
    end_all
}

@test "-n: who has changed its user, session or both counts, as a descendant of the command" {
    daemonize -c . -n 20 -p app.pid sh -c 'setsid ./say READY=1 barrier; exec sleep 1000'
    end_all
    need_root
    chmod 1777 .
    rm -f barrier
    drop="setpriv --reuid=nobody --regid=nogroup --clear-groups"
    daemonize -c . -n 20 -p app.pid $drop ./say READY=1 barrier "sleep 1000"
    [[ $(field "$(<app.pid)" Uid | cut -f 1) -eq $(id -u nobody) ]]
    end_all
    rm -f barrier
    daemonize -c . -n 20 -p app.pid sh -c "setsid $drop ./say READY=1 barrier; exec sleep 1000"
    end_all
    rm -f barrier
    # The other way round: of the user's command, what root did for it.
    cp "$(command -v setpriv)" as-root
    chmod u+s as-root
    daemonize -u nobody -c . -n 20 -p app.pid sh -c './as-root --ruid=0 ./say READY=1 barrier; exec sleep 1000'
    end_all
}

@test "-n: a stranger's READY does not count, be it of the same user" {
    mkfifo go
    daemonize -v -c . -n 300 -p app.pid sh -c 'read -r x <go; ./say STATUS=heard; exec sleep 1000' 2>said &
    starter=$!
    eventually 10 test -s app.pid
    eventually 10 executed "$(<app.pid)"
    socket=$(tr '\0' '\n' <"/proc/$(<app.pid)/environ" | sed -n 's/^NOTIFY_SOCKET=//p')
    # It waits until it was heard, and lives on.
    NOTIFY_SOCKET=$socket ./say READY=1 barrier "sleep 1000" &
    eventually 10 test -e barrier
    echo >go
    eventually 20 grep -q heard said
    alive "$starter"
    kill -TERM "$starter"
    status=0
    wait "$starter" || status=$?
    [[ $status -eq 143 && ! -e app.pid ]]
    end_all
}

@test "-n: the socket can be reached by everybody, its directory changed by root alone" {
    need_root
    daemonize -u nobody -n 300 -p app.pid sleep 1000 &
    starter=$!
    eventually 10 test -s app.pid
    eventually 10 executed "$(<app.pid)"
    socket=$(tr '\0' '\n' <"/proc/$(<app.pid)/environ" | sed -n 's/^NOTIFY_SOCKET=//p')
    [[ $socket == /run/* ]]
    [[ $(stat -c '%U %a' "$(dirname "$socket")" "$socket") == $'root 711\nroot 666' ]]
    not as_user touch "$(dirname "$socket")/file" 2>/dev/null
    kill -TERM "$starter"
    wait "$starter" || :
}

@test "-n: of a sender that is gone before it could be looked at, the user counts" {
    need strace
    late="strace -f -o trace -e inject=getsid:delay_enter=500000"
    $late daemonize -c . -n 20 sh -c './say READY=1; sleep 2'
    grep -q 'getsid.*ESRCH' trace
    need_root
    chmod 755 .
    drop="setpriv --reuid=nobody --regid=nogroup --clear-groups"
    run -3 $late daemonize -n 20 -c . sh -c "$drop ./say READY=1; sleep 2"
    grep -q 'getsid.*ESRCH' trace
}

@test "-n: where there is no /run, or it is read-only: TMPDIR, then /tmp" {
    need_root
    need_namespaces
    mkdir tmp theirs "$(printf %0200d 0)"
    chown nobody theirs
    # A directory on proc(5) cannot be made: ENOENT, as if /run were not there.
    for run in "tmpfs -o ro" proc; do
        for tmpdir in "$T/tmp" "$T/none" "$T/theirs" "$T/$(printf %0200d 0)" tmp ""; do
            rm -f app.pid path
            TMPDIR=$tmpdir unshare -m sh -c "mount -t $run none /run; "'exec daemonize -c . -n 20 -p app.pid \
                sh -c "echo \$NOTIFY_SOCKET >path; ./say READY=1; exec sleep 1000"'
            want=/tmp
            [[ $tmpdir != "$T/tmp" ]] || want=$tmpdir
            [[ $(<path) == "$want"/daemonize.*/notify && ! -e $(dirname "$(<path)") ]] || fail "$run, $tmpdir: $(<path)"
            end_all
        done
    done
    [[ -z $(ls -A tmp)$(ls -A theirs)$(ls -A 0*/) ]]
}

@test "-n: ERRNO= is a failure at once, with the command's own words" {
    fails 3 "says that it failed: no such file or directory (errno 2)" -c . -n 300 sh -c './say ERRNO=2; exec sleep 1000'
    fails 3 "says that it failed: permission denied (errno 13)" -c . -n 300 sh -c './say "READY=1
ERRNO=13"; exec sleep 1000'
    daemonize -c . -n 300 -p app.pid sh -c './say ERRNO=0 ERRNO= ERRNO=none READY=1; exec sleep 1000'
    end_all
    run -3 daemonize -v -c . -n 300 -p app.pid sh -c './say "STATUS=no such key
ERRNO=126"; exec sleep 1000'
    [[ ${lines[0]} == "daemonize: sh: no such key" && ${#lines[@]} -eq 2 ]]
}

@test "-n: EXTEND_TIMEOUT_USEC= moves the limit, and never to an earlier time" {
    daemonize -c . -n 2 -p app.pid sh -c './say EXTEND_TIMEOUT_USEC=100000000 "sleep 2.5" READY=1; exec sleep 1000'
    end_all
    daemonize -c . -n 100 -p app.pid sh -c './say EXTEND_TIMEOUT_USEC=1 "sleep 0.5" READY=1; exec sleep 1000'
    end_all
    fails 124 "not ready after" -c . -n 4 sh -c './say "sleep 0.1" EXTEND_TIMEOUT_USEC=4000000; exec sleep 1000'
    [[ $stderr =~ after\ ([0-9]+)\.[0-9]+s$ && ${BASH_REMATCH[1]} -ge 4 ]] # 100 ms late at least
}

@test "NOTIFY_SOCKET is for -n alone" {
    NOTIFY_SOCKET=/caller daemonize -p app.pid sleep 1000
    eventually 10 executed "$(<app.pid)" sleep
    tr '\0' '\n' <"/proc/$(<app.pid)/environ" | grep -qx NOTIFY_SOCKET=/caller
    end_all
    daemonize -w 0.02 -p app.pid sleep 1000
    eventually 10 executed "$(<app.pid)" sleep
    not grep -qz ^NOTIFY_SOCKET= "/proc/$(<app.pid)/environ"
    end_all
}

@test "interrupted by INT, TERM or HUP it ends the command, leaves nothing, and dies by that" {
    for sig in INT TERM HUP; do
        for option in "-w 100" "-n 100"; do
            "$PYTHON" - "$sig" "$option" <<'END'
import os, signal, subprocess, sys, time
sig = getattr(signal, "SIG" + sys.argv[1])
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
p = subprocess.Popen(["daemonize", *sys.argv[2].split(), "-p", "app.pid", "sleep", "1000"])
deadline = time.time() + 20
while not (os.path.exists("app.pid") and os.path.getsize("app.pid")):
    assert time.time() < deadline
    time.sleep(0.005)
p.send_signal(sig)
assert p.wait(30) == -sig, p.returncode
assert not os.path.exists("app.pid")
END
            eventually 10 nothing_left
        done
    done
}

@test "interrupted by a signal that the caller had blocked and ignored" {
    # HUP and INT stay ignored, as nohup and a shell's background jobs want it.
    "$PYTHON" "$BATS_TEST_DIRNAME/hostile.py" ignore block -- daemonize -w 100 -p app.pid sleep 1000 &
    starter=$!
    eventually 10 test -s app.pid
    kill -HUP "$starter"
    kill -INT "$starter"
    kill -TERM "$starter"
    status=0
    wait "$starter" || status=$?
    [[ $status -eq 143 && ! -e app.pid ]]
}

@test "interrupted at any moment of a wait: nothing, not even a pidfile" {
    "$PYTHON" - <<'END'
import os, signal, subprocess, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
for i in range(60):
    p = subprocess.Popen(["daemonize", "-w", "100", "-p", "app.pid", "sleep", "1000"])
    time.sleep(i * 0.0002)
    p.send_signal(signal.SIGINT)
    status = p.wait(30)
    assert status == -signal.SIGINT, status
    assert not os.path.exists("app.pid"), i
END
    eventually 20 nothing_left
}

@test "interrupted while another start holds the lock: it ends at once" {
    : >app.pid
    # A start that never ends: flock and record lock held.
    "$PYTHON" -c '
import fcntl, time
f = open("app.pid", "r+"); g = open("app.pid")
fcntl.flock(g, fcntl.LOCK_EX); fcntl.lockf(f, fcntl.LOCK_EX)
open("held", "w").close(); time.sleep(1000)' &
    holder=$!
    eventually 10 test -e held
    env --default-signal=INT daemonize -w 1 -p app.pid sleep 1000 &
    starter=$!
    copy() { [[ -n $(pgrep -P "$starter") ]]; }
    eventually 10 copy
    kill -TERM "$starter"
    status=0
    wait "$starter" || status=$?
    [[ $status -eq 143 && -e app.pid ]]
    kill "$holder"
}

@test "nohup: HUP does not interrupt the wait" {
    nohup daemonize -w 1 -p app.pid sleep 1000 >nohup.out 2>&1 &
    starter=$!
    eventually 10 test -s app.pid
    kill -HUP "$starter"
    wait "$starter"
    alive "$(<app.pid)"
    end_all
}

@test "KILL on a waiting daemonize leaves a daemon that pidkill ends" {
    daemonize -w 100 -p app.pid sleep 1000 &
    starter=$!
    eventually 10 test -s app.pid
    kill -KILL "$starter"
    wait "$starter" || :
    pidkill app.pid
    [[ ! -e app.pid ]]
    # The copy sees its command end.
    eventually 10 nothing_left
}

@test "too few descriptors: a start that fails leaves nothing" {
    local failures=0
    for ((limit = 8; limit <= 20; limit++)); do
        for how in "-w 0.01" -s; do
            # shellcheck disable=SC2016,SC2086 # expanded by the inner shell; options
            run_it bash -c 'ulimit -n "$0"; exec daemonize "$@"' "$limit" $how -p app.pid sleep 1000
            if ((status == 0)); then
                end_all
                rm app.pid
                continue
            fi
            failures=$((failures + 1))
            [[ $status -eq 125 && ! -e app.pid ]] || fail "$limit $how: $status $stderr"
            eventually 5 nothing_left || fail "$limit $how: $(survivors)"
        done
    done
    ((failures > 0 && status == 0))
}

@test "-w where /proc is that of an outer PID namespace: a failure leaves no pidfile" {
    need_root
    need_namespaces
    run_it unshare --pid --fork --kill-child daemonize -w 5 -p app.pid sh -c 'exit 7'
    [[ $status -eq 3 && ! -e app.pid ]] || fail "$status $stderr"
}
