#!/bin/bash
# pgtree.sh [RUNS] - pgtree against ps, pstree and a bare loop in C.
#
# Makes 10,000 idle processes in 200 sessions of two groups each, runs each
# command in turn RUNS times (11), and prints medians of time and memory, and
# time as a ratio to the rivals; then time per process at twice the number.
# Needs a C compiler, procps and psmisc. Whatever else runs shows: on a busy
# machine the ratios stay fair only to those that use one processor.

set -euo pipefail

runs=${1:-11}
here=$(cd "$(dirname "$0")" && pwd)
pgtree=${BIN:-$here/../../bin}/pgtree
dir=$(mktemp -d)
helper=$dir/helper
farm=

cc -O2 -o "$helper" "$here/pgtree.c"
mkfifo "$dir/hold"

# The idle processes end when the fifo is closed, or this script dies.
end_farm() {
    exec 9>&-
    [[ ! $farm ]] || wait "$farm"
    farm=
}
trap 'end_farm; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

# make_farm SESSIONS SIZE: returns when all are there. Sets farm.
make_farm() {
    "$helper" farm "$1" "$2" <"$dir/hold" >"$dir/ready" &
    farm=$!
    exec 9>"$dir/hold"
    until (($(stat -c %s "$dir/ready") == $1)); do
        kill -0 "$farm"
        sleep 0.1
    done
}

# median COLUMN FILE
median() { cut -d' ' -f "$1" "$2" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# compare COMMAND...: runs them in turn. Leaves times and memory in $dir/1, 2...
compare() {
    local i
    rm -f "$dir"/[0-9]*
    for ((round = 0; round <= runs; round++)); do
        for ((i = 1; i <= $#; i++)); do
            # shellcheck disable=SC2086
            "$helper" time ${!i} >"$dir/out"
            ((round == 0)) || cat "$dir/out" >>"$dir/$i"
        done
    done
}

# report COMMAND...: what compare left, with the ratio to each rival after the
# first command.
report() {
    local i
    for ((i = 1; i <= $#; i++)); do
        printf '%9.1f ms %7d KiB   %s\n' "$(median 1 "$dir/$i" | awk '{ print $1 * 1000 }')" \
            "$(median 2 "$dir/$i")" "${!i/#$dir\/}"
    done
}

# ratio A B LIMIT: of the medians.
ratio() {
    awk -v a="$(median 1 "$dir/$1")" -v b="$(median 1 "$dir/$2")" -v c="$3" -v l="$4" \
        'BEGIN { printf "%9.2f times %s (at most %s)\n", a / b, c, l }'
}

make_farm 200 50
sid=$(pgrep -P "$farm" | head -1)

echo "# the whole system, 10,000 processes"
commands=("$pgtree" "ps j -A" "pstree -p" "$helper loop" "$pgtree -no pid,ppid,pgid,sid" "$pgtree -J")
compare "${commands[@]}"
report "${commands[@]}"
ratio 1 2 "ps j -A" 0.42
ratio 1 3 "pstree -p" 0.22
ratio 1 4 "the loop" 2.6
ratio 5 4 "the loop, IDs alone" 1.3
whole=$(median 1 "$dir/1")

echo "# one session"
commands=("$pgtree $sid" "ps j -p $sid" "pstree -p $sid")
compare "${commands[@]}"
report "${commands[@]}"
ratio 1 2 "ps j -p" 0.15
ratio 1 3 "pstree -p" 0.07

end_farm
make_farm 400 50
echo "# the whole system, 20,000 processes"
compare "$pgtree"
report "$pgtree"
awk -v a="$(median 1 "$dir/1")" -v b="$whole" \
    'BEGIN { printf "%9.2f times the time per process (at most 1.2)\n", a / b / 2 }'
