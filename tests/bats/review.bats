#!/usr/bin/env bats
# What a review of the answers found: each of these fails until it is mended.

# shellcheck disable=SC2154,SC2016 # run sets stderr; scripts in quotes
load helper

run_it() { run --separate-stderr "$@"; }

says() {
    # shellcheck disable=SC2053 # patterns
    [[ $status -eq $1 && $stderr == ${2-*} ]] || fail "status $status, wanted $1: $stderr"
}

# python SCRIPT ARGUMENT...: in the background, until it has said "ready".
python() {
    : >said
    "$PYTHON" -c "import ctypes, fcntl, os, signal, struct, sys, time
$1
print('ready', flush=True); time.sleep(1000)" "${@:2}" >said 3>&- &
    helper=$!
    track "$helper"
    eventually 10 grep -q ready said
}

# A record lock belongs to a descriptor table. Its process may have ended, and
# the table live on in another that shares it: the number is recycled then.
ghost='
fd = os.open(sys.argv[1], os.O_RDWR)
os.setuid(65534)
syscall, CLONE_FILES = ctypes.CDLL(None).syscall, 0x400
pid = syscall({"x86_64": 56}.get(os.uname().machine, 220), CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)
if pid == 0:
    fcntl.lockf(fd, fcntl.LOCK_EX, 1, int(sys.argv[2]))
    os._exit(0)
os.waitpid(pid, 0)
print(pid, flush=True)'

# recycle: root starts a process that gets the number of the ghost.
recycle() {
    local n
    number=$(head -1 said)
    for ((n = 0; n < 500; n++)); do
        echo $((number - 1)) >/proc/sys/kernel/ns_last_pid
        sleep 1000 3>&- &
        [[ $! != "$number" ]] || break
        kill $!
    done
    alive "$number" || skip "the number could not be had"
    track "$number"
}

@test "a record lock whose maker has ended makes nobody the supervisor: root's process is spared" {
    need_root
    need_python
    : >app.pid
    chown nobody app.pid .
    python "$ghost" app.pid 1
    recycle
    run_it pidkill app.pid
    alive "$number"
    end_all
}

@test "a record lock whose maker has ended: root's process gets no USR1 beside a running daemon" {
    need_root
    need_python
    chown nobody .
    as_user daemonize -p "$T/app.pid" sleep 1000
    python "$ghost" app.pid 1
    recycle
    run_it pidkill app.pid
    alive "$number"
    end_all
}

@test "a start that made the file and is late does not remove that of the daemon that came first" {
    need strace
    strace -f -b execve -qq -o trace -e trace=flock -e inject=flock:delay_enter=1500000:when=1 \
        daemonize -p app.pid sleep 1000 3>&- &
    local late=$!
    eventually 10 test -e app.pid
    daemonize -p app.pid bash -c 'for fd in {3..63}; do eval "exec $fd>&-"; done; exec sleep 1000'
    pid=$(<app.pid)
    wait "$late" || status=$?
    [[ $status == 1 ]]
    alive "$pid"
    [[ $(<app.pid) == "$pid" ]]
    end_all
}

@test "a process that lives and is as old as the file is not called gone because a reader's child holds a lock" {
    need_root
    need_python
    sleep 1000 3>&- &
    local pid=$!
    track "$pid"
    echo "$pid" >app.pid
    python '
os.setuid(65534)
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
if os.fork() == 0:
    print("ready", flush=True); time.sleep(1000)
os._exit(0)' app.pid
    run_it pidkill app.pid
    says 0
    not alive "$pid"
    end_all
}

@test "a member that holds a record lock: the process of the number is the daemon, and is ended" {
    need_python
    python '
os.setpgid(0, 0)
open(sys.argv[1], "w").write("%d\n" % os.getpid())
r, w = os.pipe()
if os.fork() == 0:
    lock = open(sys.argv[1], "r+")
    fcntl.lockf(lock, fcntl.LOCK_EX)
    os.write(w, b"x")
    time.sleep(1000)
os.read(r, 1)' app.pid
    run_it pidkill -s CONT app.pid
    says 0
    run_it pidkill app.pid
    says 0
    not alive "$helper"
    end_all
}

@test "-f, and the pidfile emptied: the daemon still runs, and is ended" {
    daemonize -f -p app.pid sleep 1000 3>&- &
    local pid=$!
    track "$pid"
    eventually 10 grep -q . app.pid
    : >app.pid
    run_it pidkill app.pid
    says 0
    not alive "$pid"
    end_all
}

@test "a daemon of many groups that emptied its pidfile: 0 only when nothing is left" {
    daemonize -p app.pid -c "$T" bash -c \
        'set -m; for i in {1..15}; do sleep 1000 & done; : >app.pid; : >made; wait'
    eventually 10 test -e made
    run_it pidkill app.pid
    [[ $status != 0 || -z $(survivors) ]]
    end_all
}

@test "a file of time 0 that no supervisor has: on a tmpfs it cannot be told" {
    [[ $(stat -f -c %T /dev/shm) == tmpfs ]] || skip "needs a tmpfs"
    local file
    file=$(mktemp /dev/shm/procgroup.XXXXXX.pid)
    sleep 1000 3>&- &
    track $!
    echo $! >"$file"
    touch -d @0.5 "$file"
    run_it pidkill "$file"
    rm -f "$file"
    says 4
    end_all
}

@test "pgtree: what cannot be told is status 4" {
    : >app.pid
    run_it pgtree app.pid
    says 4
}

@test "nothing is read of descriptors that are not the file's: fdinfo of an epoll can hang for ever" {
    need strace
    need_python
    python 'import select; held = select.epoll()'
    daemonize -p app.pid sleep 1000
    strace -f -qq -o trace -e trace=open,openat pidkill -n -T app.pid
    run grep -c "/proc/$helper/fdinfo/" trace
    [[ $output == 0 ]]
    end_all
}

@test "another user's -0: who made the lock, lives and is in the file is the daemon" {
    need_root
    need_python
    python '
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
fcntl.flock(lock, fcntl.LOCK_EX)
os.write(lock, b"%d\n" % os.getpid())' app.pid
    track "$(<app.pid)"
    run_it as_user "$BIN/pidkill" -0 "$T/app.pid"
    says 0
    end_all
}

@test "in a chroot that mountinfo does not show: a daemon that closed its lock, beside an escapee" {
    need_root
    need_namespaces
    mkdir -p jail/{proc,bin,t}
    cp "$BIN/pidkill" jail/bin
    daemonize -p "$T/jail/t/app.pid" bash -c \
        'setsid sleep 1000 & for fd in {3..63}; do eval "exec $fd>&-"; done; exec sleep 1000'
    run_it unshare --mount sh -c 'mount -t proc proc jail/proc && exec chroot jail /bin/pidkill -n /t/app.pid'
    says 0
    end_all
}

@test "-T: a reader's child in its maker's session is ended, the daemon is not: never 0, never removed" {
    need_root
    need_python
    sleep 1000 3>&- &
    local pid=$!
    track "$pid"
    echo "$pid" >app.pid
    python '
os.setuid(65534)
os.setsid()
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
if os.fork() == 0:
    print("ready", flush=True); time.sleep(1000)
os._exit(0)' app.pid
    run_it pidkill -T app.pid
    [[ $status != 0 ]] || not alive "$pid"
    [[ -e app.pid ]] || not alive "$pid"
    end_all
}
