#!/usr/bin/env bats
# Whose daemon a pidfile is: the answers, as all three programs give them, on
# the daemons, locks, clocks and file systems that fooled earlier rules.

# shellcheck disable=SC2154,SC2016 # run sets stderr; scripts in quotes
load helper

teardown() {
    unmount
    test_teardown
}

# gives STATUS [MESSAGE [OUTPUT]]: of the last run; patterns, anything by default.
gives() { expect "$1" "${2-*}" "${3-*}"; }

# agree ANSWER: what all programs say of app.pid, without ending anybody.
agree() {
    local d p t
    case $1 in
    runs) d=1 p=0 t=0 ;;
    gone) d=0 p=1 t=1 ;;
    unknown) d=${2:-125} p=4 t=4 ;;
    esac
    run_it pidkill -0 app.pid
    gives "$p"
    run_it pgtree app.pid
    gives "$t"
    if ((d)); then
        cp -p app.pid before
        run_it daemonize -o never -p app.pid sleep 1000
        gives "$d"
        cmp before app.pid
        [[ ! -e never ]]
    fi
}

# A script that gives the lock's descriptor away.
closes='for fd in {3..63}; do eval "exec $fd>&-"; done; exec sleep 1000'

# python SCRIPT ARGUMENT...: in the background, until it has said "ready".
python() {
    : >said
    "$PYTHON" -c "import ctypes, fcntl, os, signal, socket, sys, time
$1
print('ready', flush=True); time.sleep(1000)" "${@:2}" >said 3>&- &
    helper=$!
    track "$helper"
    eventually 10 grep -q ready said
}

# closed, traced: of the pid or supervisor of a test.
closed() { [[ $(fds "$pid") == "0 1 2" ]]; }
traced() { [[ $(field "$supervisor" TracerPid) != 0 ]]; }

# hold CALLS PATH [ARGUMENT...]: a pidkill that strace stops at its first of these
# system calls on the path. Its messages are in the file said.
hold() {
    rm -f trace
    strace -f -b execve -qq -o trace -P "$2" -e trace="$1" -e inject="$1:signal=STOP:when=1" pidkill "${@:3}" 2>said 3>&- &
    tracer=$!
    eventually 20 grep -qs SIGSTOP trace
}

# let_go: lets it go on, as often as strace stops it, which counts the calls of each
# thread for itself, and sets status.
let_go() {
    eventually 20 has_gone_on
    status=0
    wait "$tracer" || status=$?
}
has_gone_on() {
    kill -CONT "$(pgrep -P "$tracer" -x pidkill)" 2>/dev/null
    not alive "$tracer"
}

boot_time() { echo $(($(date +%s) - $(cut -d. -f1 /proc/uptime))); }

@test "a daemon that detaches once more has escaped: named, never 'not running'" {
    daemonize -p app.pid -c "$T" sh -c 'setsid sleep 1000 & echo $! >it.new; mv it.new it; exit 0'
    eventually 10 test -e it
    it=$(<it)
    eventually 20 reaped "$(<app.pid)"
    eventually 20 is_named "$it" sleep
    agree runs
    for option in -9 -n '-as HUP' '-s HUP' -L; do
        # shellcheck disable=SC2086
        run_it pidkill $option app.pid
        [[ $option == *HUP || $option == -L ]] && want=4 || want=3
        gives "$want" "pidkill: app.pid: process and group are gone, but others of the daemon live (-T reaches them, or pidkill -g $it): $it (sleep, user *)"
    done
    alive "$it"
    run_it pgtree -no pid app.pid
    gives 0 "" "*$it*"
    run_it pidkill -nT app.pid
    gives 0 "" "*would send TERM/10/KILL/5 to what left the group: $it (sleep, *"
    run_it pidkill -S app.pid
    gives 0 ""
    not alive "$it"
    [[ ! -e app.pid ]]
}

# own_lock ORDER [APART]: a program locks app.pid itself, writes its number,
# starts two processes in groups of their own, and ends. In the order "setsid
# flock" its session is that of the lock's maker; in the order "flock setsid",
# that of libbsd's pidfile_open() and daemon(), it is not. Apart, the second
# process has a session of its own. Sets first and second.
own_lock() {
    "$PYTHON" -c '
import fcntl, os, sys, time
lock = open("app.pid", "w")
for step in sys.argv[1:3]:
    if step == "flock":
        fcntl.flock(lock, fcntl.LOCK_EX)
    elif os.fork():
        os._exit(0)
    else:
        os.setsid()
lock.write("%d\n" % os.getpid()); lock.flush()
r, w = os.pipe()
for move in (os.setpgrp, os.setsid if sys.argv[3:] else os.setpgrp):
    if os.fork() == 0:
        move(); os.write(w, b"%d\n" % os.getpid()); time.sleep(1000)
    os.write(1, os.read(r, 9))
' "$@" </dev/null >both 3>&-
    both() { [[ $(wc -l <both) -eq 2 ]]; }
    eventually 10 both
    { read -r first && read -r second; } <both
    eventually 10 reaped "$(<app.pid)"
}

