#!/bin/bash
# daemonize.sh - how long a start takes, until the command runs and its pidfile
# is complete, in pairs with what it is compared with. BIN may name the
# directory of the programs.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "${BIN:-$here/../../bin}" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
pidfile=$dir/x.pid
daemonize=("$bin/daemonize" -p "$pidfile" /bin/sleep 60)

cc -O2 -Wall -o "$dir/start" "$here/start.c"
(cd "$here/../.." && CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags '-s -w' \
    -o "$dir/forkexec" ./tests/bench/forkexec)

# The double fork of the textbooks.
cat >"$dir/double.py" <<'END'
import os, sys
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.chdir("/")
os.umask(0)
null = os.open("/dev/null", os.O_RDWR)
for fd in (0, 1, 2):
    os.dup2(null, fd)
with open(sys.argv[1], "w") as f:
    f.write("%d\n" % os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
END

# The same by the usual module (Debian: python3-daemon).
cat >"$dir/module.py" <<'END'
import os, sys
import daemon
with daemon.DaemonContext():
    with open(sys.argv[1], "w") as f:
        f.write("%d\n" % os.getpid())
    os.execv(sys.argv[2], sys.argv[2:])
END

# Root can keep what else runs on the machine out of the figures.
run=("$dir/start")
if chrt -f 10 true 2>/dev/null; then run=(chrt -f 10 "$dir/start"); fi

# compare ROUNDS WHAT LIMIT PIDFILE A... VS PIDFILE B...: the median ratio A/B.
compare() {
    local a b ratio
    read -r a b ratio < <("${run[@]}" "$1" "${@:4}")
    printf '%-44s %8.2f ms %8.2f ms  ratio %6.2f  (%s)\n' "$2" \
        "$(ms "$a")" "$(ms "$b")" "$ratio" "$3"
}
ms() { awk "BEGIN { print $1 / 1000 }"; }

compare 400 'daemonize / empty Go program, fork and exec' 'at most 1.5' \
    "$pidfile" "${daemonize[@]}" VS - "$dir/forkexec" /bin/sleep 60
compare 100 'without a pidfile' 'at most 1.5' \
    - "$bin/daemonize" /bin/sleep 60 VS - "$dir/forkexec" /bin/sleep 60
if ((EUID == 0)); then
    compare 400 'with -u, a second stage / without' 'at most 2' \
        "$pidfile" "$bin/daemonize" -u 61234:61234 -p "$pidfile" /bin/sleep 60 VS "$pidfile" "${daemonize[@]}"
fi
if command -v daemon >/dev/null; then
    compare 100 'libslack daemon / daemonize' 'more than 1' \
        "$pidfile" daemon -F "$pidfile" -- /bin/sleep 60 VS "$pidfile" "${daemonize[@]}"
fi
if [[ -x /usr/bin/python3 ]]; then
    compare 20 'python3, a double fork / daemonize' 'bare, without a module' \
        "$pidfile" /usr/bin/python3 "$dir/double.py" "$pidfile" /bin/sleep 60 VS "$pidfile" "${daemonize[@]}"
fi
if /usr/bin/python3 -c 'import daemon' 2>/dev/null; then
    compare 20 'python3-daemon / daemonize' 'at least 20' \
        "$pidfile" /usr/bin/python3 "$dir/module.py" "$pidfile" /bin/sleep 60 VS "$pidfile" "${daemonize[@]}"
fi
if command -v start-stop-daemon >/dev/null; then
    compare 400 'daemonize / start-stop-daemon' 'the one to beat' \
        "$pidfile" "${daemonize[@]}" VS "$pidfile" start-stop-daemon --quiet --start --background \
        --make-pidfile --pidfile "$pidfile" --exec /bin/sleep -- 60
fi
printf 'binary: %.2f MB (at most 2.5)\n' "$(awk "BEGIN { print $(stat -c %s "$bin/daemonize") / 1e6 }")"
