#!/usr/bin/env bats
# daemonize as root: another user (-u), and directories that others control.

# shellcheck disable=SC2154,SC2016 # stderr is bats's; scripts in quotes
load helper

setup() {
    test_setup
    need_root
    # Root's own way to the test: what is above /tmp counts too.
    mkdir mine theirs
    chmod 755 . mine
    chown nobody:nogroup theirs
    [[ $(stat -c %u / "$T" | paste -sd' ') == "0 0" ]] || skip "the test's directory is not root's"
}

refused() { # TEXT ARGUMENT...
    run --separate-stderr -125 timeout 20 daemonize "${@:2}" sleep 1000
    [[ $stderr == "daemonize: "*"$1"* && $stderr != *$'\n'* ]] || fail "$stderr"
    eventually 10 nothing_left
}

@test "-u: user, group and groups are set, for good; files have the promised owners" {
    daemonize -u nobody -p app.pid -l lock -o log sleep 1000
    pid=$(<app.pid)
    id=$(id -u nobody) gid=$(id -g nobody)
    [[ $(field "$pid" Uid | squeeze) == "$id $id $id $id" ]]
    [[ $(field "$pid" Gid | squeeze) == "$gid $gid $gid $gid" ]]
    [[ $(field "$pid" CapPrm) =~ ^0+$ && $(field "$pid" CapEff) =~ ^0+$ && $(field "$pid" CapAmb) =~ ^0+$ ]]
    [[ $(stat -c '%U %a' app.pid lock log | paste -sd' ') == "root 644 root 644 nobody 640" ]]
    end_all
    # Also with -f, which changes user in the process itself.
    daemonize -f -u nobody -p app.pid sleep 1000 &
    eventually 20 is_named "$!" sleep
    [[ $(field $! Uid | squeeze) == "$id $id $id $id" && $(field $! CapPrm) =~ ^0+$ ]]
    end_all
    wait
}

@test "-f -u: where the command cannot be executed, root comes back and removes the pidfile" {
    printf '#!%s/none\n' "$T" >script
    chmod 755 script
    run --separate-stderr daemonize -f -u nobody -p app.pid ./script
    [[ $status -eq 126 || $status -eq 127 ]]
    [[ $stderr == "daemonize: "*script* && $stderr != *$'\n'* ]]
    [[ ! -e app.pid ]]
}

@test "a lock of somebody whose descriptors cannot be seen counts, and says who made it" {
    need flock
    : >lock
    chown "$TEST_USER" lock
    flock lock sleep 1000 3>&- &
    locker=$!
    track "$locker"
    locked() { not flock -n lock true; }
    eventually 10 locked
    run --separate-stderr as_user "$BIN/daemonize" -l lock sleep 1000
    [[ $status -eq 1 && $stderr == "daemonize: lock: already running (its lock is held by $locker (flock, user root))" ]]
    end_all
}

squeeze() { tr -s ' \t' ' ' | sed 's/ $//'; }

@test "-u: the command cannot get root back" {
    need_python
    for option in "-w 5" "-f"; do
        # shellcheck disable=SC2086
        run -- daemonize $option -o out -u nobody "$PYTHON" -c '
import os
for call in (lambda: os.setuid(0), lambda: os.setresuid(-1, 0, -1), lambda: os.setgid(0), lambda: os.setgroups([0])):
    try:
        call()
        print("regained")
    except PermissionError:
        print("denied", flush=True)'
        [[ $(sort -u out) == denied ]]
        rm out
    done
}

@test "-u: HOME, USER, LOGNAME and SHELL are that user's" {
    daemonize -u nobody -p app.pid sleep 1000
    eventually 10 executed "$(<app.pid)" sleep
    tr '\0' '\n' <"/proc/$(<app.pid)/environ" | grep -E '^(HOME|USER|LOGNAME|SHELL)=' | sort >environment
    home=$(getent passwd nobody | cut -d: -f 6) shell=$(getent passwd nobody | cut -d: -f 7)
    [[ $(<environment) == "HOME=$home"$'\n'"LOGNAME=nobody"$'\n'"SHELL=$shell"$'\n'"USER=nobody" ]]
    end_all
}

@test "-u: a number without an entry, a group by name and number, more than 32 groups" {
    daemonize -u 54321:54322 -p app.pid sleep 1000
    [[ $(field "$(<app.pid)" Uid | cut -f 1) == 54321 && $(field "$(<app.pid)" Gid | cut -f 1) == 54322 ]]
    end_all
    refused "54321: a number that is not in /etc/passwd needs its group said: -u 54321:54321" -u 54321
    daemonize -u 54321:daemon -p app.pid sleep 1000
    [[ $(field "$(<app.pid)" Gid | cut -f 1) == "$(id -g daemon)" ]]
    [[ $(field "$(<app.pid)" Groups | squeeze) == "$(id -g daemon)" ]]
    end_all
    daemonize -u nobody:12345 -p app.pid sleep 1000
    [[ $(field "$(<app.pid)" Gid | cut -f 1) == 12345 ]]
    end_all
    need_namespaces
    # In a mount namespace, nobody is in a hundred groups.
    unshare -m sh -c '
        { cat /etc/group; seq 100 -1 1 | while read -r i; do echo "g$i:x:$((40000 + i)):nobody"; done; } >group
        mount --bind group /etc/group && daemonize -u nobody -p app.pid sleep 1000'
    [[ $(field "$(<app.pid)" Groups | wc -w) -ge 100 ]]
    end_all
    refused "no-such-user: unknown user" -u no-such-user
    refused "no-such-group: unknown group" -u nobody:no-such-group
}

