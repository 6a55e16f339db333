#!/usr/bin/env bats
# The pidfile: complete, locked while the daemon lives, taken over when stale,
# refused where it is not one, and gone whenever a start fails.

# shellcheck disable=SC2154 # stderr: bats sets it
load helper

# end: ends the daemon. It is quicker than end_all, which looks for others.
end() {
    kill -KILL "$pid"
    eventually 20 not alive "$pid"
}

# start [OPTION...]: a daemon on app.pid, which has its pid then.
start() {
    daemonize -p app.pid "$@" sleep 1000
    pid=$(<app.pid)
    [[ $(printf '%s\n' "$pid") == "$(<app.pid)" ]]
    eventually 10 executed "$pid" sleep
}

# refused STATUS TEXT: a start with app.pid ends so, and leaves nothing.
refused() {
    run --separate-stderr timeout 20 daemonize -p app.pid "${@:3}" sleep 1000
    [[ $status -eq $1 && -z $output ]] || fail "status $status: $stderr"
    [[ $stderr == "daemonize: "*"$2"* && $stderr != *$'\n'* ]] || fail "$stderr"
}

@test "it is complete when daemonize returns, 1000 times of 1000, and never anything else" {
    need_linux 5.3 "pidfds, for the test itself"
    need_python
    "$PYTHON" - <<'END'
import os, re, signal, subprocess, threading, time
done, wrong, watching = [], [], threading.Event()
def watch():  # what a reader sees at any moment
    while not done:
        watching.wait()
        try:
            fd = os.open("app.pid", os.O_RDONLY)
        except FileNotFoundError:
            continue
        text = os.read(fd, 100)  # once: a second read may be of another PID
        os.close(fd)
        if text and not re.fullmatch(rb"[0-9]+\n", text):
            wrong.append(text)
watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
for i in range(1000):
    # A reader that never pauses takes a whole CPU: at every fifth start.
    if i % 5: watching.clear()
    else: watching.set()
    # A longer old content now and then: it must not show through.
    if i % 10 == 0:
        with open("new", "w") as f:
            f.write("4194304\n")
        os.rename("new", "app.pid")
    status = subprocess.call(["daemonize", "-p", "app.pid", "sleep", "1000"])
    with open("app.pid", "rb") as f:
        text = f.read()
    assert status == 0 and re.fullmatch(rb"[0-9]+\n", text), (status, text)
    pid = int(text)
    deadline = time.time() + 10
    while open("/proc/%d/comm" % pid).read() != "sleep\n":  # see executed
        assert time.time() < deadline
    fd = os.pidfd_open(pid)
    signal.pidfd_send_signal(fd, signal.SIGKILL)
    import select
    select.select([fd], [], [], 10)
    os.close(fd)
done.append(1)
watching.set()
watcher.join()
assert not wrong, wrong[:5]
END
}

