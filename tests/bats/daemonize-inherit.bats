#!/usr/bin/env bats
# What the command gets from daemonize, wherever and however that is started.

# shellcheck disable=SC2154 # stderr: bats sets it
load helper

# hostile SETTING... -- COMMAND...: see hostile.py.
hostile() { "$PYTHON" "$BATS_TEST_DIRNAME/hostile.py" "$@"; }

# daemon [NAME]: reads app.pid into pid. The command must be what runs by now.
daemon() {
    [[ $(cat app.pid) =~ ^[0-9]+$ ]]
    pid=$(<app.pid)
    eventually 10 executed "$pid" "${1:-sleep}"
}

# proper: the process $pid is a daemon as promised.
proper() {
    local sid
    sid=$(stat_field "$pid" 6)
    [[ $(stat_field "$pid" 5) -eq $pid ]] # leads its group
    [[ $sid -ne $pid && $sid -gt 1 && ! -e /proc/$sid ]] # and not its session
    [[ $(stat_field "$pid" 7) -eq 0 && $(stat_field "$pid" 8) -eq -1 ]]
    [[ $(field "$pid" SigIgn) =~ ^0+$ && $(field "$pid" SigBlk) =~ ^0+$ ]]
    [[ $(fds "$pid") =~ ^0\ 1\ 2\ (5[0-9]|6[0-3])$ ]]
    [[ $(readlink "/proc/$pid/fd/${BASH_REMATCH[1]}") == "$T/app.pid" ]]
    [[ $(sed -n 's/^flags:.*\(.\)$/\1/p' "/proc/$pid/fdinfo/${BASH_REMATCH[1]}") == 0 ]]
    [[ $(readlink "/proc/$pid/cwd") == / && $(field "$pid" Umask) == 0000 ]]
}

# end: ends the daemon. It is quicker than end_all, which looks for others.
end() {
    kill -KILL "$pid"
    eventually 20 not alive "$pid"
}

# Everybody above a test could be a subreaper: init is not always PID 1.
reaper() {
    "$PYTHON" -c '
import os, time
r, w = os.pipe()
if os.fork() == 0:
    parent = os.getpid()
    if os.fork() == 0:
        while os.getppid() == parent:
            time.sleep(0.001)
        os.write(w, b"%d" % os.getppid())
    os._exit(0)
os.wait()
os.close(w)
print(os.read(r, 20).decode())'
}

@test "a daemon leads its group, not its session, and init is its parent at once" {
    init=$(reaper)
    for leader in "" leader; do
        for wait in "" "-w 0.05"; do
            # shellcheck disable=SC2086 # absent, if empty
            hostile $leader -- daemonize $wait -p app.pid sleep 1000
            daemon
            [[ $(stat_field "$pid" 4) -eq $init ]]
            proper
            [[ $(readlink "/proc/$pid/fd/0") == /dev/null ]]
            [[ $(readlink "/proc/$pid/fd/1") == /dev/null ]]
            [[ $(readlink "/proc/$pid/fd/2") == /dev/null ]]
            end
        done
    done
}