@test "-T, -S: a lock that daemonize did not make proves who is in its maker's session" {
    need_python
    for option in -T -S; do
        own_lock setsid flock
        run_it pidkill "$option" app.pid
        gives 0 ""
        not alive "$first"
        not alive "$second"
        [[ ! -e app.pid ]]
    done
}

@test "-T, -S: a lock that daemonize did not make: others are left alone and named, and the file stays" {
    need_python
    own_lock flock setsid
    for option in -T -S -nT '-T -s HUP'; do
        # shellcheck disable=SC2086
        run_it pidkill $option app.pid
        [[ $option == *HUP ]] && want=4 || want=3
        gives "$want" "pidkill: app.pid: left alone, as its lock is not daemonize's (pidkill -g $first $second ends it): $first (*, $second (*" ""
    done
    alive "$first"
    alive "$second"
    [[ -e app.pid ]]
    end_all

    own_lock setsid flock apart
    run_it pidkill -T app.pid
    gives 3 "pidkill: app.pid: left alone, as its lock is not daemonize's (pidkill -g $second ends it): $second (*
pidkill: app.pid: still alive (pidkill -g $second ends it): $second (*" ""
    not alive "$first"
    alive "$second"
    [[ -e app.pid ]]
    end_all

    # The one that is proven ends before it is pinned.
    need strace
    own_lock setsid flock apart
    hold write "$T/said" -T app.pid
    kill -KILL "$first"
    eventually 10 reaped "$first"
    let_go
    [[ $status -eq 3 && $(<said) == "pidkill: app.pid: left alone, as its lock is not daemonize's "* ]] || fail "status $status: $(<said)"
    alive "$second"
    [[ -e app.pid ]]
    end_all
}

@test "-T: a session of another PID namespace has the number 0, which proves nothing" {
    need_root
    need_namespaces
    need flock
    cat >inside <<'END'
sleep 1000 &
exec 9>&-
pidkill -T app.pid; echo "status $?"
kill -0 $! && echo alive
END
    echo 4194303 >app.pid
    run_it sh -c 'exec 9<>app.pid && flock -n 9 && exec unshare -pf --mount-proc --kill-child bash inside' 3>&-
    gives 0 "pidkill: app.pid: left alone, as its lock is not daemonize's (pidkill -g * ends it): * (sleep, user root)" $'status 3\nalive'
}

@test "a record lock of the daemon's own on its pidfile: it runs" {
    need_python
    # As atd, smbd, qemu and every classic lockfile() do, in place of the flock
    # or besides.
    python 'f = open("app.pid", "r+" if os.path.exists("app.pid") else "w+"); fcntl.lockf(f, fcntl.LOCK_EX)
f.write("%d\n" % os.getpid()); f.flush(); os.utime("app.pid", (1e9, 1e9))'
    touch -d "@$(($(boot_time) + 1))" app.pid
    agree runs
    kill "$helper"
    eventually 10 not alive "$helper"
    rm app.pid

    daemonize -p app.pid "$PYTHON" -c '
import fcntl, os, sys, time
f = open(sys.argv[1], "r+"); fcntl.lockf(f, fcntl.LOCK_EX); open(sys.argv[1] + ".up", "w"); time.sleep(1000)' "$T/app.pid"
    pid=$(<app.pid)
    eventually 10 test -e app.pid.up
    agree runs
    SECONDS=0
    run_it pidkill app.pid
    gives 0 ""
    ((SECONDS < 9)) # a start is waited for ten
    group_gone "$pid"
    [[ ! -e app.pid ]]
}

@test "a start that takes long is waited for, by name" {
    need_python
    echo 4194304 >app.pid
    python 'f = open("app.pid", "r+"); fcntl.lockf(f, fcntl.LOCK_EX, 1, 0)'
    run_it pidkill -0 app.pid
    gives 0 "" "app.pid: running (a start or stop is under way, by $helper (python*, user *))"
    for program in "pidkill app.pid" "daemonize -p app.pid sleep 1000"; do
        $program 2>err 3>&- &
        it=$!
        waiting() { grep -q ": app.pid: .*$helper .*; waiting$" err; }
        eventually 10 waiting
        alive "$it"
        [[ $program == pidkill* ]] || break
        kill "$helper"
        wait "$it" # there was no daemon
        [[ ! -e app.pid ]]
        echo 4194304 >app.pid
        python 'f = open("app.pid", "r+"); fcntl.lockf(f, fcntl.LOCK_EX, 1, 0)'
    done
    kill "$helper"
    wait "$it"
    alive "$(<app.pid)"
    pidkill app.pid
}

@test "a start in a PID namespace that cannot be seen is one all the same" {
    need_root
    need_namespaces
    need_python
    : >app.pid
    python 'f = open("app.pid", "r+"); fcntl.lockf(f, fcntl.LOCK_EX, 1, 0)'
    run_it unshare -pf --mount-proc --kill-child sh -c 'pidkill -0 app.pid; exec pgtree app.pid' 3>&-
    gives 4 "pgtree: app.pid: a start or stop is under way, by a process that cannot be seen" \
        "app.pid: running (a start or stop is under way, by a process that cannot be seen)"
    kill "$helper"
}

@test "two PID namespaces share the file: neither the wrong process nor 'not running'" {
    need_root
    need_namespaces
    mkfifo stay
    cat >inside <<'END'
sleep 1000 & # takes the low numbers
daemonize -p app.pid sleep 1001
echo ready >said
read -r _ <stay
END
    unshare -pf --mount-proc --kill-child bash inside 3>&- &
    eventually 10 test -s said
    number=$(<app.pid)
    daemon=$(running sleep 1001)
    [[ $daemon != "$number" ]]
    # Outside, who holds the lock is seen.
    run_it pidkill app.pid
    gives 3 "*others of the daemon live*pidkill -g $daemon)*"
    # In a third one nobody is: it cannot be told.
    cat >third <<'END'
sleep 1000 & strangers=$!
while [ $strangers -lt $1 ]; do sleep 1000 & strangers=$!; done
pidkill app.pid; echo "pidkill $?"
pidkill -0 app.pid; echo "-0 $?"
daemonize -p app.pid true; echo "daemonize $?"
kill -0 "$1" && echo alive
END
    run_it unshare -pf --mount-proc --kill-child bash third "$number" 3>&-
    gives 0 "*cannot be seen*remove the file by hand*" $'pidkill 4\n-0 4\ndaemonize 1\nalive'
    [[ $(<app.pid) == "$number" ]]
    alive "$daemon"
    run_it pidkill -T app.pid
    gives 0 "" ""
    eventually 10 not alive "$daemon"
    echo >stay
}

@test "another session whose leader is gone does not make a recycled group the daemon's" {
    # first | second & after a log-out, with the number of a daemon that ended 20 minutes ago.
    [[ $(cut -d. -f1 /proc/uptime) -gt 60 ]] || skip "the machine has just started"
    setsid bash -c 'set -m; { sleep 0.1; } | sleep 1000 & jobs -p >group; exit' 3>&-
    group=$(<group)
    eventually 20 reaped "$group"
    echo "$group" >app.pid
    touch -d '30 seconds ago' app.pid
    agree unknown
    run_it pidkill app.pid
    gives 4 "*nothing tells whether the group $group is its own (pidkill -g $group)"
    [[ -n $(group_members "$group") ]]
    run_it pidkill -g "$group"
    gives 0
}

@test "a file of the future, or on a tmpfs from before the boot: it cannot be told" {
    sleep 1000 &
    pid=$!
    echo "$pid" >app.pid
    touch -d '2040-01-01' app.pid # more than 31 bits of seconds
    agree unknown
    touch -d '10 minutes' app.pid
    agree unknown
    run_it pidkill app.pid
    gives 4 "*the clock was set*"
    dir=$(mktemp -d /dev/shm/answer.XXXXXX) || skip "needs /dev/shm"
    if [[ $(stat -fc %T "$dir") == tmpfs ]]; then
        (
            cd "$dir"
            echo "$pid" >app.pid
            touch -d '1990-01-01' app.pid
            agree unknown
        ) || fail "on tmpfs"
    fi
    rm -r "$dir"
    alive "$pid"
    kill "$pid"
}

@test "a daemon that closed its lock, and a clock that was set on: the start is refused" {
    daemonize -p app.pid bash -c "$closes"
    pid=$(<app.pid)
    eventually 10 closed
    agree runs
    touch -d '1 hour' app.pid
    agree unknown
    touch -r / app.pid
    touch -d now app.pid
    run_it pidkill app.pid
    gives 0 "" ""
    group_gone "$pid"
}

@test "-s: a daemon that closed its lock is known by its supervisor's" {
    daemonize -s -p app.pid bash -c "$closes"
    pid=$(<app.pid)
    eventually 10 closed
    touch -d '1 hour' app.pid
    run_it pidkill -0 app.pid
    gives 0 "" "app.pid: running (group $pid)"
    run_it pidkill app.pid
    gives 0
    group_gone "$pid"
    [[ ! -e app.pid ]]
}

@test "a new pidfile is nobody's to lock before the start has" {
    need strace
    umask 000
    strace -f -b execve -qq -o trace -e trace=openat,fchmod,flock,fcntl daemonize -p app.pid sleep 1000
    grep -q 'openat.*"app.pid".*O_CREAT|O_EXCL.*, 0600[) ]' trace
    # 0644 comes after both locks.
    awk '/flock.*LOCK_EX/ { f = 1 } f && /F_SETLK,/ { r = 1 } /fchmod.*0644/ { exit !(f && r) }' trace
    [[ $(stat -c %a app.pid) == 644 ]]
    pidkill app.pid
}

@test "who may only read the file: neither its locks nor passed descriptors mean anything" {
    need_root
    need_python
    daemonize -p app.pid -c "$T" sleep 1000
    pid=$(<app.pid)
    # The descriptor reaches a service of somebody else's, and the locker ends.
    "$PYTHON" -c '
import fcntl, os, socket, sys, time
a, b = socket.socketpair()
if os.fork() == 0:
    os.setsid()
    _, fds, _, _ = socket.recv_fds(a, 1, 1)
    open("service.new", "w").write("%d\n" % os.getpid()); os.rename("service.new", "service")
    time.sleep(1000)
os.setresuid(65534, 65534, 65534)
f = open("app.pid")
print("ready", flush=True)
fcntl.flock(f, fcntl.LOCK_EX)      # waits for the daemon'"'"'s end
socket.send_fds(b, [b"."], [f.fileno()])
print("locked", flush=True)
time.sleep(1000)' >said 3>&- &
    locker=$!
    track "$locker"
    eventually 10 grep -q ready said
    run_it pidkill app.pid
    gives 0 ""
    group_gone "$pid"
    [[ ! -e app.pid ]]
    eventually 10 grep -q locked said # the lock of a file without a name
    kill -KILL "$locker"

    # The same on a file that stays: a start cannot go past it, and says who it is.
    echo 4194304 >app.pid
    python 'os.setresuid(65534, 65534, 65534); f = open("app.pid"); fcntl.flock(f, fcntl.LOCK_EX)'
    run_it daemonize -p app.pid sleep 1000
    gives 1 "daemonize: app.pid: locked by $helper (python*, user nobody), who may only read it: *"
    run_it pidkill -0 app.pid
    gives 1
    run_it pidkill app.pid
    gives 0
    [[ ! -e app.pid ]]
    kill -KILL "$helper"

    # Passed on: the service is no daemon of this file, and lives.
    : >app.pid
    service=$(<service)
    kill -KILL "$service"
    rm service
    "$PYTHON" -c '
import fcntl, os, time
os.setresuid(65534, 65534, 65534)
f = open("app.pid"); fcntl.flock(f, fcntl.LOCK_EX)
if os.fork() == 0:
    os.setsid(); print("%d" % os.getpid(), flush=True); time.sleep(1000)' >said 3>&-
    eventually 10 test -s said
    service=$(<said)
    track "$service"
    for option in -9 -T -S; do
        run_it pidkill "$option" app.pid
        gives 4 "pidkill: app.pid: empty"
        alive "$service" || fail "$option"
    done
    kill -KILL "$service"
}

@test "a record lock for reading: starts, restarts and stops go on" {
    need_python
    echo 4194304 >app.pid
    python 'f = open("app.pid"); fcntl.lockf(f, fcntl.LOCK_SH)'
    run_it daemonize -s -r -p app.pid sleep 1000
    gives 0
    kill -KILL "$helper"
    pid=$(<app.pid)
    python 'f = open("app.pid"); fcntl.lockf(f, fcntl.LOCK_SH, 1, 0)'
    kill -KILL "$pid"
    restarted() { [[ $(<app.pid) != "$pid" ]] && alive "$(<app.pid)"; }
    eventually 10 restarted
    pid=$(<app.pid)
    run_it pidkill app.pid
    gives 0
    group_gone "$pid"
    [[ ! -e app.pid ]]
    kill -KILL "$helper"
}

@test "a daemon that empties or removes its pidfile at its end" {
    # On TERM, as lighttpd does.
    for end in ': >app.pid' 'rm app.pid'; do
        daemonize -p app.pid -c "$T" -m 022 sh -c "trap '$end; exit' TERM; touch up; while :; do sleep 0.01; done"
        eventually 10 test -e up
        run_it pidkill -v app.pid
        gives 0 "*is gone after*"
        [[ $end != rm* || $stderr == *"removed by the daemon"* ]]
        [[ ! -e app.pid ]]
        rm up
    done
    # And with a helper that stays.
    daemonize -p app.pid -c "$T" sh -c "setsid sleep 1000 & echo \$! >it; trap ': >app.pid; exit' TERM; touch up; while :; do sleep 0.01; done"
    eventually 10 test -e up
    it=$(<it)
    eventually 20 is_named "$it" sleep
    run_it pidkill app.pid
    gives 0 "*left the group and still runs (pidkill -g $it ends it)*"
    [[ ! -e app.pid ]]
    alive "$it"
    kill "$it"
}

@test "a file system without the kernel's locks: 125, its name, nothing left" {
    need strace
    # As NFS says it of a descriptor for reading, others of any.
    for error in EBADF ENOLCK EOPNOTSUPP; do
        run_it strace -f -qq -o trace -e trace=flock -e inject=flock:error=$error \
            daemonize -p app.pid touch ran
        gives 125 "daemonize: app.pid: its file system, *, has no flock(2) (*): a pidfile belongs in *"
        [[ ! -e app.pid && ! -e ran ]]
    done
}

@test "a file system where flock and record lock are one, as on NFS: 125, its name, nothing left" {
    need_root
    fuse mount 0 onelock
    for option in -v -s; do
        run_it timeout 20 daemonize $option -p mount/app.pid touch ran
        gives 125 "daemonize: mount/app.pid: its file system, fuse, has one lock where two are needed: a pidfile belongs in *"
        [[ ! -e mount/app.pid && ! -e ran ]]
    done
}

@test "where the file system has no flock: pidkill ends the daemon of a file that another program wrote" {
    need strace
    for error in EBADF EOPNOTSUPP; do
        daemonize -m 022 sh -c "echo \$\$ >$T/own.pid; exec sleep 1000"
        eventually 10 test -s own.pid
        pid=$(<own.pid)
        eventually 10 is_named "$pid" sleep
        run_it strace -f -qq -o trace -e trace=flock -e inject=flock:error=$error pidkill own.pid
        expect 0
        not alive "$pid"
        [[ ! -e own.pid ]] || fail "$error: own.pid stays"
    done
}

@test "a look at the file that fails says nothing of whose it is" {
    need strace
    # Whichever call it is: a pidfile that stays is said to.
    for n in {1..6}; do
        daemonize -p app.pid sleep 1000
        run_it strace -f -qq -o trace -P "$T/app.pid" -e trace=fstat -e inject="fstat:error=EIO:when=$n" pidkill app.pid
        [[ ! -e app.pid || $stderr == "pidkill: app.pid: "*"input/output error" ]]
        pidkill app.pid
    done
    # Nor is a lock that cannot be asked for one that is not there.
    daemonize -p app.pid -c "$T" sh -c 'setsid sleep 1000 & echo $! >left; exit'
    eventually 10 test -s left
    run_it strace -f -qq -o trace -e trace=flock -e inject=flock:error=ENOMEM pidkill app.pid
    gives 4 "pidkill: app.pid: cannot allocate memory"
    pidkill -T app.pid
    # What daemonize has made can be read, or is not left.
    for option in -l -p; do
        for call in fstat newfstatat; do
            for n in {1..4}; do
                run_it strace -f -b execve -qq -o trace -P "$T/new" -e trace=$call \
                    -e inject=$call:error=ENOMEM:when="$n" daemonize $option new true
                # Each thread counts its calls: where two fail, one may be that of the removal.
                if (($(grep -c INJECTED trace) == 1)); then
                    if ((status == 0)); then [[ $(stat -c %a new) == 644 ]]; else [[ ! -e new ]]; fi
                fi
                rm -f new
            done
        done
    done
}

@test "a supervisor does not end because it cannot tell whether its file is there" {
    need strace
    need_root # the calls that fail are counted as root makes them
    daemonize -s -r -p app.pid -o log sleep 1000
    pid=$(<app.pid)
    supervisor=$(stat_field "$pid" 4)
    strace -f -qq -o trace -p "$supervisor" -e trace=newfstatat \
        -e inject=newfstatat:error=EIO:when=1..2 3>&- 2>/dev/null &
    tracer=$!
    eventually 10 traced
    kill -KILL "$pid"
    again() { [[ $(<app.pid) != "$pid" ]]; }
    eventually 10 again
    said() { grep -q 'input/output error; starting it again' log; }
    eventually 10 said || fail "$(<log)"
    pidkill app.pid
    wait "$tracer" || :
}

@test "no fallocate(2): a killed start leaves nothing that is in the way" {
    need strace
    strace -f -b execve -o trace -e trace=fallocate,execve,pwrite64 -e inject=fallocate:error=EOPNOTSUPP \
        -e inject=pwrite64:signal=KILL:when=1 daemonize -p app.pid sleep 1000 2>/dev/null || :
    nobody() { ! pidkill -0 app.pid >/dev/null 2>&1; }
    eventually 10 nobody
    [[ -e app.pid ]]
    run_it daemonize -p app.pid sleep 1000
    gives 0
    run_it strace -f -b execve -o trace -e inject=fallocate:error=EOPNOTSUPP daemonize -p b.pid sleep 1000
    gives 0
    [[ $(<b.pid) =~ ^[0-9]+$ && $(wc -c <b.pid) -eq $((${#output} + $(wc -c <b.pid))) ]]
    pidkill app.pid b.pid
}

@test "a start slow between the PID and its lock, a pidkill in between: it is ended" {
    need strace
    for delay in pwrite64 fcntl; do
        strace -f -b execve -qq -o trace -e trace=$delay -e inject=$delay:delay_exit=300000 \
            daemonize -p app.pid sleep 1000 3>&- &
        it=$!
        written() { [[ -s app.pid ]]; }
        eventually 20 written
        run_it pidkill app.pid
        gives 0
        wait "$it" || :
        [[ -z $(pgrep -g "$(cut -d' ' -f1 </proc/self/stat)" sleep || :) ]]
        [[ ! -e app.pid ]]
    done
}

@test "-T: a start that comes just after the daemon's end is not killed itself" {
    need_linux 5.3 "pidfds, for the test itself"
    need strace
    daemonize -p app.pid sleep 1000
    # It has found the daemon, and has yet to look who else has the lock.
    strace -f --seccomp-bpf -qq -o trace -P /proc -e trace=getdents64 -e inject=getdents64:delay_enter=1000000:when=1 \
        pidkill -T app.pid 3>&- &
    tracer=$!
    found() {
        it=$(pgrep -P "$tracer" -x pidkill) && grep -qs ^Pid: "/proc/$it"/fdinfo/* &&
            grep -qs '^State:.t' "/proc/$it"/task/*/status
    }
    still() { found && found; }
    eventually 10 still
    kill -KILL "$(<app.pid)"
    # Its daemon may be ended, as it has the same pidfile.
    run_it daemonize -w 2 -p app.pid sleep 1000
    ((status == 0)) || gives 3 "*ended: killed by SIGTERM*"
    wait "$tracer" || :
    pidkill -q app.pid
}

@test "a pidkill meets a supervisor between its fork and the next PID" {
    need strace
    daemonize -s -r -p app.pid -o log sleep 1000
    pid=$(<app.pid)
    supervisor=$(stat_field "$pid" 4)
    strace -f -qq -o trace -p "$supervisor" -e trace=pwrite64 -e inject=pwrite64:delay_enter=3000000 3>&- 2>/dev/null &
    tracer=$!
    eventually 10 traced
    kill -KILL "$pid"
    # It has forked: there is a new command, and the old number in the file.
    forked() { [[ -n $(pgrep -P "$supervisor" -x sleep) && $(<app.pid) == "$pid" ]]; }
    eventually 10 forked
    run_it pidkill app.pid
    gives 0
    [[ ! -e app.pid ]]
    not alive "$supervisor"
    kill -KILL "$tracer" 2>/dev/null || :
    wait "$tracer" || :
    nothing_left
}

# held_between: the supervisor of app.pid is stopped between two runs. Sets
# supervisor.
held_between() {
    [[ $(pidkill -n app.pid 2>&1) =~ \ supervisor\ ([0-9]+): ]] || return
    supervisor=${BASH_REMATCH[1]}
    kill -STOP "$supervisor"
    [[ $(pidkill -n app.pid 2>&1) == *" supervisor $supervisor: "* ]] || { kill -CONT "$supervisor"; return 1; }
}

@test "a supervisor that ends while pidkill looks at it, between two runs: gone, and the file removed" {
    need strace
    for signal in TERM KILL; do
        daemonize -s -r -p app.pid sh -c 'exit 1'
        eventually 20 held_between
        # It stops where it asks whose the supervisor is.
        hold %stat,%fstat "/proc/$supervisor" app.pid
        kill "-$signal" "$supervisor"
        kill -CONT "$supervisor" || :
        eventually 10 not alive "$supervisor"
        let_go
        [[ $status -eq 0 ]] || fail "status $status: $(<said)"
        [[ $(<said) == "pidkill: app.pid: not running"* && ! -e app.pid ]]
    done
}

@test "a supervisor that is killed while pidkill looks at it, between two runs: who had escaped is named" {
    need strace
    daemonize -s -r -p app.pid -c "$T" sh -c 'setsid sh -c "echo \$\$ >left; exec sleep 1000" & until [ -s left ]; do :; done; exit 1'
    eventually 20 held_between
    hold %stat,%fstat "/proc/$supervisor" app.pid
    kill -KILL "$supervisor"
    eventually 10 not alive "$supervisor"
    let_go
    [[ $status -eq 3 && $(<said) == "pidkill: app.pid: process and group are gone, but others of the daemon live "*"(sleep, "* ]] ||
        fail "status $status: $(<said)"
    pidkill -T app.pid
    nothing_left
    [[ ! -e app.pid ]]
}

@test "a run that ends while pidkill looks at it: its supervisor is waited for" {
    need strace
    # It has to read its last lines before it ends. Whatever happens in which
    # order, pidkill ends all of it, and the next start finds nothing in its way.
    daemonize -s -r -p app.pid -o '|cat >/dev/null; sleep 2' sleep 1000
    first=$(<app.pid)
    supervisor=$(stat_field "$first" 4)
    calls() { [[ $(grep -cs pidfd_send_signal trace) -ge $1 ]] || not alive "$tracer"; }
    strace -f -b execve -qq -o trace -e trace=pidfd_send_signal -e inject=pidfd_send_signal:delay_enter=300000 pidkill app.pid 2>said 3>&- &
    tracer=$!
    eventually 20 calls 3 # it has pinned supervisor and daemon, and is about to signal them
    kill -KILL "$first" || :
    next_run() { second=$(<app.pid) && [[ $second != "$first" ]] || not alive "$tracer"; } 2>/dev/null
    eventually 20 next_run
    eventually 20 calls 7 # it has found the next run to live, and pins the supervisor
    kill -KILL "$second" || :
    status=0
    wait "$tracer" || status=$?
    [[ $status -eq 0 && ! -s said && ! -e app.pid ]] || fail "status $status: $(<said)"
    not alive "$supervisor"
    daemonize -p app.pid sleep 1000
    pidkill app.pid
}

@test "a supervisor killed between fork and write, beside an escapee of the last run" {
    need strace
    daemonize -s -r -p app.pid -c "$T" sh -c 'setsid sleep 1001 & exec sleep 1000'
    pid=$(<app.pid)
    supervisor=$(stat_field "$pid" 4)
    eventually 10 running sleep 1001
    first=$(running sleep 1001)
    strace -f -qq -o trace -p "$supervisor" -e trace=pwrite64 -e inject=pwrite64:signal=KILL 3>&- 2>/dev/null &
    tracer=$!
    eventually 10 traced
    kill -KILL "$pid"
    eventually 10 not alive "$supervisor"
    kill -KILL "$tracer" # which lets go of the new run; on TERM strace may wait for that, which waits for strace
    wait "$tracer" || :
    # The new run is the daemon, by its group and session; not the escapee.
    run_it pidkill -0 app.pid
    gives 0
    new=${output//[!0-9]/}
    [[ $new != "$first" ]]
    [[ $(stat_field "$new" 6) == "$supervisor" ]]
    run_it pidkill app.pid
    gives 0
    group_gone "$new"
    [[ ! -e app.pid ]]
    end_all
}

@test "'already running' is never said of a start that then fails" {
    need strace
    printf '#!/nonexistent/interpreter\n' >no-interpreter
    chmod +x no-interpreter
    for _ in 1 2 3; do
        strace -f -b execve -qq -o trace -e trace=fcntl -e inject=fcntl:delay_exit=200000 \
            daemonize -p app.pid ./no-interpreter 2>/dev/null 3>&- &
        first=$!
        eventually 10 test -e app.pid
        run_it daemonize -p app.pid sleep 1000
        gives 0
        wait "$first" || :
        run_it pidkill app.pid
        gives 0
        rm -f app.pid
    done
    # The first fails, and leaves its file, after the second has met its lock.
    need flock
    flock app.pid sleep 0.2 3>&- &
    eventually 10 not flock -n app.pid true
    run_it strace -f -b execve -qq -o trace -e trace=flock -e inject=flock:delay_exit=400000:when=1 \
        daemonize -p app.pid sleep 1000
    gives 0
    pidkill app.pid
}

@test "overlayfs and a btrfs with two subvolumes: the lock's maker is told, or not guessed" {
    need_root
    need_namespaces
    command -v mkfs.btrfs >/dev/null || skip "needs btrfs-progs"
    grep -qw btrfs /proc/filesystems || modprobe -q btrfs || skip "no btrfs in this kernel"
    truncate -s 200M image
    mkfs.btrfs -q image
    mkdir -p mnt
    cat >inside <<'END'
mount -o loop image mnt || exit 77
btrfs -q subvolume create mnt/a || btrfs subvolume create mnt/a >/dev/null
btrfs -q subvolume create mnt/b || btrfs subvolume create mnt/b >/dev/null
chmod 755 mnt mnt/a mnt/b
daemonize -p mnt/a/app.pid sleep 1000
cp mnt/a/app.pid mnt/b/app.pid # the same number in both directories
[[ $(stat -c %i mnt/a/app.pid) == "$(stat -c %i mnt/b/app.pid)" ]] || exit 78
touch -d '-1 hour' mnt/b/app.pid
pidkill -0 mnt/b/app.pid; echo "b $?"
setpriv --reuid=65534 --clear-groups pidkill -0 mnt/a/app.pid >/dev/null; echo "a $?"
pidkill mnt/a/app.pid; echo "stop $?"
END
    run_it unshare -m bash inside 3>&-
    [[ $status -ne 77 && $status -ne 78 ]] || skip "cannot mount it, or other inode numbers"
    gives 0 "*" $'b 1\na [04]\nstop 0'
}

@test "overlayfs: another user's pidkill -0 knows the daemon by the lock's maker" {
    need_root
    need_namespaces
    cat >inside <<'END'
mount -t tmpfs none . || exit 77
cd "$PWD"
mkdir l u w m
mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none m 2>/dev/null || exit 77
daemonize -p m/app.pid sleep 1000
touch -d '+1 hour' m/app.pid
setpriv --reuid=65534 --regid=65534 --clear-groups pidkill -0 m/app.pid; echo "$?"
pidkill m/app.pid
END
    run_it unshare -m bash inside 3>&-
    [[ $status -ne 77 ]] || skip "no overlayfs here"
    gives 0 "" $'m/app.pid: running (group *)\n0'
}

@test "a kernel that shows no locks: the clock decides" {
    need_root
    need_namespaces
    need_python
    # As gVisor's /proc: no lock line in any fdinfo. Hiding them takes a
    # filter of what is read; here the descriptors cannot be read at all, and
    # /proc/locks is empty.
    daemonize -p app.pid sleep 1000
    pid=$(<app.pid)
    cat >inside <<'END'
: >nothing
mount --bind nothing /proc/locks || exit 77
setpriv --reuid=65534 --regid=65534 --clear-groups pidkill -0 app.pid; echo "$?"
END
    run_it unshare -m bash inside 3>&-
    [[ $status -ne 77 ]] || skip "cannot hide /proc/locks"
    gives 0 "*" "*4" # locked, and nobody tells by whom
    pidkill app.pid
    group_gone "$pid"
}

# --- What a review found ---

@test "a record lock whose maker has ended makes nobody the supervisor: root's process is spared" {
    need_root
    need_namespaces
    need_python
    chown nobody .
    # A record lock belongs to a descriptor table. Its process may have ended,
    # and the table live on in another that shares it: the number is recycled.
    cat >ghost <<'END'
import ctypes, fcntl, os, signal, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
os.setuid(65534)
CLONE_FILES = 0x400
clone = {"x86_64": 56}.get(os.uname().machine, 220)
pid = ctypes.CDLL(None).syscall(clone, CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)
if pid == 0:
    fcntl.lockf(fd, fcntl.LOCK_EX, 1, 1)
    os._exit(0)
os.waitpid(pid, 0)
print(pid, flush=True)
time.sleep(1000)
END
    cat >inside <<'END'
for running in '' yes; do
    rm -f app.pid said
    if [[ $running ]]; then
        setpriv --reuid=65534 --clear-groups daemonize -p "$PWD/app.pid" sleep 1000
    else
        : >app.pid
        chown nobody app.pid
    fi
    "$1" ghost app.pid >said &
    until [[ -s said ]]; do sleep 0.02; done
    number=$(<said)
    echo $((number - 1)) >/proc/sys/kernel/ns_last_pid
    sleep 1000 &
    [[ $! == "$number" ]] || exit 77
    pidkill app.pid 2>/dev/null
    kill -0 "$number" && echo spared
done
END
    run_it unshare -pf --mount-proc --kill-child bash inside "$PYTHON" 3>&-
    [[ $status -ne 77 ]] || skip "the number could not be had"
    [[ $output == $'spared\nspared' ]]
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
    gives 0
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
    gives 0
    run_it pidkill app.pid
    gives 0
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
    gives 0
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

@test "the last of the daemon ends while pidkill looks at the pidfile again: a newcomer is not ended" {
    need strace
    # What TERM leaves of it is in a group that another process leads. That is
    # said between the look and what comes after it, and there pidkill stops.
    daemonize -p app.pid -c "$T" bash -c 'trap ": >app.pid; exit" TERM; set -m
        bash -c "sleep 1000 & echo \$! >last.new; for fd in {3..63}; do eval \"exec \$fd>&-\"; done; mv last.new last; wait; sleep 1000" &
        wait'
    eventually 10 test -e last
    hold write "$T/said" app.pid
    grep -q 'only that process is meant' said
    kill -KILL "$(<last)"
    eventually 10 reaped "$(<last)"
    daemonize -p app.pid sleep 1000
    pid=$(<app.pid)
    let_go
    ((status == 0))
    alive "$pid"
    [[ $(<app.pid) == "$pid" ]]
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
    gives 4
    end_all
}

@test "pgtree: what cannot be told is status 4" {
    : >app.pid
    run_it pgtree app.pid
    gives 4
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
    gives 0
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
    gives 0
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
