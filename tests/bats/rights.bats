#!/usr/bin/env bats
# With whose rights root's daemonize and pidkill do things for other users and
# in their directories. What the user of these tests does is hostile.

# shellcheck disable=SC2154,SC2016,SC2317 # stderr is bats's; scripts in quotes; functions by name
load helper

setup() {
    test_setup
    need_root
    # A user of this test's own, by number: some of it signals all of the user's.
    user=$((61000 + BATS_TEST_NUMBER))
    mkdir mine theirs sticky
    chown "$user:$user" theirs
    chmod 1777 sticky
    chmod 755 . mine
    echo precious >mine/secret
    chmod 600 mine/secret
    before=$(secret)
    [[ $(stat -c %u / "$T" | paste -sd' ') == "0 0" ]] || skip "the test's directory is not root's"
}

teardown() {
    unmount
    test_teardown
}

# secret: all that an attack could have changed about root's file.
secret() { stat -c '%i %h %s %x %y %z %U %a' mine/secret; }
untouched() { [[ $(secret) == "$before" ]] || fail "$(secret) instead of $before"; }

# as_them COMMAND...: as the user of this test.
as_them() {
    setpriv --reuid="$user" --regid="$user" --clear-groups --inh-caps=-all -- "$@"
}

# daemonize_u ARGUMENT...: daemonize with -u for that user.
daemonize_u() { daemonize -u "$user:$user" "$@"; }

# interrupt: ends the start under way, of PID starting, which leaves no pidfile.
interrupt() {
    kill -TERM "$starting"
    eventually 15 not alive "$starting"
    status=0
    wait "$starting" || status=$?
    [[ $status -eq 143 && ! -e app.pid ]] || fail "status $status: $(<messages)"
}

refused() { # TEXT ARGUMENT...
    run --separate-stderr -125 timeout 20 daemonize "${@:2}" sleep 1000
    # shellcheck disable=SC2053 # a pattern
    [[ $stderr == "daemonize: "$1* && $stderr != *$'\n'* ]] || fail "$stderr"
    eventually 10 nothing_left
}

@test "root's log that somebody has made before, in a directory for all" {
    as_them sh -c ': >sticky/log; chmod 666 sticky/log; mkfifo -m 666 sticky/fifo; ln -s ../mine/secret sticky/link'
    ln mine/secret sticky/hard
    before=$(secret)
    refused "sticky/log: refused: *log belongs to user $user, who could have put it there" -o sticky/log
    refused "sticky/log: refused: *log belongs to user $user, who could have put it there" -i sticky/log
    refused "sticky/fifo: refused: not a regular file" -i sticky/fifo
    refused "sticky/link: refused: *sticky/link is a symbolic link" -o sticky/link
    refused "sticky/hard: refused: it has other names" -t -o sticky/hard
    [[ ! -s sticky/log ]]
    untouched
    # The user's own, for the user's command.
    daemonize_u -o sticky/log sleep 1000
    end_all
    # The same in Ubuntu's /var/log, where a group may make files.
    chmod 775 mine
    chgrp "$user" mine
    as_them sh -c ': >mine/log; ln -s secret mine/link'
    refused "mine/log: refused: *log belongs to user $user, who could have put it there" -o mine/log
    refused "mine/link: refused: *mine/link is a symbolic link" -o mine/link
    daemonize -o mine/root.log sleep 1000
    [[ $(stat -c '%U %a' mine/root.log) == "root 640" ]]
    end_all
}

@test "the directory of -c and the command are looked up as the user" {
    chmod 700 mine
    cp "$(command -v sleep)" mine
    as_them sh -c 'ln -s ../mine theirs/work; ln -s ../mine/sleep theirs/sleep; mkdir theirs/bin'
    refused "theirs/work: permission denied" -u "$user:$user" -c theirs/work
    run --separate-stderr -126 daemonize_u -p app.pid theirs/sleep 1000
    [[ $stderr == "daemonize: theirs/sleep: cannot execute: permission denied" && ! -e app.pid ]]
    # A directory in PATH that the user may not enter is passed over.
    as_them ln -s "$(command -v sleep)" theirs/bin/snooze
    PATH=$T/mine:$T/theirs/bin:$PATH daemonize_u -p app.pid snooze 1000
    [[ $(readlink "/proc/$(<app.pid)/exe") == */sleep ]] || [[ $(<"/proc/$(<app.pid)/comm") == snooze ]]
    end_all
    run --separate-stderr -127 env PATH="$T/mine" "$BIN/daemonize" -u "$user:$user" sleep 1000
    # One that only the user may enter.
    chmod 700 theirs
    daemonize_u -p app.pid -c theirs -o theirs/log sleep 1000
    [[ $(readlink "/proc/$(<app.pid)/cwd") == "$T/theirs" && $(stat -c %u theirs/log) == "$user" ]]
    end_all
}

