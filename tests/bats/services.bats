#!/usr/bin/env bats
# What the services that people run need of a start: their log programs, users,
# messages that say how to go on.

# shellcheck disable=SC2154,SC2016 # stderr is bats's; scripts in quotes
load helper

# fails STATUS TEXT ARGUMENT...: and neither pidfile nor process is left.
fails() {
    run --separate-stderr "-$1" timeout 60 daemonize -p app.pid "${@:3}"
    [[ -z $output && $stderr == *"$2"* ]] || fail "$stderr"
    [[ ! -e app.pid ]] || fail "pidfile left"
    eventually 10 nothing_left
}

seconds='after [0-9]+\.[0-9] s'

@test "'|command': one that cannot be run fails the start, before there is a command" {
    for option in "" "-w 10" "-n 10" -s "-s -r"; do
        # shellcheck disable=SC2086 # words
        fails 125 "not found" $option -e '|no-such-logger -x' touch "$T/ran"
        [[ ${stderr_lines[0]} == "daemonize: |no-such-logger -x: "*"not found" ]]
        [[ ${stderr_lines[1]} =~ ^"daemonize: |no-such-logger -x: pid "[0-9]+" ended: exit status 127 "$seconds$ ]]
        [[ ${#stderr_lines[@]} -eq 2 && ! -e ran ]]
    done
    fails 125 "exit status 2" -o '|cat >/no/such/file' sleep 1000
    fails 125 "killed by SIGKILL" -o '|kill -KILL $$' sleep 1000
}

@test "'|command': one that ends while daemonize waits fails the start, whatever the command does" {
    fails 125 "|read -r x: pid " -w 300 -o '|read -r x' sh -c 'echo; sleep 1000'
    fails 125 "exit status 7" -n 300 -o '|read -r x; exit 7' sh -c 'echo; sleep 1000'
    # The command ends by SIGPIPE, or by status 1, because of it.
    for _ in {1..10}; do
        fails 125 "|read -r x: pid " -w 300 -o '|read -r x' yes
        fails 125 "|read -r x: pid " -w 300 -o '|read -r x' sh -c 'trap "" PIPE; while echo x; do :; done 2>/dev/null'
    done
    # And when it is the command that has ended, that is said.
    fails 3 "sh: pid " -w 300 -o '|cat >/dev/null' sh -c 'echo; exit 4'
}

@test "'|command': what it complains of reaches the caller, escaped; nobody waits for its end" {
    run --separate-stderr -0 daemonize -w 0.5 -p app.pid -o '|printf "bad\033[1m\ntwo\n" >&2; exec cat >/dev/null' sleep 1000
    [[ ${stderr_lines[0]} == *': bad\x1b[1m' && ${stderr_lines[1]} == *": two" && ${#stderr_lines[@]} -eq 2 ]]
    pidkill app.pid
    eventually 10 nothing_left
    # It may write as much as it likes later, to nobody, and lives.
    mkfifo go
    run -0 timeout 20 daemonize -p app.pid -o "|read -r x; seq 100000 >&2; seq 10 >&2; exec cat >$T/out" \
        sh -c "read -r x <$T/go; echo begin; echo log; exec sleep 1000"
    [[ -z $output ]]
    echo >go
    eventually 10 test -s out
    [[ $(<out) == log ]]
    pidkill app.pid
    eventually 10 nothing_left
}

@test "'|command': its umask is 022, whatever the command's is" {
    for s in "" -s; do
        # shellcheck disable=SC2086 # nothing, or a word
        daemonize $s -w 0.1 -p app.pid -m 077 -o "|umask >$T/mask; cat >/dev/null" sh -c "umask >$T/own; exec sleep 1000"
        eventually 10 test -s mask
        eventually 10 test -s own
        [[ $(<mask) == 0022 && $(<own) == 0077 ]]
        [[ $(field "$(<app.pid)" Umask) == 0077 ]]
        pidkill app.pid
        rm mask own
    done
    eventually 10 nothing_left
}

@test "'|command' with -s: each restart of it is a line, with its complaint" {
    mkfifo go again # two, as one that is still open for writing would do for both
    # Before daemonize has returned, the end of one would fail the start.
    daemonize -s -p app.pid -e log -o "|read -r x; echo so >&2; exit 3" \
        sh -c "read -r x <$T/go; echo 1; read -r x <$T/again; echo 2; exec sleep 1000"
    lines() { [[ -e log && $(grep -c "starting it again" log) -eq $1 ]]; }
    echo >go
    eventually 10 lines 1
    echo >again
    eventually 10 lines 2
    [[ $(sed -n 1p log) == "daemonize: |read -r x; echo so >&2; exit 3: pid "*" ended: exit status 3 after "*" s; starting it again" ]]
    [[ $(sed -n 2p log) == "daemonize: |read -r x; echo so >&2; exit 3: so" ]]
    pidkill app.pid
    eventually 10 nothing_left
    # At the end of the command it ends as well, which is not said.
    [[ $(sed 1,4d log) =~ ^"daemonize: sh: pid "[0-9]+" ended: killed by SIGTERM "$seconds$ ]]
}

@test "'|command' with -s -u: one that could not be started again is, later" {
    need_root
    mkdir -m 777 dir
    : >out
    chmod 666 out
    daemonize -s -u "$TEST_USER" -c "$T/dir" -p app.pid -e log -o "|exec cat >>$T/out" \
        sh -c 'while :; do echo line; sleep 0.05; done'
    logger() { grep -lsxzF cat /proc/[0-9]*/cmdline | cut -d / -f 3 | while read -r pid; do
        [[ $(readlink "/proc/$pid/fd/1") != "$T/out" ]] || echo "$pid"
    done; }
    eventually 10 test -s out
    mv dir away # as a deploy does for a moment
    kill "$(logger)"
    eventually 10 grep -q 'no such file' log
    mv away dir
    : >out
    eventually 10 test -s out
    pidkill app.pid
}

@test "a user that is not in /etc/passwd: the message's way works" {
    need_root
    need setpriv
    run --separate-stderr -125 daemonize -p app.pid -u no-such-user sleep 1000
    [[ $stderr == "daemonize: no-such-user: unknown user (only /etc/passwd and /etc/group count; from elsewhere: "* ]]
    way=${stderr#*elsewhere: }
    [[ $way == "setpriv --reuid=no-such-user --regid=GROUP --init-groups daemonize ...)" && ! -e app.pid ]]
    way=${way/no-such-user/nobody}
    way=${way/GROUP/nogroup}
    mkdir -m 777 theirs
    ${way%...)} -p theirs/app.pid sleep 1000
    [[ $(field "$(<theirs/app.pid)" Uid | cut -f 1) == "$(id -u nobody)" ]]
    [[ $(field "$(<theirs/app.pid)" Gid | cut -f 1) == "$(id -g nobody)" ]]
    end_all
}

@test "a service's own pidfile that the mask made writable for everybody: pidkill names -m 022" {
    need_root
    for mask in 0 022; do
        # shellcheck disable=SC2016 # the service's
        daemonize -m $mask -c . -p app.pid sh -c 'echo $$ >own.pid; exec sleep 1000'
        eventually 10 test -s own.pid
        run pidkill -0 own.pid
        if [[ $mask == 0 ]]; then
            [[ $status -eq 4 && $output == "pidkill: own.pid: refused: own.pid can be changed by everybody: has a service made it, start that by daemonize -m 022 (-f overrides)" ]]
        else
            [[ $status -eq 0 ]]
        fi
        pidkill app.pid
        rm own.pid
    done
}

@test "/dev/stdout, /dev/stderr, /dev/fd/N, /proc/self/fd/N are the caller's descriptor itself" {
    speak='echo out; echo err >&2; exec sleep 1000'
    heard() { [[ $(<"$1") == "$2" ]]; }
    only_its_own() { [[ $(fds "$pid") == "0 1 2 "[56]? ]]; } # once its loader has closed what it reads
    for s in "" -s "-w 0.1" -f; do
        for name in /dev/stdout /dev/stderr /dev/fd/1 /proc/self/fd/2 /dev/fd/7; do
            # Not opened once more: that would overwrite what is there.
            echo before >log
            # shellcheck disable=SC2086 # words
            daemonize $s -p app.pid -o "$name" sh -c "$speak" 3>&- >>log 2>&1 7>>log &
            [[ $s == -f ]] || wait $!
            eventually 10 heard log before$'\n'out$'\n'err
            pid=$(<app.pid)
            eventually 10 only_its_own
            pidkill -q app.pid
            wait
            eventually 10 nothing_left
            rm -f app.pid
        done
    done
    # Each its own, and both through a pipe to the end of the daemon.
    daemonize -p app.pid -o /dev/stderr -e /dev/stdout sh -c "$speak" >one 2>two
    eventually 10 heard one err
    eventually 10 heard two out
    pidkill app.pid
    run -0 bash -c 'daemonize -o /dev/stdout sh -c "sleep 0.2; echo piped" | cat'
    [[ $output == piped ]]
    # What cannot be written to, or is not there.
    fails 125 "/dev/fd/9: bad file descriptor" -o /dev/fd/9 sleep 1000
    fails 125 "/proc/self/fd/8: bad file descriptor" -o /proc/self/fd/8 sleep 1000 8</dev/null
    daemonize -i /dev/fd/8 -o copy cat 8</etc/passwd
    eventually 10 cmp -s copy /etc/passwd
}

@test "/dev/stdout on a socket, and on a file of another user's after su" {
    need_python
    "$PYTHON" - <<'END'
import socket, subprocess
a, b = socket.socketpair()
subprocess.run(["daemonize", "-o", "/dev/stdout", "sh", "-c", "echo hello"], stdout=b, check=True)
b.close()
assert a.makefile().read() == "hello\n"
END
    need_root
    : >private
    chmod 600 private
    as_user "$BIN/daemonize" -o /dev/stdout sh -c 'echo hello' >>private
    eventually 10 grep -qx hello private
}

@test "-s -r: the caller's descriptor stays for all runs; HUP leaves it alone" {
    daemonize -s -r -p app.pid -o /dev/stdout sh -c 'echo run; exec sleep 1000' >log
    pid=$(<app.pid)
    supervisor=$(stat_field "$pid" 4)
    eventually 10 grep -q run log
    kill -HUP "$supervisor"
    kill "$pid"
    twice() { [[ $(grep -c run log) -eq 2 ]]; }
    eventually 10 twice
    [[ $(grep -c "killed by SIGTERM" log) -eq 1 ]]
    pidkill app.pid
    eventually 10 nothing_left
}
