#!/bin/bash
# pidkill.sh - how fast pidkill is, in pairs with what it is compared with, and
# that it neither scans nor spins. BIN may name the directory of the programs.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=${BIN:-$here/../../bin}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
pidkill=$(cd "$bin" && pwd)/pidkill

cc -O2 -Wall -o "$dir/stop" "$here/stop.c"
cc -O2 -Wall -o "$dir/killloop" "$here/killloop.c"
(cd "$here/../.." && CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags '-s -w' -o "$dir/bare" ./tests/bench/bare)

# compare SIZE ROUNDS WHAT LIMIT A... -- B...: the median of the ratios A/B.
compare() {
    local size=$1 rounds=$2 what=$3 limit=$4 a b ratio
    shift 4
    read -r a b ratio < <("$dir/stop" "$size" "$rounds" "$dir/x.pid" "$@")
    printf '%-56s %9.2f ms %9.2f ms  ratio %5.2f  (%s)\n' "$what" \
        "$(bc <<<"$a / 1000")" "$(bc <<<"$b / 1000")" "$ratio" "$limit"
    printf '%s %s %s\n' "$size" "$a" "$b" >>"$dir/times"
}
bc() { awk "BEGIN { print $(cat) }"; }

compare 1 100 'one process: pidkill / bare Go program' 'at most 1.50' "$pidkill" -- "$dir/bare"
if command -v start-stop-daemon >/dev/null; then
    # One that is dead before its first look spares it the pause between looks,
    # but few daemons end that fast.
    compare 1:300 20 'one process, 0.3 ms to end: start-stop-daemon / pidkill' 'at least 10' \
        start-stop-daemon --quiet --stop --retry TERM/10/KILL/5 --pidfile -- "$pidkill"
fi
compare 1000 15 '1,000 processes: pidkill / C loop' 'at most 1.30' "$pidkill" -- "$dir/killloop"
compare 10000 3 '10,000 processes: pidkill / C loop' 'no target' "$pidkill" -- "$dir/killloop"
awk '$1 == 1000 { small = $2 } $1 == 10000 { large = $2 } END {
    printf "time per process at 10,000 / at 1,000: ratio %.2f (linear: about 1)\n", large / small / 10 }' "$dir/times"

# A leader whose exit empties the group: nobody reads the process table.
if command -v strace >/dev/null; then
    "$dir/stop" 1 1 "$dir/x.pid" strace -f -o "$dir/trace" "$pidkill" -- "$dir/bare" >/dev/null
    echo "scans of /proc for one process: $(grep -c '"/proc", ' "$dir/trace" || :) (none)"
fi

# Fields 16 and 17: what ended children have used, in ticks of 10 ms.
used() { cut -d' ' -f16,17 "/proc/$$/stat" | tr ' ' +; }

sh -c 'trap "" TERM; echo $$ >"$1"; exec sleep 60' - "$dir/x.pid" &
disown
until [[ -s $dir/x.pid ]]; do sleep 0.01; done
before=$(used)
"$pidkill" -q -t 3 "$dir/x.pid"
echo "CPU time for a wait of 3 s: $(bc <<<"10 * ($(used) - ($before))") ms (start and end, nothing between)"