@test "links and hard links in the user's directory lead no further than the user gets" {
    ln -s ../mine/secret rootlink
    mv rootlink theirs/rootlink # root's link, which only its owner made look trustworthy
    ln mine/secret theirs/hard
    as_them sh -c 'ln -s ../mine/secret theirs/link; ln -s ../mine theirs/dir; ln -s ../mine/none theirs/dangling'
    before=$(secret)
    for file in rootlink hard link dir/secret dir/none dangling; do
        for option in -o -e "-t -o" -i -p -l; do
            for as in "" "-u $user:$user"; do
                # shellcheck disable=SC2086
                refused "theirs/$file: " $as $option theirs/$file
            done
        done
    done
    untouched
    [[ ! -e mine/none ]]
}

@test "a user's link leads to nothing that root has open, not even its directory" {
    chmod 700 mine
    as_them sh -c 'ln -s /proc/self/cwd/secret theirs/cwd; ln -s /proc/self/fd/9 theirs/fd; ln -s /proc/thread-self/cwd theirs/dir'
    for file in cwd fd dir/secret; do
        for option in -i -o "-t -o"; do
            # shellcheck disable=SC2086
            run --separate-stderr -125 env -C mine daemonize $option "$T/theirs/$file" sleep 1000 9<>mine/secret
            [[ $stderr == "daemonize: $T/theirs/$file: "* ]]
        done
    done
    untouched
}

@test "a program that stops or kills all of the user's processes does not keep root's start" {
    need_python
    for signal in STOP KILL; do
        as_them "$PYTHON" -c '
import os, signal, sys
while True:
    try:
        os.kill(-1, getattr(signal, "SIG" + sys.argv[1]))
    except ProcessLookupError:
        pass' "$signal" 3>&- &
        track $!
        for i in {1..30}; do
            run --separate-stderr timeout 20 daemonize_u -p "$signal.$i" sleep 1000
            [[ $status -eq 0 ]] || fail "$signal: start $i: status $status: $stderr"
        done
        kill -KILL $!
        end_all
    done
}
# timeout is a program
timeout() {
    if [[ $2 == daemonize_u ]]; then command timeout "$1" daemonize -u "$user:$user" "${@:3}"; else command timeout "$@"; fi
}

@test "the command has neither capabilities nor the session keyring of the caller" {
    need_python
    cat >keys.py <<'END'
import ctypes, os, sys
syscall = ctypes.CDLL(None, use_errno=True).syscall
numbers = {"x86_64": (248, 250), "aarch64": (217, 219)}
add_key, keyctl = numbers.get(os.uname().machine) or sys.exit("unknown")
if len(sys.argv) > 1:
    if syscall(keyctl, 1, None) < 0:  # KEYCTL_JOIN_SESSION_KEYRING
        sys.exit("no keyrings")
    key = syscall(add_key, b"user", b"secret", b"precious", 8, -3)
    syscall(keyctl, 5, key, 0x3f3f0000)  # KEYCTL_SETPERM: all to the possessor
    os.execvp(sys.argv[1], sys.argv[1:])
key = syscall(keyctl, 10, -3, b"user", b"secret", 0)  # KEYCTL_SEARCH
print("found" if key >= 0 else "not found", flush=True)
END
    run "$PYTHON" keys.py "$PYTHON" keys.py
    [[ $output == found ]] || skip "no keyrings here: $output"
    chmod 644 keys.py
    for option in "-w 5" -f; do
        # shellcheck disable=SC2086
        run "$PYTHON" keys.py daemonize $option -o out -u "$user:$user" "$PYTHON" "$T/keys.py"
        [[ $(<out) == "not found" ]]
        rm out
    done
    cp "$(command -v sleep)" sleep
    setpriv --inh-caps=+net_raw,+chown --ambient-caps=+net_raw daemonize -u "$user:$user" -p app.pid "$T/sleep" 1000
    [[ $(sed -n 's/^Cap\(Inh\|Prm\|Eff\|Amb\):\t//p' "/proc/$(<app.pid)/status" | sort -u) == 0000000000000000 ]]
    end_all
}

