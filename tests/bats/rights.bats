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
    local pid
    for pid in ${servers-}; do kill "$pid" 2>/dev/null || :; done
    umount -l theirs/m 2>/dev/null || : # a mount of its program's that has been killed
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

refused() { # TEXT ARGUMENT...
    run --separate-stderr -125 timeout 20 daemonize "${@:2}" sleep 1000
    # shellcheck disable=SC2053 # a pattern
    [[ $stderr == "daemonize: "$1* && $stderr != *$'\n'* ]] || fail "$stderr"
    eventually 10 nothing_left
}

# fuse UID [HOW]: mounts theirs/m.
fuse() {
    need_python
    [[ -c /dev/fuse ]] || skip "needs /dev/fuse"
    mkdir theirs/m
    chown "$user" theirs/m
    mkfifo hold
    "$PYTHON" "$BATS_TEST_DIRNAME/fuse.py" "$T/theirs/m" "$@" <>hold >mounted 2>&1 3>&- &
    servers=$!
    eventually 10 test -s mounted
    [[ $(<mounted) == mounted ]] || skip "$(<mounted)"
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

@test "a file system that never answers: root's start can be interrupted, and leaves nothing" {
    fuse "$user" mute
    for args in "-c theirs/m sleep 1000" "theirs/m/run"; do
        # shellcheck disable=SC2086
        daemonize -u "$user:$user" -w 0 -p app.pid -l app.lock $args 3>&- 2>messages &
        starting=$!
        eventually 10 test -e app.pid
        hangs() { cat /proc/[0-9]*/task/*/status 2>/dev/null | grep -q "^Uid:.$user.$user.$user"; }
        eventually 10 hangs
        kill -TERM "$starting"
        ended() { not alive "$starting"; }
        eventually 15 ended
        status=0
        wait "$starting" || status=$?
        [[ $status -eq 143 && ! -e app.pid && ! -e app.lock ]] || fail "status $status: $(<messages)"
        # And the next start finds nothing locked.
        daemonize_u -p app.pid -l app.lock sleep 1000
        pidkill app.pid
        rm app.lock
    done
}

@test "on a file system that only its user may enter, -c and the command are found" {
    fuse "$user"
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
    squashed "$BIN/daemonize" -u "$user:$user" -p app.pid -c theirs -o theirs/log theirs/run
    eventually 10 as_them test -s theirs/log
    [[ $(<theirs/log) == "$T/theirs" ]]
    end_all
}

@test "an ordinary user's dangling link is followed, links in a circle are an error" {
    ln -s target theirs/dangling
    ln -s b theirs/a
    ln -s a theirs/b
    as_them timeout 20 "$BIN/daemonize" -o theirs/dangling sh -c 'echo out; exec sleep 1000'
    eventually 10 test -s theirs/target
    [[ $(<theirs/target) == out && $(stat -c '%u %a' theirs/target) == "$user 640" ]]
    end_all
    run --separate-stderr -125 as_them timeout 20 "$BIN/daemonize" -o theirs/a sleep 1000
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
