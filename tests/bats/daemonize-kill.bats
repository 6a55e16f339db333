#!/usr/bin/env bats
# KILL, INT and STOP on daemonize, at any moment: a daemon that its locked pidfile
# leads pidkill to, or nothing.

# shellcheck disable=SC2154,SC2016 # stderr is bats's; scripts in quotes
load helper

# What daemonize calls, in its order; some of it Go's runtime calls too.
calls=(getsid newfstatat openat fstat flock fcntl pread64 fallocate chdir getcwd umask setsid
    close_range pipe2 setpgid dup3 read pwrite64 exit_group)

# killed_at CALL NTH ARGUMENT...: daemonize, killed in that call, as strace counts
# it for each thread.
killed_at() {
    strace -f -b execve -o trace -e trace="$1" -e "inject=$1:signal=KILL:when=$2" \
        daemonize -p app.pid "${@:3}" sleep 1000 2>/dev/null
}

# only_sleeps: nobody but the command is at work any more.
only_sleeps() {
    local p
    for p in $(survivors); do
        is_named "$p" sleep || return 1
    done
}

# sound: nothing runs, or pidkill ends all that does, and removes the pidfile.
sound() {
    local running
    eventually 10 only_sleeps
    running=$(survivors)
    if [[ -z $running ]]; then
        run -0 daemonize -p app.pid sleep 1000 # nor is anything in the way
    elif [[ -s app.pid ]]; then
        [[ $(<app.pid) == "$running" ]]
    fi
    run -0 pidkill app.pid
    [[ ! -e app.pid ]]
    eventually 10 nothing_left || fail "left: $(survivors) of $running"
}

@test "KILL between any two system calls" {
    need strace
    killed=0
    for call in "${calls[@]}"; do
        for nth in 1 2 4; do
            killed_at "$call" "$nth" || killed=$((killed + 1))
            sound
        done
    done
    ((killed >= ${#calls[@]} - 2)) # the child's own calls do not end daemonize
}

@test "KILL between any two system calls of a start over a stale pidfile, in a copy" {
    need strace
    for call in "${calls[@]}"; do
        echo 4194304 >app.pid
        killed_at "$call" 1 -w 0.05 || :
        eventually 10 only_sleeps
        if [[ -s app.pid && -z $(survivors) ]]; then rm app.pid; fi # still the stale one
        sound
    done
}


@test "KILL after the fork and before the PID is written: the holder of the lock is the daemon" {
    need strace
    strace -f -b execve -o trace -e inject=pwrite64:signal=KILL daemonize -p app.pid sleep 1000 2>/dev/null || :
    [[ -e app.pid && ! -s app.pid ]]
    not flock -n app.pid true
    run -1 daemonize -p app.pid sleep 1000
    [[ $output == *"already running (pid $(survivors))"* ]]
    pidkill app.pid
    [[ ! -e app.pid ]]
    eventually 10 nothing_left
}

@test "INT and STOP at any moment" {
    need_python
    "$PYTHON" - <<'END'
import os, signal, subprocess, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
for i in range(60):
    for sig in (signal.SIGINT, signal.SIGSTOP):
        p = subprocess.Popen(["daemonize", "-p", "app.pid", "sleep", "1000"])
        time.sleep(i * 0.0001)
        p.send_signal(sig)
        if sig == signal.SIGSTOP:
            p.send_signal(signal.SIGCONT)
        status = p.wait(30)
        assert status in (0, -sig), (i, sig, status)
        text = open("app.pid").read() if os.path.exists("app.pid") else ""
        assert subprocess.call(["pidkill", "-q", "app.pid"]) == 0 or text == "", (i, sig)
        subprocess.call(["pidkill", "-qf", "app.pid"])
        assert not os.path.exists("app.pid"), (i, sig, text)
END
    eventually 10 nothing_left
}