@test "-f -u: a command that cannot be executed leaves nothing, and root is root again" {
    chmod 700 mine
    run --separate-stderr -125 daemonize -f -u "$user:$user" -p app.pid -c mine sleep 1000
    [[ $stderr == "daemonize: mine: permission denied" && ! -e app.pid ]]
    run --separate-stderr -127 daemonize -f -u "$user:$user" -p app.pid no-such-command
    [[ ! -e app.pid ]]
}

# hangs: a process has become the user, or a thread of it has.
hangs() { cat /proc/[0-9]*/task/*/status 2>/dev/null | grep -q "^Uid:.$user.$user.$user"; }

@test "a file system that never answers: root's start can be interrupted, and leaves nothing" {
    fuse theirs/m "$user" mute
    for args in "-c theirs/m sleep 1000" "theirs/m/run"; do
        # shellcheck disable=SC2086
        daemonize -u "$user:$user" -w 0 -p app.pid -l app.lock $args 3>&- 2>messages &
        starting=$!
        eventually 10 test -e app.pid
        eventually 10 hangs
        interrupt
        [[ ! -e app.lock ]] || fail "$(<messages)"
        # And the next start finds nothing locked.
        daemonize_u -p app.pid -l app.lock sleep 1000
        pidkill app.pid
        rm app.lock
    done
}

@test "a restart that a file system never answers: TERM to the supervisor ends it, and is no failure" {
    mkdir real
    ln -s real dir
    fuse theirs/m "$user" mute
    daemonize_u -s -r -R 2 -p app.pid -o log -c dir sleep 1000
    pid=$(<app.pid)
    supervisor=$(stat_field "$pid" 4)
    ln -sfn theirs/m dir
    kill -KILL "$pid"
    eventually 10 reaped "$pid"
    eventually 10 hangs
    kill -TERM "$supervisor"
    eventually 10 not alive "$supervisor"
    [[ ! -e app.pid ]]
    [[ $(<log) == "daemonize: sleep: pid $pid ended: killed by SIGKILL after "*" s; starting it again" ]] || fail "$(<log)"
}

@test "a command that becomes a FIFO just before daemonize reads its first line" {
    need strace
    as_them sh -c 'echo "exec sleep 1000" >theirs/run; mkfifo -m 755 theirs/fifo; chmod 755 theirs/run'
    # It has no "#!", so that it is read before the shell gets it.
    strace -f -qq -o trace -P "$T/theirs/run" -e trace=openat -e inject=openat:delay_enter=2000000:when=1 \
        daemonize -u "$user:$user" -p app.pid theirs/run 3>&- &
    tracer=$!
    eventually 10 grep -q 'openat(.*/theirs/run' trace
    as_them mv theirs/fifo theirs/run
    eventually 15 test -s app.pid # and not after the minute that the second stage has
    kill -KILL "$tracer"
    end_all # a shell of the user's waits for the FIFO's writer
}

