# shellcheck shell=bash
# What every bats file loads: the programs in PATH, a directory per test, and
# the certainty that no test leaves a process behind.
#
#     load helper
#
# A file with a setup or teardown of its own calls test_setup and
# test_teardown in it.
#
# Conventions. Wait with `eventually`, never with a bare sleep. End only what
# the test started, by number. Every process of a test carries PROCGROUP_TEST
# in its environment; teardown ends whatever still carries it, and fails the
# test. Where the test takes the environment away (env -i), `track` the PID.

bats_require_minimum_version 1.5.0 # run --separate-stderr

# BIN may name another directory with the programs, such as /usr/bin.
BIN=${BIN:-$(cd "$BATS_TEST_DIRNAME/../../bin" 2>/dev/null && pwd)}

# Debian's, where there is one: a python3 in somebody's home may be out of the
# reach of an unprivileged user.
PYTHON=/usr/bin/python3
[[ -x $PYTHON ]] || PYTHON=$(command -v python3 || :)

# The user that as_user becomes.
TEST_USER=nobody

setup() { test_setup; }
teardown() { test_teardown; }

test_setup() {
    local program
    for program in daemonize pidkill pgtree; do
        [[ -x $BIN/$program ]] || fail "$BIN/$program: not built"
    done
    PATH=$BIN:$PATH
    # Messages and art must not depend on the caller's locale.
    export LC_ALL=C
    unset LANG LC_CTYPE NO_COLOR NOTIFY_SOCKET COLUMNS
    umask 022
    T=$BATS_TEST_TMPDIR
    export PROCGROUP_TEST=$T
    [[ -p $BATS_FILE_TMPDIR/pause ]] || mkfifo "$BATS_FILE_TMPDIR/pause" # for eventually
    # bats makes its directory 0700; as_user has to pass through it.
    chmod a+x "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$T" 2>/dev/null || :
    cd "$T" || return
}

test_teardown() {
    local left pid
    # Something that is just exiting is not left behind.
    eventually 5 nothing_left && return
    left=$(survivors)
    for pid in $left; do
        echo "left behind: $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline")" 2>/dev/null
    done
    end_all
    return 1
}

# fuse DIRECTORY UID [HOW]: makes the directory, and mounts such a file system of
# that user's there (fuse.py). Unmount is for the test's teardown.
fuse() {
    need_python
    [[ -c /dev/fuse ]] || skip "needs /dev/fuse"
    mkdir "$1"
    chown "$2" "$1"
    serve fuse.py "$T/$1" "${@:2}"
    [[ $(<mounted) == mounted ]] || skip "$(<mounted)"
}

# serve PROGRAM MOUNTPOINT [ARGUMENT...]: runs a program that mounts a file system
# and serves it. Its first line is in the file mounted.
serve() {
    mount=$2
    rm -f hold mounted
    mkfifo hold
    "$PYTHON" "$BATS_TEST_DIRNAME/$1" "${@:2}" <>hold >mounted 2>&1 3>&- &
    servers=$!
    eventually 10 test -s mounted
}
unmount() {
    local pid
    for pid in ${servers-}; do kill "$pid" 2>/dev/null || :; done
    while umount -l "${mount:-$T/none}" 2>/dev/null; do :; done # a mount whose program was killed
}

# fail MESSAGE...: the reason, and the end of the test.
fail() {
    echo "$*" >&2
    return 1
}

# need_root, need COMMAND..., need_linux VERSION WHAT, need_namespaces,
# need_python: skip where it is not there.
need_root() {
    ((EUID == 0)) || skip "needs root"
}

need() {
    local command
    for command; do
        command -v "$command" >/dev/null || skip "needs $command"
    done
}

# need_linux 5.3 pidfds: what came with that kernel.
need_linux() {
    [[ $(printf '%s\n' "$1" "$(uname -r)" | sort -V | head -n 1) == "$1" ]] || skip "needs Linux $1: $2"
}

# need_namespaces: a mount and a PID namespace of the test's own. A plain
# chroot has no root mount to make private, a container may not have the right.
need_namespaces() {
    need unshare
    unshare --mount --pid --fork true 2>/dev/null || skip "may have no namespaces of its own here"
}

need_python() {
    [[ -x $PYTHON ]] || skip "needs python3"
}

run_it() { run --separate-stderr "$@"; }

# expect STATUS [MESSAGE [OUTPUT]]: of the last run; patterns, nothing by default.
expect() {
    # shellcheck disable=SC2053,SC2154 # patterns; run sets them
    if [[ $status -ne $1 || $stderr != ${2-} || $output != ${3-} ]]; then
        echo "status $status, wanted $1"
        echo "stderr: $stderr"
        echo "stdout: $output"
        return 1
    fi
}

# eventually SECONDS COMMAND...: polls until the command succeeds.
eventually() {
    local - begun=$SECONDS limit=$1 pause=0.02
    # bats runs a trap before each command of a function, which takes longer
    # than most of them: without -T the functions called here inherit none.
    set +T
    shift
    until "$@"; do
        ((SECONDS - begun <= limit)) || return 1
        # Nobody writes to it: a pause without a process for sleep(1).
        read -rt "$pause" <>"$BATS_FILE_TMPDIR/pause" || :
        ((SECONDS - begun < 2)) || pause=0.1
    done
}

# not COMMAND...: for eventually; "eventually 5 not alive $pid".
not() { ! "$@"; }

