"""rounds.py N: kills supervisors and their commands at random moments.

After each kill: never two commands, never none while a supervisor says that
it runs, never a pidfile that names a stranger; and pidkill leaves nothing.
"""

import os
import random
import signal
import subprocess
import sys
import time

PIDFILE, LOG, ALONE = (os.path.abspath(f) for f in ("round.pid", "round.log", "alone"))
# A second command would find the first's lock, and end with status 77.
COMMAND = ["flock", "-F", "-n", "-E", "77", ALONE, "sleep", "1000"]
START = ["daemonize", "-s", "-r", "-p", PIDFILE, "-o", LOG, *COMMAND]


def stat(pid):
    """State, parent, group and session of a process, or None."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            state, *ids = f.read().rpartition(")")[2].split()[:4]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else [int(n) for n in ids]


def members(sid):
    """The living processes of a session."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.getsid(int(name)) == sid and stat(name):
                found.append(int(name))
        except ProcessLookupError:
            pass
    return found


def named():
    """What the pidfile says: a number at any time, or there is none."""
    try:
        with open(PIDFILE) as f:
            text = f.read()
    except FileNotFoundError:
        return 0
    assert text.strip().isdigit(), f"the pidfile holds {text!r}"
    return int(text)


def stranger(pid, sid):
    ids = stat(pid)
    if ids is None:
        return False
    parent, group, session = ids
    return group != pid or session != sid


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def pause(most):
    time.sleep(random.random() ** 3 * most)


def one_round(number):
    subprocess.run(START, check=True, timeout=60)
    command = named()
    ids = stat(command)
    assert ids, "it does not run"
    supervisor = ids[2]
    what = random.choice(["command", "supervisor", "command, supervisor", "supervisor, command"])
    pause(0.01)
    for target in what.split(", "):
        # The command that was read may just have gone: then nobody is killed.
        kill(supervisor if target == "supervisor" else command)
        pause(0.008)
    assert not stranger(named(), supervisor), "the pidfile names a stranger"

    if what == "command":
        deadline = time.monotonic() + 20
        while True:
            pid = named()
            if pid != command and stat(pid):
                break
            assert stat(supervisor), "no command, and no supervisor"
            assert time.monotonic() < deadline, "not started again"
        status = subprocess.run(["pidkill", "-0", "-q", PIDFILE], timeout=60).returncode
        assert status == 0 and stat(pid), f"pidkill -0 says {status}"
    again = subprocess.run(START, stderr=subprocess.DEVNULL, timeout=60).returncode
    # A command without a supervisor, killed too: then this is a new one.
    if again == 0:
        assert not members(supervisor), f"a second command beside {members(supervisor)}"
        assert what != "command" and stat(named()), "a new start took over"
    else:
        assert again == 1, f"a second start says {again}"
    sids = {supervisor}
    if again == 0:
        sids.add(stat(named())[2])
    pause(0.004)
    status = subprocess.run(["pidkill", "-t", "20", PIDFILE], timeout=60).returncode
    assert status == 0, f"pidkill says {status}"
    left = [pid for sid in sids for pid in members(sid)]
    assert not left, f"pidkill left {left}"
    assert not os.path.exists(PIDFILE), "pidkill left the pidfile"
    with open(LOG) as f:
        assert "exit status 77" not in f.read(), "two commands at once"


seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
random.seed(seed)
for n in range(int(sys.argv[1])):
    try:
        one_round(n)
    except AssertionError as failure:
        sys.exit(f"round {n} (SEED={seed}): {failure}")