@test "leases: root's start waits neither for a log's, nor longer than it likes for a command's" {
    need_python
    as_them sh -c 'echo >theirs/log; cp /bin/sleep theirs/run; chmod 755 theirs/run'
    as_them "$PYTHON" -c '
import fcntl, signal
signal.signal(signal.SIGIO, signal.SIG_IGN) # somebody wants it
held = [open("theirs/" + name) for name in ("log", "run")]
for file in held:
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
open("theirs/leased", "x")
signal.pause()' 3>&- &
    track $!
    eventually 10 test -e theirs/leased
    run --separate-stderr -125 timeout 20 daemonize_u -p app.pid -o theirs/log sleep 1000
    [[ $stderr == "daemonize: theirs/log: resource temporarily unavailable" && ! -e app.pid ]] || fail "$stderr"

    daemonize -u "$user:$user" -w 0 -p app.pid theirs/run 1000 3>&- 2>messages &
    starting=$!
    waits() {
        local stage
        stage=$(pgrep -f "^daemonize: second stage [0-9]+ $user:") &&
            grep -q "^Uid:.$user.$user.$user" /proc/"$stage"/task/*/status
    }
    eventually 10 waits
    interrupt
    end_all # also of who has the lease
    daemonize_u -p app.pid theirs/run 1000
    pidkill app.pid
}

@test "-u: a second stage that cannot talk to the first ends, and so does the start" {
    need_root
    need strace
    run timeout 30 strace -f -o trace -e trace=write -e inject=write:error=EIO daemonize -u "$TEST_USER" -p app.pid sleep 1000
    [[ $status -eq 125 && ! -e app.pid ]]
}

@test "on a file system that only its user may enter, -c and the command are found" {
    fuse theirs/m "$user"
    run ! ls theirs/m # not even root
    daemonize_u -p app.pid -o out -c theirs/m theirs/m/run
    eventually 10 test -s out
    [[ $(<out) == "$T/theirs/m" ]]
    pidkill app.pid
}

@test "a home where root is nobody: -c, the command and -o in it" {
    chmod 700 theirs
    as_them sh -c 'printf "#!/bin/sh\npwd\nexec sleep 1000\n" >theirs/run; chmod 700 theirs/run'
    squashed() { setpriv --bounding-set=-dac_override,-dac_read_search --inh-caps=-all "$@"; }
    run -126 squashed env theirs/run # root may not
    squashed "$BIN/daemonize" -u "$user:$user" -p theirs/app.pid -c theirs -o theirs/log theirs/run
    eventually 10 as_them test -s theirs/log
    [[ $(<theirs/log) == "$T/theirs" ]]
    squashed "$BIN/pidkill" theirs/app.pid
    [[ ! -e theirs/app.pid ]]
}

@test "an ordinary user's dangling link is followed, links in a circle are an error" {
    ln -s target theirs/dangling
    ln -s b theirs/a
    ln -s a theirs/b
    as_them "$BIN/daemonize" -o theirs/dangling sh -c 'echo out; exec sleep 1000'
    eventually 10 test -s theirs/target
    [[ $(<theirs/target) == out && $(stat -c '%u %a' theirs/target) == "$user 640" ]]
    end_all
    run --separate-stderr -125 as_them "$BIN/daemonize" -o theirs/a sleep 1000
    [[ $stderr == "daemonize: theirs/a: too many levels of symbolic links" ]]
}

@test "logs in the set-ups that people have" {
    # sudo daemonize in one's own home
    env -C theirs daemonize -o a.log sleep 1000
    [[ $(stat -c '%u %a' theirs/a.log) == "$user 640" ]]
    # /var/log/app of app, and a log of app's in root's directory
    mkdir mine/app
    : >mine/app.log
    chown "$user" mine/app mine/app.log
    daemonize -o mine/app/log -e mine/app.log sleep 1000
    daemonize_u -o mine/app/log2 -e mine/app.log sleep 1000
    [[ $(stat -c %u mine/app/log mine/app/log2 mine/app.log | sort -u) == "$user" ]]
    # below Debian's /usr/local of root:staff
    mkdir -m 2775 mine/local
    chgrp 50 mine/local
    mkdir -m 755 mine/local/log
    daemonize -o mine/local/log/log sleep 1000
    end_all
    # A directory that everybody may change is nobody's.
    mkdir -m 777 mine/open
    refused "mine/open/log: refused: mine/open can be changed by everybody" -o mine/open/log
}

# give_acl PATH UID: an access control list that lets the user write.
give_acl() {
    need_python
    "$PYTHON" -c '
import os, struct, sys
user, none = int(sys.argv[2]), 2**32 - 1
entries = [(1, 7, none), (2, 7, user), (4, 5, none), (16, 7, none), (32, 5, none)]
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)
os.setxattr(sys.argv[1], "system.posix_acl_access", acl)' "$1" "$2" || skip "no access control lists here"
}

# kill_refused FILE TEXT: pidkill of it refuses, in all ways, and signals nobody.
kill_refused() {
    local options
    for options in "" "-s HUP" "-as HUP" -n -L -T -S -9; do
        # shellcheck disable=SC2086
        run --separate-stderr -4 timeout 20 pidkill $options "$1"
        # shellcheck disable=SC2053 # a pattern
        [[ $stderr == "pidkill: $1: "$2 && $stderr != *$'\n'* && -z $output ]] || fail "$options: $output $stderr"
    done
}

@test "a pidfile that a group may write, or in a directory that it may: refused, to start and to stop" {
    daemonize -p mine/victim.pid sleep 1000
    victim=$(<mine/victim.pid)
    mkdir mine/group mine/acl
    chgrp "$user" mine/group
    chmod 775 mine/group
    give_acl mine/acl "$user"
    for file in group.pid acl.pid open.pid; do echo "$victim" >"mine/$file"; done
    chgrp "$user" mine/group.pid
    chmod 664 mine/group.pid
    give_acl mine/acl.pid "$user"
    chmod 666 mine/open.pid
    cp mine/victim.pid mine/group/app.pid
    cp mine/victim.pid mine/acl/app.pid
    kill_refused mine/group.pid "refused: mine/group.pid can be changed by group $user (-f overrides)"
    kill_refused mine/acl.pid "refused: mine/acl.pid can be changed by group root (-f overrides)"
    kill_refused mine/open.pid "refused: mine/open.pid can be changed by everybody: has a service made it, start that by daemonize -m 022 (-f overrides)"
    kill_refused mine/group/app.pid "refused: mine/group can be changed by group $user (-f overrides)"
    kill_refused mine/acl/app.pid "refused: mine/acl can be changed by group root (-f overrides)"
    alive "$victim"
    # Nothing is started that cannot be stopped.
    for file in mine/group/new mine/acl/new mine/group.pid; do
        for as in "" "-u $user:$user"; do
            for option in -p -l; do
                # shellcheck disable=SC2086
                run --separate-stderr -125 daemonize $as $option $file sleep 1000
                [[ $stderr == "daemonize: $file: refused: mine/"*" can be changed by group "* ]] || fail "$stderr"
            done
        done
    done
    [[ ! -e mine/group/new && ! -e mine/acl/new ]]
    pidkill -f mine/open.pid
    not alive "$victim"
}

@test "pidkill signals what the user who controls the pidfile may signal, and nothing else" {
    need_python
    # A process of root's that acts for the user: only its effective ID is the user's.
    daemonize -p mine/acts.pid "$PYTHON" -c 'import os, sys, time; os.seteuid(int(sys.argv[1])); time.sleep(1000)' "$user"
    acts=$(<mine/acts.pid)
    daemonize -p mine/root.pid sleep 1000
    acts_for() { [[ $(field "$acts" Uid | cut -f 2) == "$user" ]]; }
    eventually 10 acts_for
    for victim in "$acts" "$(<mine/root.pid)"; do
        as_them sh -c 'echo "$1" >theirs/app.pid' - "$victim"
        kill_refused theirs/app.pid "refused: theirs belongs to user $user, and it names $victim (*, user *); nothing was sent (-f overrides)*"
        # The user's file in root's directory, and in one for all.
        cp theirs/app.pid mine/app.pid
        chown "$user" mine/app.pid
        kill_refused mine/app.pid "refused: mine/app.pid belongs to user $user, and it names $victim *"
        as_them cp theirs/app.pid sticky/app.pid
        kill_refused sticky/app.pid "refused: sticky/app.pid belongs to user $user, and it names $victim *"
        rm sticky/app.pid
        alive "$victim"
    done
    # A link to root's pidfile.
    as_them sh -c 'rm theirs/app.pid; ln -s ../mine theirs/dir'
    kill_refused theirs/dir/root.pid "refused: theirs belongs to user $user, and it names $(<mine/root.pid) *"
    chmod 700 mine
    kill_refused theirs/dir/root.pid "permission denied*"
    # Root's pidfile in a directory of the user's, as Debian has it for php-fpm.
    cp mine/root.pid theirs/php.pid
    kill_refused theirs/php.pid "refused: theirs belongs to user $user, and it names *"
    run --separate-stderr -125 daemonize -p theirs/new.pid sleep 1000
    [[ $stderr == "daemonize: theirs/new.pid: refused: theirs belongs to user $user, and pidkill may end only processes of that user then" ]]
    # The user's own.
    daemonize_u -p theirs/own.pid sleep 1000
    own=$(<theirs/own.pid)
    [[ $(stat -c '%u %a' theirs/own.pid) == "$user 644" ]]
    run -0 pidkill theirs/own.pid
    not alive "$own"
    [[ ! -e theirs/own.pid ]]
    alive "$acts"
    end_all
}

@test "start and stop in the directories that services have" {
    # /run/postgresql, /run/haproxy: a group of the user's may write too
    chmod 2775 theirs
    # /run/named: root's, the group may write; /run/lock and /tmp: for all
    mkdir -m 755 mine/run
    for file in theirs/app.pid sticky/app.pid mine/run/app.pid; do
        daemonize_u -p "$file" -l "$file.lock" sleep 1000
        pid=$(<"$file")
        run --separate-stderr -0 pidkill -v "$file"
        not alive "$pid"
        [[ ! -e $file ]]
        # Once more over a stale one, and as that user, where that may.
        echo 4194304 >"$file"
        [[ $file != theirs/* ]] || chown "$user" "$file"
        daemonize_u -p "$file" sleep 1000
        if [[ $file == theirs/* ]]; then as_them "$BIN/pidkill" "$file"; else pidkill "$file"; fi
        [[ ! -e $file ]]
    done
    # Another user's in a directory for all.
    as_them sh -c 'echo 4194304 >sticky/b.pid'
    run --separate-stderr -125 daemonize -p sticky/b.pid sleep 1000
    [[ $stderr == "daemonize: sticky/b.pid: refused: sticky/b.pid belongs to user $user, "* ]]
}

@test "root's supervisor of a pidfile in the user's directory: stopped between two runs, and while it runs" {
    daemonize_u -s -r -p theirs/app.pid -o /dev/null sh -c 'exit 1'
    between() {
        run -0 pidkill -0 theirs/app.pid
        [[ $output == *"supervisor"* ]]
    }
    eventually 20 between
    run --separate-stderr -0 timeout 60 pidkill theirs/app.pid
    [[ ! -e theirs/app.pid ]]
    eventually 10 nothing_left
    daemonize_u -s -r -p theirs/app.pid -o /dev/null sleep 1000
    run --separate-stderr -0 timeout 60 pidkill theirs/app.pid
    [[ ! -e theirs/app.pid ]]
    eventually 10 nothing_left
}

@test "a FUSE mount is its user's, also if it says that all in it is root's" {
    fuse mine/m "$user" root
    run ! timeout 20 pidkill mine/m/run
    run --separate-stderr -125 timeout 20 daemonize -p mine/m/new sleep 1000
    [[ $stderr == "daemonize: mine/m/new: refused: mine/m belongs to user $user, "* ]] || fail "$stderr"
}

@test "a command that its user traces: its end is seen, and how it ended" {
    need_linux 5.3 "pidfds: wait(2) waits for the tracer"
    need_python
    cat >traced.py <<'END'
import ctypes, os, signal, sys, time
# Traces its parent, ends it, and never waits for it.
me = os.getpid()
if os.fork():
    time.sleep(1000)
os.setsid()
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
if libc.ptrace(0x4206, me, None, None):  # PTRACE_SEIZE
    print("cannot trace: " + os.strerror(ctypes.get_errno()), flush=True)
os.kill(me, signal.SIGUSR1)
libc.ptrace(7, me, None, signal.SIGUSR1) # PTRACE_CONT, once it stops for the signal
for _ in range(200):
    if libc.ptrace(7, me, None, signal.SIGUSR1) == 0:
        break
    time.sleep(0.01)
time.sleep(1000)
END
    chmod 644 traced.py
    run --separate-stderr -3 timeout 20 daemonize -u "$user:$user" -w 10 -o out "$PYTHON" "$T/traced.py"
    [[ ! -s out ]] || skip "$(<out)"
    [[ $stderr == *" ended: killed by SIGUSR1 after "* ]] || fail "$stderr"
    end_all
    # Supervised, it counts as a failure too.
    daemonize_u -s -r -R 2 -p app.pid -o out -e out "$PYTHON" "$T/traced.py"
    eventually 20 test ! -e app.pid
    end_all
}

@test "a directory that is mounted on demand" {
    need_python
    grep -qw autofs /proc/filesystems || skip "needs autofs"
    mkdir theirs/auto
    for args in "-p theirs/auto/app.pid" "-o theirs/auto/log" "-i theirs/auto/none" "-c theirs/auto"; do
        serve automount.py "$T/theirs/auto" "$user"
        [[ $(<mounted) == ready ]] || skip "$(<mounted)"
        # shellcheck disable=SC2086
        run timeout 20 daemonize -u "$user:$user" $args sleep 1000
        grep -q mounted mounted || fail "$args: nothing was mounted: $output"
        [[ $status -eq 0 || $args == -i* ]] || fail "$args: $output"
        end_all # that program too
        umount -l "$mount" && umount -l "$mount"
    done
}

@test "-s: a command that joins its supervisor's group is ended by the first stop" {
    need_python
    for file in app.pid theirs/app.pid; do
        daemonize_u -s -p "$file" -o /dev/null "$PYTHON" -c '
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.setpgid(0, os.getpgid(os.getppid()))
time.sleep(1000)'
        pid=$(<"$file")
        joined() { [[ $(stat_field "$pid" 5) == "$(stat_field "$pid" 6)" ]]; }
        eventually 10 joined
        run -0 timeout 60 pidkill -t 1 "$file"
        not alive "$pid"
        [[ ! -e $file ]]
        eventually 10 nothing_left
    done
}
