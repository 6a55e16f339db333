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
    mkfifo go
    daemonize -s -p app.pid -e log -o "|read -r x; echo so >&2; exit 3" sh -c "echo 1; read -r x <$T/go; echo 2; exec sleep 1000"
    lines() { [[ -e log && $(grep -c "starting it again" log) -eq $1 ]]; }
    eventually 10 lines 1
    echo >go
    eventually 10 lines 2
    [[ $(sed -n 1p log) == "daemonize: |read -r x; echo so >&2; exit 3: pid "*" ended: exit status 3 after "*" s; starting it again" ]]
    [[ $(sed -n 2p log) == "daemonize: |read -r x; echo so >&2; exit 3: so" ]]
    pidkill app.pid
    eventually 10 nothing_left
    # At the end of the command it ends as well, which is not said.
    [[ $(sed 1,4d log) =~ ^"daemonize: sh: pid "[0-9]+" ended: killed by SIGTERM "$seconds$ ]]
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