@test "-u: not root gets a clear error, itself excepted" {
    cd theirs
    run --separate-stderr -125 as_user daemonize -u root sleep 1000
    [[ $stderr == "daemonize: root: only root can run a command as another user" ]]
    as_user daemonize -u nobody -p app.pid sleep 1000
    end_all
}

@test "-u: without the right to change user it is 125" {
    run --separate-stderr -125 setpriv --bounding-set=-setuid,-setgid --inh-caps=-all \
        daemonize -u nobody -p app.pid sleep 1000
    [[ $stderr == *"cannot become this user: operation not permitted" && ! -e app.pid ]]
}

@test "-u: the user's own directory is fine, and another's is not" {
    daemonize -u nobody -p theirs/app.pid -l theirs/lock -o theirs/log sleep 1000
    pid=$(<theirs/app.pid)
    pidkill theirs/app.pid
    not alive "$pid"
    rm -f theirs/*
    refused "theirs/app.pid: refused: " -u daemon -p theirs/app.pid
    refused "theirs/app.pid: refused: " -p theirs/app.pid
    refused "theirs/lock: refused: " -l theirs/lock
    [[ -z $(ls theirs) ]]
}

@test "a pidfile that others own or may write, or in a directory they may: refused" {
    mkdir open sticky group
    chmod 777 open
    chmod 1777 sticky
    chgrp nogroup group
    chmod 775 group
    refused "open can be changed by everybody" -p open/app.pid
    refused "refused: " -p group/app.pid
    echo 4194304 >mine/app.pid
    chmod 666 mine/app.pid
    refused "can be changed by everybody" -p mine/app.pid
    chmod 644 mine/app.pid
    chown nobody mine/app.pid
    refused "belongs to user nobody" -p mine/app.pid
    [[ $(<mine/app.pid) == 4194304 && $(stat -c %U mine/app.pid) == nobody ]]
    # A sticky directory, as /tmp: fine, but not over what another made there.
    daemonize -p sticky/app.pid sleep 1000
    end_all
    as_user sh -c 'echo 4194304 >sticky/b.pid'
    refused "belongs to user nobody" -p sticky/b.pid
}

@test "planted links: nothing of root's is changed, nothing is followed, nothing hangs" {
    echo precious >mine/file
    chmod 600 mine/file
    mkfifo mine/fifo
    before=$(stat -c '%i %s %y %z %U %a' mine/file)
    as_user sh -c 'ln -s ../mine/file theirs/link; ln -s ../mine theirs/dir; ln -s ../mine/none theirs/dangling
        ln -s ../mine/fifo theirs/fifo; mkfifo theirs/own'
    for user in "" "-u nobody"; do
        for option in -p -l -o -e "-t -o"; do
            for plant in link dangling dir/new dir/file fifo own; do
                # shellcheck disable=SC2086
                refused "" $user $option theirs/$plant
            done
        done
        # shellcheck disable=SC2086
        refused "theirs/link: permission denied" $user -o theirs/link
    done
    [[ $(stat -c '%i %s %y %z %U %a' mine/file) == "$before" && $(<mine/file) == precious ]]
    [[ ! -e mine/none && ! -e mine/new ]]
    # Root's own links lead where root wants.
    ln -s mine/file mylink
    daemonize -o mylink -p app.pid sleep 1000
    [[ $(readlink "/proc/$(<app.pid)/fd/1") == "$T/mine/file" ]]
    end_all
}

@test "planted hard links are refused as logs and as pidfiles" {
    echo 4194304 >mine/file
    chmod 600 mine/file
    mkdir sticky
    chmod 1777 sticky
    # Root makes them, as the kernel may not let others (protected_hardlinks).
    ln mine/file theirs/hard
    ln mine/file sticky/hard
    for option in -o "-t -o" -i; do
        # shellcheck disable=SC2086
        refused "hard links" -u nobody $option sticky/hard
        # shellcheck disable=SC2086
        refused "permission denied" $option theirs/hard
    done
    refused "" -u nobody -p theirs/hard
    refused "" -u nobody -p sticky/hard
    [[ $(<mine/file) == 4194304 && $(stat -c '%U %a' mine/file) == "root 600" ]]
}

@test "a program for the output that cannot be run is 125, with -u too" {
    need_namespaces
    : >plain
    for user in "" "-u nobody"; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr unshare -m sh -c '
            mount --bind plain /bin/sh || exit
            exec "$@"' sh daemonize $user -p app.pid -o '|cat' sleep 1000
        [[ $status -eq 125 && $stderr == "daemonize: |cat: "*"permission denied" && ! -e app.pid ]] ||
            fail "$user: $status $stderr"
    done
}