@test "a terminal that closes, and exec daemonize in it: the daemon has none and gains none" {
    # An interactive shell's job leads a group; exec makes it the session's leader.
    for start in "set -m; daemonize" "daemonize" "set -m; daemonize -w 0.05"; do
        on_terminal "$start -p $T/app.pid sleep 1000"
        daemon
        proper
        end_all
    done
    on_terminal "exec daemonize -p $T/app.pid -o $T/log $PYTHON -c '
import os, sys, time
while os.path.exists(sys.argv[1]) is False: time.sleep(0.01)
try: os.open(\"/dev/tty\", os.O_RDWR); print(\"has one\")
except OSError: print(\"none\")
os.open(os.ttyname(os.openpty()[1]), os.O_RDWR)
try: os.open(\"/dev/tty\", os.O_RDWR); print(\"gained one\")
except OSError: print(\"still none\", flush=True)
time.sleep(1000)' $T/go"
    pid=$(<app.pid)
    [[ $(stat_field "$pid" 7) -eq 0 ]]
    touch go
    eventually 10 grep -q "still none" log
    [[ $(<log) == $'none\nstill none' ]]
    end_all
}

@test "under nohup SIGHUP is at its default" {
    nohup daemonize -p app.pid sleep 1000 >nohup.out 2>&1
    daemon
    proper
    kill -HUP "$pid"
    eventually 20 not alive "$pid"
}

@test "the caller of \$(daemonize) sees the end of file at once" {
    for option in "" "-w 0.05"; do
        # shellcheck disable=SC2086
        out=$(timeout 20 daemonize $option -p app.pid -v sleep 1000 3>&1 4>&1 2>&1)
        daemon
        [[ $out == "daemonize: sleep: running (pid $pid)" ]]
        end_all
    done
}

@test "ssh without -t, and cron: pipes all around" {
    timeout 20 "$PYTHON" -c '
import subprocess, sys
done = subprocess.run(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE, start_new_session=True)
sys.exit(done.returncode)' sh -c 'daemonize -p app.pid sleep 1000; echo done'
    daemon
    proper
    end_all
}

@test "inetd: a socket as standard input" {
    hostile socket -- daemonize -p app.pid sleep 1000
    daemon
    proper
    end_all
}

@test "a session leader, a group leader and a child of PID 1 can start one" {
    setsid -w daemonize -p app.pid sleep 1000
    daemon
    proper
    end_all
    hostile leader -- daemonize -p app.pid sleep 1000
    daemon
    proper
    end_all
    need_root
    need_namespaces
    # A container's init; its processes end with it.
    # shellcheck disable=SC2016
    unshare --pid --fork --kill-child --mount-proc sh -c '
        daemonize -p app.pid sleep 1000 && daemonize -w 0.05 -p b.pid sleep 1000 || exit
        for p in $(cat app.pid b.pid); do cut -d" " -f 4,5 /proc/$p/stat; done' >out
    [[ $(<out) =~ ^1\ [0-9]+$'\n'1\ [0-9]+$ ]]
}

@test "every subset of 0, 1 and 2 closed: all three are valid" {
    for closed in 0 1 2 0,1 0,2 1,2 0,1,2; do
        for option in "" "-w 0.02" "-o log" "-e err -k 0"; do
            # shellcheck disable=SC2086
            hostile close=$closed -- daemonize $option -p app.pid sleep 1000
            daemon
            proper
            [[ $(readlink "/proc/$pid/fd/0") == /dev/null || $option == *-k* ]]
            case $option in
                "-o log") [[ $(readlink "/proc/$pid/fd/1") == "$T/log" && $(readlink "/proc/$pid/fd/2") == "$T/log" ]] ;;
                "-e err"*) [[ $(readlink "/proc/$pid/fd/2") == "$T/err" ]] ;;
                *) [[ $(readlink "/proc/$pid/fd/2") == /dev/null ]] ;;
            esac
            end
        done
    done
}

@test "-f with descriptors closed: those that were open stay, the others are valid" {
    hostile close=0,1 -- sh -c 'exec daemonize -f -p app.pid sleep 1000 & wait' 3>&- &
    eventually 10 test -s app.pid
    pid=$(<app.pid)
    eventually 20 is_named "$pid" sleep
    [[ $(fds "$pid") =~ ^0\ 1\ 2\ 5[0-9]$ ]]
    end_all
    wait
}

@test "1000 descriptors do not leak, none above a lowered limit, none is looked for up to the limit" {
    hostile open=1000 -- daemonize -p app.pid sleep 1000
    daemon
    proper
    end_all
    hostile at=190-200 nofile=64 -- daemonize -w 0.02 -p app.pid sleep 1000
    daemon
    proper
    # The limit is the caller's, whatever Go made of it for itself.
    [[ $(awk '/Max open files/ { print $4 }' "/proc/$pid/limits") -eq 64 ]]
    end_all
    need strace
    hostile nofile=max open=10 -- strace -f -b execve -o trace -e trace=close,fcntl,close_range \
        daemonize -p app.pid sleep 1000
    daemon
    proper
    [[ $(wc -l <trace) -lt 300 ]]
    end_all
}

@test "none leaks on a kernel without close_range(2)" {
    need strace
    hostile open=100 -- strace -f -b execve -o trace -e trace=close_range -e inject=close_range:error=ENOSYS \
        daemonize -p app.pid sleep 1000
    daemon
    proper
    grep -q ENOSYS trace
    end_all
}

@test "the lock's descriptor finds a place where 50 to 63 are taken, but not over a kept one" {
    hostile at=50-63 -- daemonize -p app.pid sleep 1000
    daemon
    proper
    end_all
    hostile at=50-63 -- daemonize -k 50 -k 51 -k 63 -p app.pid -l lock sleep 1000
    daemon
    [[ $(fds "$pid") == "0 1 2 50 51 52 53 63" ]]
    [[ $(readlink "/proc/$pid/fd/50") == /etc/passwd && $(readlink "/proc/$pid/fd/63") == /etc/passwd ]]
    [[ $(readlink "/proc/$pid/fd/52") == "$T/lock" && $(readlink "/proc/$pid/fd/53") == "$T/app.pid" ]]
    end_all
    # All of them kept: it is somewhere else then.
    # shellcheck disable=SC2046
    hostile at=50-63 -- daemonize $(printf -- '-k %d ' {50..63}) -p app.pid sleep 1000
    daemon
    [[ $(find "/proc/$pid/fd" -lname "$T/app.pid" | wc -l) -eq 1 ]]
    run daemonize -p app.pid sleep 1000
    [[ $status -eq 1 ]]
    end_all
}

@test "whatever numbers are open, kept ones and the lock arrive untouched" {
    # Go's fork uses numbers above the highest of the command's streams itself.
    for last in {3..12} {44..52}; do
        keep=$(printf -- '-k %d ' $((last + 1)) $((last + 2)) $((last + 3)))
        for also in "" "-k 1"; do
            # shellcheck disable=SC2086
            hostile "at=3-$((last - 1))" "at=$((last + 1))-$((last + 3))" -- \
                daemonize $keep $also -p app.pid sleep 1000
            daemon
            for fd in $((last + 1)) $((last + 2)) $((last + 3)); do
                [[ $(readlink "/proc/$pid/fd/$fd") == /etc/passwd ]]
            done
            [[ $(find "/proc/$pid/fd" -lname "$T/app.pid" | wc -l) -eq 1 ]]
            end
        done
    done
}

@test "-k keeps a descriptor, its offset too; one that is not open is refused" {
    exec 7<"$BATS_TEST_DIRNAME/helper.bash"
    daemonize -k 7 -p app.pid sleep 1000
    exec 7<&-
    daemon
    [[ $(readlink "/proc/$pid/fd/7") == */helper.bash ]]
    end_all
    # 3 and 4 may well be open in Go's runtime.
    for fd in 3 4 5 6 7 8 9 1000; do
        run --separate-stderr hostile -- daemonize -k "$fd" sleep 1000 3>&- 4>&-
        [[ $status -eq 125 && $stderr == "daemonize: -k: descriptor $fd: not open" ]]
    done
    echo hello >in
    daemonize -k 0 -k 1 -o out cat <in >/dev/null
    eventually 20 grep -q hello out
}

@test "every signal ignored and blocked: the command has none so, and waiting works" {
    hostile ignore block -- daemonize -p app.pid sleep 1000
    daemon
    proper
    end_all
    hostile ignore block leader -- daemonize -w 0.05 -p app.pid sleep 1000
    daemon
    proper
    end_all
    run --separate-stderr hostile ignore block -- daemonize -w 10 -p app.pid sh -c 'exit 7'
    [[ $status -eq 3 && $stderr == *"exit status 7"* && ! -e app.pid ]]
    hostile ignore block -- sh -c 'exec daemonize -f -p app.pid sleep 1000' &
    eventually 10 test -s app.pid
    pid=$(<app.pid)
    eventually 20 is_named "$pid" sleep
    [[ $(field "$pid" SigIgn) =~ ^0+$ && $(field "$pid" SigBlk) =~ ^0+$ ]]
    end_all
    wait
}

@test "umask 000 and 077: pidfile, lockfile and logs have the modes promised" {
    for mask in 000 077 777; do
        (umask $mask && daemonize -p app.pid -l lock -o log -e err sleep 1000)
        daemon
        [[ $(field "$pid" Umask) == 0000 ]]
        [[ $(stat -c %a app.pid lock log err | paste -sd' ') == "644 644 640 640" ]]
        end_all
        rm app.pid lock log err
    done
    daemonize -m 27 -p app.pid sleep 1000
    daemon
    [[ $(field "$pid" Umask) == 0027 ]]
    end_all
}

@test "a limit of 2^30 descriptors: no loop over it, and it is kept" {
    need_root
    local before limit=1073741816 # the kernel's own maximum for fs.nr_open
    before=$(</proc/sys/fs/nr_open)
    echo "$limit" 2>/dev/null >/proc/sys/fs/nr_open || skip "fs.nr_open cannot be raised"
    run bash -c 'ulimit -n "$1" || exit 77; exec 9</dev/null; exec timeout 10 "${@:2}"' - \
        "$limit" daemonize -p app.pid sleep 1000
    echo "$before" >/proc/sys/fs/nr_open
    ((status != 77)) || skip "needs CAP_SYS_RESOURCE"
    ((status == 0))
    daemon
    [[ $(fds "$pid") == "0 1 2 50" ]]
    [[ $(awk '/Max open files/ { print $4 }' "/proc/$pid/limits") -eq $limit ]]
    end_all
}

@test "nice value and limits are kept" {
    nicer=$(nice -n 5 nice) # from whatever the tests have
    (ulimit -n 77 && ulimit -c 0 && ulimit -s 4096 && ulimit -u 4000 &&
        nice -n 5 daemonize -p app.pid sleep 1000)
    daemon
    [[ $(stat_field "$pid" 19) -eq $nicer ]]
    limits=$(awk '/Max (open files|stack|processes)/ { print $4 == "size" ? $5 : $4 }' "/proc/$pid/limits" | paste -sd' ')
    [[ $(awk '/Max open files/ { print $4 }' "/proc/$pid/limits") -eq 77 ]] || fail "$limits"
    [[ $(awk '/Max stack size/ { print $4 }' "/proc/$pid/limits") -eq 4194304 ]]
    [[ $(awk '/Max processes/ { print $3 }' "/proc/$pid/limits") -eq 4000 ]]
    end_all
}

@test "a deleted working directory: absolute paths work, relative ones get a clear error" {
    mkdir gone
    cd gone
    rmdir "$T/gone"
    daemonize -p "$T/app.pid" -o "$T/log" /bin/sleep 1000
    (cd "$T" && daemon)
    pid=$(<"$T/app.pid")
    [[ $(readlink "/proc/$pid/cwd") == / ]]
    (cd "$T" && end_all)
    run --separate-stderr daemonize -p app.pid sleep 1000
    [[ $status -eq 125 && $stderr == "daemonize: app.pid: "* ]]
    run --separate-stderr daemonize -o log sleep 1000
    [[ $status -eq 125 && $stderr == "daemonize: log: "* ]]
    run --separate-stderr daemonize ./sleep 1000
    [[ $status -eq 125 && $stderr == "daemonize: ./sleep: "*"current directory"* ]]
    cd "$T"
}

@test "an unreadable working directory does not matter" {
    mkdir -p secret/in
    cd secret/in
    chmod 0 "$T/secret"
    daemonize -p "$T/app.pid" sleep 1000
    chmod 755 "$T/secret"
    cd "$T"
    daemon
    end_all
}

@test "GOMAXPROCS is the caller's too, set or not" {
    for value in "" GOMAXPROCS=3; do
        env $value daemonize -w 0.02 -p app.pid sleep 1000
        pid=$(<app.pid)
        track "$pid"
        eventually 10 executed "$pid"
        [[ $(tr '\0' '\n' <"/proc/$pid/environ" | grep ^GOMAXPROCS || :) == "$value" ]]
        end_all
        rm app.pid
    done
}

@test "the environment is the caller's, with PATH, and nothing of daemonize's own" {
    run env -i "$BIN/daemonize" -p app.pid sleep 1000
    [[ $status -eq 0 ]]
    pid=$(<app.pid)
    track "$pid"
    eventually 10 executed "$pid"
    [[ $(tr '\0' ' ' <"/proc/$pid/environ") == "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin " ]]
    end_all
    for option in "" "-w 0.02"; do
        # shellcheck disable=SC2086
        env -i PATH="$PATH" A=1 daemonize $option -E B=2 -E A=3 -E B=4= -p app.pid sleep 1000
        pid=$(<app.pid)
        track "$pid"
        eventually 10 executed "$pid"
        [[ $(tr '\0' '\n' <"/proc/$pid/environ" | sort) == $'A=3\nB=4=\nPATH='"$PATH" ]]
        end_all
    done
    run --separate-stderr daemonize -E =x sleep 1000
    [[ $status -eq 2 ]]
}

@test "PWD tells the truth where it is set" {
    mkdir real
    ln -s real link
    daemonize -c link -p app.pid sleep 1000
    daemon
    tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "PWD=$T/real"
    [[ $(readlink "/proc/$pid/cwd") == "$T/real" ]]
    end_all
    daemonize -E PWD=/nowhere -p app.pid sleep 1000
    daemon
    tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "PWD=/"
    end_all
}

@test "without /proc daemonize works; without /dev/null it says so" {
    need_linux 5.11 "close_range(2) that only marks; /proc/self/fd else"
    need_root
    need_namespaces
    # shellcheck disable=SC2016
    unshare -m sh -c '
        mount -t tmpfs none /proc || exit
        daemonize -p app.pid sleep 1000 && daemonize -w 0.05 -p b.pid sleep 1000 || exit
        daemonize -p app.pid sleep 1000; [ $? -eq 1 ]'
    daemon
    end_all
    run --separate-stderr unshare -m sh -c 'mount -t tmpfs none /dev && daemonize -p app.pid sleep 1000'
    [[ $status -eq 125 && $stderr == "daemonize: /dev/null: no such file or directory" && ! -s app.pid ]]
    unshare -m sh -c 'mount -t tmpfs none /dev && daemonize -i /etc/passwd -o log -p app.pid sleep 1000'
    daemon
    end_all
}

@test "without /proc, and called by a name that leads nowhere: 125, as it is not the command that is missing" {
    need_root
    need_namespaces
    # shellcheck disable=SC2016
    run -125 --separate-stderr unshare -m bash -c '
        mount -t tmpfs none /proc || exit
        PATH=/none exec -a daemonize "$1" -w 0 -p app.pid /bin/sleep 1000' bash "$BIN/daemonize"
    [[ $stderr == "daemonize: cannot start a copy of daemonize: daemonize: command not found"* && ! -e app.pid ]] || fail "$stderr"
}

@test "nothing but the command stays in memory" {
    before=$(survivors)
    [[ -z $before ]]
    daemonize -p app.pid -w 0.05 sleep 1000
    daemon
    [[ $(survivors) == "$pid" ]]
    [[ $(session_members "$(stat_field "$pid" 6)") == "$pid" ]]
    end_all
}

@test "composition: each prefix program keeps PID = PGID in the pidfile" {
    composed() {
        daemonize -p app.pid "$@" sleep 1000
        pid=$(<app.pid)
        eventually 20 is_named "$pid" sleep
        [[ $(stat_field "$pid" 5) -eq $pid && $(<app.pid) == "$pid" ]]
    }
    composed nice -n 5
    [[ $(stat_field "$pid" 19) -eq $(nice -n 5 nice) ]]
    end_all
    need ionice chrt prlimit setpriv
    composed ionice -c 3
    [[ $(ionice -p "$pid") == idle ]]
    end_all
    composed chrt --batch 0
    [[ $(chrt -p "$pid") == *SCHED_BATCH* ]]
    end_all
    composed prlimit --core=0 --
    [[ $(awk '/Max core file size/ { print $5 }' "/proc/$pid/limits") -eq 0 ]]
    end_all
    composed setpriv --no-new-privs
    [[ $(field "$pid" NoNewPrivs) -eq 1 ]]
    end_all
    composed env -i PROCGROUP_TEST="$T" PATH="$PATH"
    [[ $(tr '\0' '\n' <"/proc/$pid/environ" | wc -l) -eq 2 ]]
    end_all
    need_root
    composed chroot /
    end_all
    composed setpriv --reuid=nobody --regid=nogroup --clear-groups
    [[ $(field "$pid" Uid | awk '{ print $1 }') -eq $(id -u nobody) ]]
    end_all
}
