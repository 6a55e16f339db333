# shellcheck shell=bash
# What pidkill*.bats are made of.

# shellcheck disable=SC2034 # variables are for the files that load this
load helper

setup() {
    test_setup
    need_python
    awkward=("$PYTHON" "$BATS_TEST_DIRNAME/awkward.py")
}

# Groups end by number, whatever a test left of them.
teardown() {
    end_all
    test_teardown
}

# start WORD...: runs it as a daemon with app.pid, waits until it says that it
# is ready, and sets pid.
start() {
    daemonize -t -p app.pid -o ready "$@"
    pid=$(<app.pid)
    eventually 10 grep -q ready ready
}

# start_sleeper [FILE]: a daemon that dies on TERM. Sets pid.
start_sleeper() {
    daemonize -p "${1:-app.pid}" sleep 1000
    pid=$(<"${1:-app.pid}")
}

# own_group WORD...: runs it in the background as the leader of its group,
# without a pidfile's lock. Sets pid.
own_group() {
    # Without the descriptors of bats, which waits for their end.
    set -m
    "$@" </dev/null >"$T/out" 2>&1 3>&- &
    pid=$!
    set +m
}

# deaf_sleepers PID N: so many in the group are sleep and ignore TERM.
deaf_sleepers() {
    local member n=0
    for member in $(group_members "$1"); do
        is_named "$member" sleep && ((16#$(field "$member" SigIgn) & 1 << 14)) && n=$((n + 1))
    done
    [[ $n -eq $2 ]]
}

# milliseconds since some time.
clock() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# within MS COMMAND...: it took no longer.
within() {
    local limit=$1 began
    began=$(clock)
    shift
    "$@"
    local took=$(($(clock) - began))
    ((took <= limit)) || fail "took $took ms, allowed are $limit"
}

# injected OPTION... -- COMMAND...: under strace, threads included, but not
# what it starts.
injected() {
    strace -f -b execve -o "$T/trace" "$@"
}
