#!/bin/bash
# supervise.sh - what a supervisor costs while nothing happens: its private
# memory and its context switches in a minute (or MINUTE seconds), compared
# with those of libslack's daemon -r and of OpenRC's supervise-daemon. BIN may
# name the directory of the programs; what is not installed is unpacked from
# Debian's package, or left out.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "${BIN:-$here/../../bin}" && pwd)
minute=${MINUTE:-60}
dir=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; rm -rf "$dir" /run/openrc/{options,daemons}/procgroup-bench' EXIT
cd "$dir"

# unpack PACKAGE...: without installing, which would reconfigure the machine.
unpack() {
    local package
    for package; do
        apt-get -qq download "$package" >/dev/null 2>&1 && dpkg-deb -x "$package"_*.deb root || return
    done
}
PATH=$PATH:$dir/root/usr/bin:$dir/root/sbin
command -v daemon >/dev/null || unpack daemon || :
command -v supervise-daemon >/dev/null || unpack openrc librc1 libeinfo1 || :
export LD_LIBRARY_PATH=$dir/root/lib/x86_64-linux-gnu

# A file's pages that are not on the disk yet would count as private memory.
sync

"$bin/daemonize" -s -r -p a.pid sleep 1000
read -r _ _ _ supervisor _ <"/proc/$(<a.pid)/stat"
names=(daemonize) pids=("$supervisor")
if command -v daemon >/dev/null; then
    daemon -N -r -n bench -P "$dir" -- sleep 1000
    names+=("libslack daemon -r")
    until [[ -s bench.pid ]]; do sleep 0.1; done
    pids+=("$(<bench.pid)")
fi
if command -v supervise-daemon >/dev/null &&
    RC_SVCNAME=procgroup-bench supervise-daemon procgroup-bench --start --pidfile "$dir/b.pid" /bin/sleep -- 1000 >/dev/null; then
    names+=("OpenRC supervise-daemon")
    until [[ -s b.pid ]]; do sleep 0.1; done
    pids+=("$(<b.pid)")
fi
sleep 2

switches() { cat "/proc/$1/task"/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'; }
private() { awk '/^Private_/ { n += $2 } END { print n }' "/proc/$1/smaps_rollup"; }
dirty() { sed -n 's/^Private_Dirty: *\([0-9]*\) kB/\1/p' "/proc/$1/smaps_rollup"; }
cpu() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

before=() worked=()
for pid in "${pids[@]}"; do
    before+=("$(switches "$pid")") worked+=("$(cpu "$pid")")
done
sleep "$minute"
for i in "${!pids[@]}"; do
    pid=${pids[i]}
    kb=$(dirty "$pid")
    ((i)) || own=$kb
    printf '%-24s %5d kB dirty (ratio %5.2f), %5d kB private, %4d context switches and %d ticks of CPU in %d s\n' \
        "${names[i]}" "$kb" "$(awk "BEGIN { print $own / $kb }")" "$(private "$pid")" \
        "$(($(switches "$pid") - before[i]))" "$(($(cpu "$pid") - worked[i]))" "$minute"
done
