#!/usr/bin/env bats
# KILL, INT and STOP on daemonize, at any moment: a daemon that its locked pidfile
# leads pidkill to, or nothing.

# shellcheck disable=SC2154,SC2016 # stderr is bats's; scripts in quotes
load helper

# What comes before main is Go's; these are daemonize's own calls.
calls=openat,newfstatat,fstat,fcntl,flock,pread64,pwrite64,close,fallocate,chdir,umask,setsid,close_range
calls+=,pipe2,read,exit_group,fchmod,getpgid,getsid,unlinkat,ftruncate

# sound: nothing runs, or pidkill ends all that does, and removes the pidfile.
sound() {
    local running
    running=$(survivors)
    if [[ -z $running ]]; then
        run -0 daemonize -p app.pid sleep 1000 # nor is anything in the way
    elif [[ -s app.pid ]]; then
        [[ $(<app.pid) == "$running" ]]
    fi
    run -0 pidkill app.pid
    [[ ! -e app.pid ]]
    nothing_left
}

@test "KILL between any two system calls" {
    need strace
    killed=0
    for nth in {1..40}; do
        status=0
        strace -f -b execve -o trace -e trace="$calls" -e "inject=$calls:signal=KILL:when=$nth" \
            daemonize -p app.pid sleep 1000 2>/dev/null || status=$?
        sound
        [[ $status -eq 0 ]] || killed=$((killed + 1))
    done
    # The calls are counted per thread, so not every number is met.
    ((killed > 8))
}

@test "KILL between any two system calls of a start over a stale pidfile, in a copy" {
    need strace
    for nth in {1..60..6}; do
        echo 4194304 >app.pid
        strace -f -b execve -o trace -e trace="$calls" -e "inject=$calls:signal=KILL:when=$nth" \
            daemonize -w 0.05 -p app.pid sleep 1000 2>/dev/null || :
        eventually 5 settled
        if [[ -s app.pid && -z $(survivors) ]]; then rm app.pid; fi # still the stale one
        sound
    done
}

# settled: no daemonize is at work any more.
settled() {
    local p
    for p in $(survivors); do
        [[ $(<"/proc/$p/comm") != daemonize ]] 2>/dev/null || return 1
    done
}

@test "KILL after the fork and before the PID is written: the holder of the lock is the daemon" {
    need strace
    strace -f -b execve -o trace -e inject=pwrite64:signal=KILL daemonize -p app.pid sleep 1000 2>/dev/null || :
    [[ -e app.pid && ! -s app.pid ]]
    not flock -n app.pid true
    run -1 daemonize -p app.pid sleep 1000
    [[ $output == *"already running (the lock is held by $(survivors) (sleep, user "* ]]
    pidkill app.pid
    [[ ! -e app.pid ]]
    nothing_left
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
    nothing_left
}
