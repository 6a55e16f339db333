"""pgtree.py WHAT - processes of the odd kinds that pgtree has to show.

Makes them, writes their PIDs to the file "pids" and waits to be killed. Or,
"compare": holds every process of the machine against ps(1).
"""

import ctypes
import os
import platform
import signal
import subprocess
import sys
import threading
import time

libc = ctypes.CDLL(None)
PR_SET_DUMPABLE, PR_SET_NAME = 4, 15

# Names as in the wild, from the harmless to the hostile.
NAMES = [
    b"a) S 1 2 3", b"(x", b"with space", b"new\nline", b"esc\x1b[2J", b"raw\x9bC1",
    "enc\u009bC1".encode(), "bidi\u202etxt".encode(), "comb e\u0301".encode(),
    "\u65e5\u672c\u8a9e".encode(), b"caf\xe9", b"back\\slash",
]


def wait():
    while True:
        signal.pause()


def ready(*pids):
    with open("pids.new", "w") as file:
        print(*pids, file=file)
    os.rename("pids.new", "pids")


def child(first=lambda: None, then=wait):
    """Forks; the parent goes on when the child has done the first thing."""
    seen, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        first()
        os.write(done, b"+")
        os.close(done)
        then()
    os.close(done)
    os.read(seen, 1)
    os.close(seen)
    return pid


def zombie_leader():
    """A session leader that has ended, unreaped; its child lives on."""
    orphan, write = os.pipe()

    def lead():
        os.setsid()
        os.write(write, b"%d" % child())
    leader = child(lead, lambda: os._exit(0))
    os.waitid(os.P_PID, leader, os.WEXITED | os.WNOWAIT)
    ready(leader, int(os.read(orphan, 16)))
    wait()


def zombie_threads():
    """A process whose first thread has ended, and whose second goes on."""
    number = {"x86_64": 60, "aarch64": 93}[platform.machine()]
    threading.Thread(target=lambda: time.sleep(600)).start()
    ready(os.getpid())
    libc.syscall(number, 0)  # exit(2), of this thread alone


def moved():
    """A group whose leader has gone over to another one."""
    os.setsid()
    leader = child(lambda: os.setpgid(0, 0))
    member = child(lambda: os.setpgid(0, leader))
    os.setpgid(leader, os.getpid())
    ready(os.getpid(), leader, member)
    wait()


def names():
    """Each hostile name once as a name, once as an argument."""
    os.setsid()
    pids = [child(lambda: libc.prctl(PR_SET_NAME, name, 0, 0, 0)) for name in NAMES]
    pids += [os.posix_spawn("/bin/sleep", [name, b"600"], os.environ) for name in NAMES]
    ready(os.getpid(), *pids)
    wait()


def threads():
    for _ in range(2):
        threading.Thread(target=lambda: time.sleep(600), daemon=True).start()
    libc.prctl(PR_SET_NAME, b"server", 0, 0, 0)
    ready(os.getpid())
    wait()


def secret():
    """Not dumpable: the files of it in /proc are root's."""
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    ready(os.getpid())
    wait()


def storm():
    """Processes come and go all the time."""
    ready(os.getpid())
    while True:
        for _ in range(8):
            if os.fork() == 0:
                os._exit(0)
        for _ in range(8):
            os.wait()


def run(*command):
    out = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return [line.split(None, 1) for line in out.decode(errors="backslashreplace").splitlines()]


def table(command, columns, split=" "):
    """Rows by PID, one column at a time, so that blanks in one do no harm."""
    rows = {}
    for column in columns:
        for pid, *value in run(*command(column)):
            rows.setdefault(pid, {})[column] = value[0].rstrip() if value else ""
    return rows


def seconds(text):
    days, _, clock = text.rpartition("-")
    total = 0
    for part in clock.split(":"):
        total = total * 60 + int(part)
    return total + 86400 * int(days or 0)


def alike(column, value, before, after):
    if value in (before, after):
        return True
    if column == "stat":  # L, and whether it runs just now
        plain = [text.replace("L", "").translate(str.maketrans("RDI", "SSS")) for text in (value, before, after)]
        return plain[0] in plain[1:]
    if column == "etime":  # older versions of ps subtract whole seconds, and so may have one more
        return seconds(before) - 1 <= seconds(value) <= seconds(after)
    if column == "time":
        return seconds(before) - 1 <= seconds(value) <= seconds(after) + 1
    # ps writes "?" or a blank for what it will not print.
    return before != after or column in ("comm", "args") and "\\" in value


def compare():
    columns = "ppid pgid sid tty tpgid stat uid user nlwp comm args time etime start lstart cgroup".split()
    def ps(column):
        return ["ps", "-ww", "-eo", "pid:9,%s:9999" % column, "--no-headers"]
    def pgtree(column):
        return ["pgtree", "-kno", "pid," + column]
    before, mine, after = table(ps, columns), table(pgtree, columns), table(ps, columns)
    both, wrong = 0, 0
    for pid in before.keys() & after.keys():
        if before[pid].keys() != after[pid].keys() or len(before[pid]) < len(columns):
            continue  # not there all the time
        both += 1
        for column in columns:
            # A worker of the kernel is named by its work, which changes all the time.
            if column in ("comm", "args") and "kworker/" in before[pid]["comm"]:
                continue
            value = mine.get(pid, {}).get(column)
            if value is None or not alike(column, value, before[pid][column], after[pid][column]):
                wrong += 1
                print("%s %s: %r, ps: %r" % (pid, column, value, before[pid][column]))
    sys.exit(wrong > 0 or both < 3)


globals()[sys.argv[1].replace("-", "_")]()