@test "50 concurrent starts, 20 rounds: one 0, forty-nine 1, one process, the log untouched" {
    need_python
    "$PYTHON" - <<'END'
import os, signal, subprocess, time

def state(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    except OSError: # reaped, perhaps between two looks
        return "X"

for round in range(20):
    with open("log", "w") as f:
        f.write("precious\n")
    os.chmod("log", 0o644)
    # All of them stop before they start, so that they start at once.
    gate_r, gate_w = os.pipe()
    starts = [subprocess.Popen(
        ["sh", "-c", "read x <&%d; exec daemonize -c . -t -p app.pid -o log sh -c 'echo run >>runs; exec sleep 1000'" % gate_r],
        pass_fds=[gate_r], stderr=subprocess.DEVNULL) for _ in range(50)]
    os.close(gate_r)
    os.close(gate_w)
    statuses = sorted(s.wait() for s in starts)
    assert statuses == [0] + 49 * [1], statuses
    with open("app.pid") as f:
        pid = int(f.read())
    deadline = time.time() + 10
    while not (os.path.exists("runs") and os.path.getsize("runs")) and time.time() < deadline:
        time.sleep(0.005)
    with open("runs") as f:
        assert f.read() == "run\n"
    # The winner emptied it (-t); had a loser opened it, it would show below.
    assert os.path.getsize("log") == 0
    os.kill(pid, signal.SIGKILL)
    while state(pid) not in "ZX":
        assert time.time() < deadline
        time.sleep(0.005)
    os.unlink("runs")
    if round % 2:
        os.unlink("app.pid")
END
}

@test "a second start says 1 and who runs, and changes neither pidfile nor logs" {
    start -o log
    echo live >>log
    before=$(stat -c '%i %s %y %z' app.pid log)
    for option in "-q" "-v" "-t -o log" "-w 0.1" "-n 0.1" "-f" "-l other"; do
        # shellcheck disable=SC2086
        refused 1 "app.pid: already running (pid $pid)" $option
    done
    [[ $(stat -c '%i %s %y %z' app.pid log) == "$before" ]]
    [[ ! -e other ]]
    end
}

@test "a second start 1 ms after the first finds it, however slow that is" {
    need strace
    # The first one sleeps between the lock and the PID.
    strace -f -b execve -o trace -e inject=fallocate:delay_exit=500000 daemonize -p app.pid sleep 1000 &
    eventually 10 test -e app.pid
    refused 1 "already running (pid $(<app.pid)" -v
    wait $!
    pid=$(<app.pid)
    [[ $stderr == *"(pid $pid)" ]]
    end
}

@test "stale content is taken over: dead, recycled, empty, long, any number" {
    sleep 1000 &
    stranger=$!
    for content in "" "$BASHPID" 0 1 -1 99999999999999999999999 4194305 "4194304" "  12  " $'12\r' \
        00000000000000000000000000000000000004; do
        printf '%s\n' "$content" >app.pid
        [[ -n $content ]] || : >app.pid
        touch -d '2 days ago' app.pid
        start
        [[ $(<app.pid) == "$pid" && $(wc -c <app.pid) -eq $((${#pid} + 1)) ]]
        end
    done
    # A recycled PID: the process is younger than the file.
    echo "$stranger" >app.pid
    touch -d '1 hour ago' app.pid
    start
    end
    alive "$stranger"
    kill "$stranger"
}

@test "a zombie's PID is stale" {
    need_python
    "$PYTHON" -c '
import os, subprocess, sys
pid = os.fork()
if pid == 0: os._exit(0)
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
open("app.pid", "w").write("%d\n" % pid)
sys.exit(subprocess.call(["daemonize", "-p", "app.pid", "sleep", "1000"]))'
    pid=$(<app.pid)
    eventually 10 executed "$pid" sleep
    end
}

@test "what is no pidfile is refused and stays: text, two numbers, a script" {
    for content in '#!/usr/bin/python3' '12 13' $'12\n13' 12x x12 0x12 1.5 '-' $'\xef\xbb\xbf12' \
        "$(printf '1%.0s' {1..300})"; do
        printf '%s\n' "$content" >app.pid
        cp -p app.pid before
        touch -r app.pid before
        refused 125 "app.pid: not a pidfile"
        cmp app.pid before
        [[ $(stat -c %y app.pid) == "$(stat -c %y before)" ]]
    done
    printf '12\0\n' >app.pid
    refused 125 "app.pid: not a pidfile"
    # Blanks alone are an empty file: a start that was killed leaves them where
    # the file system cannot reserve space.
    printf '\n\n' >app.pid
    start
    end
}

@test "what is no pidfile is refused also where somebody has locked it" {
    need flock
    echo text >app.pid
    flock app.pid sleep 1000 3>&- &
    track "$!"
    locked() { not flock -n app.pid true; }
    eventually 10 locked
    run --separate-stderr daemonize -p app.pid sleep 1000
    [[ $status -eq 125 && $stderr == "daemonize: app.pid: not a pidfile"* && $(<app.pid) == text ]]
    end_all
}

@test "links, FIFO, directory, socket and device are refused, without waiting" {
    echo secret >target
    chmod 600 target
    ln -s target app.pid
    refused 125 "app.pid: refused: a symbolic link"
    rm app.pid
    ln -s nowhere app.pid
    refused 125 "app.pid: refused: a symbolic link"
    [[ ! -e nowhere ]]
    rm app.pid
    ln -s loop app.pid
    ln -s app.pid loop
    refused 125 "app.pid: "
    rm app.pid
    mkfifo app.pid
    refused 125 "app.pid: refused: not a regular file"
    rm app.pid
    mkdir app.pid
    refused 125 "app.pid: "
    rmdir app.pid
    echo 4194304 >target
    ln target app.pid
    refused 125 "app.pid: refused: it has other names (hard links)"
    [[ $(<target) == 4194304 && $(stat -c %a target) == 600 ]]
    rm app.pid
    need_python
    "$PYTHON" -c 'import socket; socket.socket(socket.AF_UNIX).bind("app.pid")'
    refused 125 "app.pid: refused: not a regular file"
    run --separate-stderr timeout 20 daemonize -p /dev/null sleep 1000
    [[ $status -eq 125 && $stderr == "daemonize: /dev/null: refused: "* ]]
    need_root
    run --separate-stderr timeout 20 daemonize -p /dev/tty sleep 1000
    [[ $status -eq 125 ]]
}

@test "no directory, no permission: 125, no process, no file" {
    run --separate-stderr daemonize -p missing/app.pid sleep 1000
    [[ $status -eq 125 && $stderr == "daemonize: missing/app.pid: no such file or directory" ]]
    : >file
    run --separate-stderr daemonize -p file/app.pid sleep 1000
    [[ $status -eq 125 && $stderr == "daemonize: file/app.pid: not a directory" ]]
    run --separate-stderr daemonize -p "$(printf 'x%.0s' {1..300})" sleep 1000
    [[ $status -eq 125 && $stderr == *"file name too long" ]]
    run --separate-stderr daemonize -p "" sleep 1000
    [[ $status -eq 2 ]]
    mkdir closed
    chmod 555 closed
    as() { if ((EUID == 0)); then as_user "$@"; else "$@"; fi; }
    run --separate-stderr as daemonize -p closed/app.pid sleep 1000
    [[ $status -eq 125 && $stderr == "daemonize: closed/app.pid: permission denied" ]]
    [[ -z $(ls closed) ]]
    eventually 10 nothing_left
}

@test "a full disk and a read-only one: 125, no process, no file" {
    need_root
    need_namespaces
    # shellcheck disable=SC2016
    unshare -m sh -c '
        mkdir disk && mount -t tmpfs -o size=64k,nr_inodes=20 none disk || exit 99
        cat /dev/zero >disk/filler 2>/dev/null
        cd disk
        daemonize -p app.pid sleep 1000; echo "$? $(ls)"
        daemonize -f -p app.pid sleep 1000; echo "$? $(ls)"
        echo 4194304 >/dev/null; : >app.pid
        daemonize -p app.pid sleep 1000; echo "$? $(ls)"
        mount -o remount,ro .
        cd / && cd "$OLDPWD"
        daemonize -p app.pid sleep 1000; echo "$? $(ls)"
        daemonize -o log sleep 1000; echo "$? $(ls)"' >out 2>err
    [[ $(<out) == $'125 filler\n125 filler\n125 filler\n125 filler\n125 filler' ]]
    [[ $(<err) == *"app.pid: no space left on device"*"app.pid: read-only file system"*"log: read-only file system"* ]]
    eventually 10 nothing_left
}

@test "a quota, a file size limit, no more descriptors: 125, no process, no file" {
    # The limit is for daemonize alone: bats writes files.
    run prlimit --fsize=0 daemonize -p app.pid sleep 1000
    [[ $status -eq 125 && ! -e app.pid ]]
    prlimit --fsize=0 daemonize -p app.pid sleep 1000 2>&1 | grep -qx "daemonize: app.pid: file too large"
    prlimit --fsize=0 daemonize sleep 1000
    end_all
    need strace
    for error in EDQUOT ENOSPC; do
        run --separate-stderr strace -f -b execve -o trace -e inject=fallocate:error=$error daemonize -p app.pid sleep 1000
        [[ $status -eq 125 && ! -e app.pid ]]
    done
    # Where nothing can be reserved, writing is the test.
    run --separate-stderr strace -f -b execve -o trace -e inject=fallocate:error=EOPNOTSUPP daemonize -p app.pid sleep 1000
    [[ $status -eq 0 && $(<app.pid) =~ ^[0-9]+$ ]]
    end_all
    rm app.pid
    for limit in 3 4 5 6 7 8 9 10; do
        run prlimit --nofile=$limit daemonize -p app.pid sleep 1000
        [[ $status -eq 0 || $status -eq 125 && ! -e app.pid ]]
        end_all
        rm -f app.pid
    done
    eventually 10 nothing_left
}

@test "unlinked or replaced while it runs: another instance's file is never touched" {
    start
    first=$pid
    rm app.pid
    start
    [[ $pid -ne $first ]]
    inode=$(stat -c %i app.pid)
    kill -KILL "$first"
    eventually 20 not alive "$first"
    [[ $(stat -c %i app.pid) == "$inode" && $(<app.pid) == "$pid" ]]
    refused 1 "already running (pid $pid)"
    end
}

@test "a daemon that closes all its descriptors is still recognised" {
    need_python
    daemonize -p app.pid "$PYTHON" -c '
import os, time
os.closerange(3, 1000)
open("'"$T"'/closed", "w").close()
time.sleep(1000)'
    eventually 10 test -e closed
    pid=$(<app.pid)
    flock -n app.pid true
    refused 1 "already running (pid $pid)"
    end
}

@test "an escapee that holds the lock after the daemon died is named, and pidkill -T clears it" {
    # shellcheck disable=SC2016
    daemonize -c . -p app.pid sh -c 'setsid sleep 1000 & echo $! >escaped.new; mv escaped.new escaped; exec sleep 1000'
    eventually 10 test -e escaped
    pid=$(<app.pid)
    end
    eventually 20 is_named "$(<escaped)" sleep
    refused 1 "app.pid: already running (its lock is held by $(<escaped) (sleep, user $(id -un)))"
    [[ $(<app.pid) == "$pid" ]]
    # Whether that is the service itself nobody knows.
    run --separate-stderr pidkill app.pid
    [[ $status -eq 3 && $stderr == "pidkill: app.pid: process and group are gone, but others of the daemon live (-T reaches them, or pidkill -g $(<escaped)): $(<escaped) (sleep, "* ]]
    [[ $(<app.pid) == "$pid" ]]
    alive "$(<escaped)"
    run -0 pidkill -T app.pid
    not alive "$(<escaped)"
    [[ ! -e app.pid ]]
}

@test "a new file that cannot be locked is removed again" {
    need strace
    for option in -p -l; do
        run --separate-stderr strace -f -qq -o trace -e trace=flock -e inject=flock:error=ENOLCK:when=1 \
            daemonize "$option" new sleep 1000
        [[ $status -eq 125 && ! -e new ]]
        [[ $stderr == "daemonize: new: its file system, "*", has no flock(2) (no locks available): a pidfile belongs in "* ]]
    done
}

@test "the inode is checked again after the lock: two starts and a removal leave one daemon" {
    need strace
    # Between the lock and the check the file goes away.
    : >app.pid
    strace -f -b execve -o trace -e inject=flock:delay_exit=700000 daemonize -p app.pid sleep 1000 &
    slow=$!
    eventually 10 flocked app.pid
    rm app.pid
    start
    status=0
    wait $slow || status=$?
    [[ $status -eq 1 && $(running sleep 1000) == "$pid" && $(<app.pid) == "$pid" ]]
    refused 1 "already running (pid $pid)"
    end
    # The other way round: the slow one is alone, and makes a new file.
    : >app.pid
    strace -f -b execve -o trace -e inject=flock:delay_exit=700000 daemonize -p app.pid sleep 1000 &
    slow=$!
    eventually 10 flocked app.pid
    rm app.pid
    wait $slow
    pid=$(<app.pid)
    [[ $(running sleep 1000) == "$pid" ]]
    refused 1 "already running (pid $pid)"
    end
}

# flocked FILE: somebody holds its lock. Trying to take it could get in the way.
flocked() { grep -q "FLOCK .*:$(stat -c %i "$1") " /proc/locks; }

@test "-l: one instance, nothing is written, whatever the file says" {
    echo "some text" >lock
    daemonize -l lock -p app.pid sleep 1000
    pid=$(<app.pid)
    [[ $(<lock) == "some text" ]]
    run --separate-stderr daemonize -l lock sleep 1000
    [[ $status -eq 1 && $stderr == "daemonize: lock: already running (its lock is held by $pid (sleep, user "* ]]
    [[ $(fds "$pid") =~ ^0\ 1\ 2\ 5[0-9]\ 5[0-9]$ ]]
    end
    daemonize -l lock sleep 1000
    end_all
    # A failed start leaves no new one, and an old one where it was.
    run -127 daemonize -l new ./missing
    [[ ! -e new ]]
    run daemonize -l new -o /dev/full sleep 1000
    [[ $status -eq 125 && ! -e new ]]
    run -127 daemonize -l lock ./missing
    [[ $(<lock) == "some text" ]]
    # Old scripts name one file twice.
    daemonize -l app.pid -p app.pid sleep 1000
    refused 1 "already running"
    end_all
}

@test "relative paths are the caller's, also with -c" {
    mkdir sub
    daemonize -c sub -p app.pid -l lock -o log -e err sleep 1000
    [[ -s app.pid && -e lock && -e log && -e err && -z $(ls sub) ]]
    pid=$(<app.pid)
    [[ $(readlink "/proc/$pid/cwd") == "$T/sub" ]]
    end
}

@test "-l and -p may name one file, by whatever paths" {
    mkdir sub
    ln -s . link
    daemonize -l ./sub/app.pid -p sub/app.pid sleep 1000
    pid=$(<sub/app.pid)
    [[ $(fds "$pid") == "0 1 2 50" ]]
    run daemonize -l sub/app.pid -p ./sub/app.pid sleep 1000
    [[ $status -eq 1 && $output == *"already running"* ]]
    end_all
}