# read_stat PID: sets the array stat to the fields of /proc/PID/stat, from the
# third on.
read_stat() {
    local line=
    # The name may hold a newline and a ")": read all of it, cut at the last.
    IFS= read -rd '' line 2>/dev/null <"/proc/$1/stat" || [[ $line ]] || return 1
    # shellcheck disable=SC2206 # a letter and numbers, to be split
    stat=(${line##*) })
}

# stat_field PID N: field N of /proc/PID/stat, as proc_pid_stat(5) counts
# them, from 3 (state) on: 4 ppid, 5 pgid, 6 sid, 7 tty_nr, 8 tpgid, 20
# threads, 22 start time.
stat_field() {
    local stat
    read_stat "$1" && echo "${stat[$2 - 3]}"
}

# field PID NAME: a line of /proc/PID/status, such as Umask or SigIgn.
field() {
    sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status" 2>/dev/null | grep .
}

# alive PID: it is there, and no zombie. kill -0 would say yes to a zombie.
alive() {
    local stat
    read_stat "$1" && [[ ${stat[0]} != [ZX] ]]
}

# state_is PID LETTER: as ps(1) says, S for asleep, T for stopped, Z for a zombie.
state_is() {
    local stat
    read_stat "$1" && [[ ${stat[0]} == "$2" ]]
}

# reaped PID: not even a zombie is left, which init may be slow to see to.
reaped() { [[ ! -e /proc/$1 ]]; }

# is_named PID NAME: the name that the kernel gives it, as after an execve(2).
is_named() {
    local name
    read -r name 2>/dev/null <"/proc/$1/comm" && [[ $name == "$2" ]]
}

# executed PID [NAME]: it runs a program, of that name, and /proc shows its name and
# environment. Daemonize returns when execve(2) cannot fail any more, which is a
# moment before that: for long where another process has the processor. (Field
# 51 is env_end.)
executed() { [[ $(stat_field "$1" 51) != 0 ]] && { (($# == 1)) || is_named "$1" "$2"; }; }

# group_members PGID, session_members SID: the PIDs that are alive in it.
group_members() { members "[0-9]+ $1 "; }
session_members() { members "[0-9]+ [0-9]+ $1 "; }

# members IDS: of whose stat that follows the state. One grep(1), which takes
# less than ps(1) does, and than a loop that bats traces.
members() {
    local files
    mapfile -t files < <(grep -lszE "\) [^ZX] $1[^)]*\$" /proc/[0-9]*/stat)
    ((${#files[@]} == 0)) || printf '%s\n' "${files[@]//[!0-9]/}"
}

group_gone() { [[ -z $(group_members "$1") ]]; }

# fds PID: its open descriptors on one line, in order: "0 1 2 50".
fds() {
    # shellcheck disable=SC2005,SC2012,SC2046 # in the order of the numbers; to be split
    echo $(ls -v "/proc/$1/fd")
}

# track PID...: these belong to the test too, whatever their environment says.
track() {
    local pid
    for pid; do
        echo "$pid $(stat_field "$pid" 22)" >>"$T/.tracked"
    done
}

# survivors: the live processes of this test, without its own shell. A PID
# that was tracked counts only with the start time that it had then. If there is
# nobody it looks twice: a process has no environment for a moment when it
# executes a program, and daemonize may have returned by then.
survivors() (
    # bats's trap before each command, as in eventually.
    trap - DEBUG
    # The mark is exported after this shell began, so that it is not in its
    # environ; nor may it be in that of grep.
    export -n PROCGROUP_TEST
    pids=() # by number: in order, each once
    for _ in 1 2; do
        while IFS=/ read -r _ _ pid _; do
            pids[pid]=
        done < <(grep -lsxzF "PROCGROUP_TEST=$T" /proc/[0-9]*/environ)
        ((${#pids[@]} == 0)) || break
    done
    [[ ! -e $T/.tracked ]] || while read -r pid start; do
        ! read_stat "$pid" || [[ ${stat[19]} != "$start" ]] || pids[pid]=
    done <"$T/.tracked"
    for pid in "${!pids[@]}"; do
        ! alive "$pid" || echo "$pid"
    done
)

nothing_left() { [[ -z $(survivors) ]]; }

# running COMMAND...: the survivors with just this command line. Other tests
# run the same commands meanwhile. Fails if there are none.
running() {
    local pid status=1
    for pid in $(survivors); do
        [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") != "$* " ]] || { echo "$pid" && status=0; }
    done
    return "$status"
}

# end_all: kills every process of this test, for tests that end with their
# daemons running, and do not want to need pidkill.
end_all() { eventually 20 all_ended; }
all_ended() {
    local left
    left=$(survivors)
    # shellcheck disable=SC2086 # words
    [[ -z $left ]] || { kill -KILL $left 2>/dev/null || :; return 1; }
}

# as_user COMMAND...: runs it as an unprivileged user without groups.
as_user() {
    setpriv --reuid="$TEST_USER" --regid="$(id -g "$TEST_USER")" --clear-groups \
        --inh-caps=-all -- "$@"
}

# port: a TCP port on the loopback interface that nobody listens on.
port() {
    local p=$((20000 + RANDOM % 10000))
    while grep -qi ":$(printf %04X "$p") " /proc/net/tcp; do p=$((p + 1)); done
    echo "$p"
}

listens() {
    local hex
    printf -v hex %04X "$1"
    grep -qi "0100007F:$hex 00000000:0000 0A" /proc/net/tcp
}

# on_terminal SCRIPT: runs the shell script on a terminal of its own and, when
# it is through but its shell still there, closes the terminal: a real hangup.
# Prints what the terminal showed.
on_terminal() {
    "$PYTHON" "$BATS_TEST_DIRNAME/terminal.py" "$1"
}
