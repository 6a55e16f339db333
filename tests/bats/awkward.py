"""awkward.py KIND [ARGUMENT ...] - processes that are awkward to end.

count LOG             notes each TERM, HUP, CONT and USR1 in LOG, and goes on
hold FILE MODE        has a child, in the same group, with FILE locked as daemonize
                      does it, "r" (inheritable) or "rb" (not), and ends itself
zombies FILE          a group of two zombies that nobody reaps; FILE gets its ID
chain FILE [TIME]     a group whose leader sleeps for that long, and whose
                      other member forks and ends, and so does its child, for
                      ever, all of them deaf to TERM; FILE gets the group's ID
escape FILE           leads a group; one child is in another group of the
                      session, one in another session; FILE gets the three PIDs
private FILE          marks its descriptors close-on-exec; a child of it is in
                      another session; FILE gets the two PIDs
mixed FILE UID        leads a group with a child of another user

Each says "ready" on standard output once it is.
"""

import fcntl
import os
import signal
import sys
import time


def ready():
    os.write(1, b"ready\n")


def write(path, *pids):
    # By rename, so that whoever waits for the file finds all of it.
    with open(path + ".new", "w") as f:
        f.write("".join("%d\n" % pid for pid in pids))
    os.rename(path + ".new", path)


def sleep():
    while True:
        time.sleep(1000)


def child(prepare):
    """Forks a child that prepares and sleeps, and waits until it has."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        prepare()
        os.close(r)
        os.write(w, b".")
        sleep()
    os.close(w)
    os.read(r, 1)
    os.close(r)
    return pid


def count(log):
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(number, frame):
        os.write(fd, signal.Signals(number).name[3:].encode() + b"\n")

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCONT, signal.SIGUSR1):
        signal.signal(number, note)
    ready()
    sleep()


def hold(path, mode):
    fd = os.open(path, os.O_RDONLY | os.O_NOATIME)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.set_inheritable(fd, mode == "r")
    if os.fork() == 0:
        ready()
        sleep()


def zombies(path):
    leader = os.fork()
    if leader == 0:
        sleep()
    os.setpgid(leader, leader)
    member = os.fork()
    if member == 0:
        sleep()
    os.setpgid(member, leader)
    for pid in (leader, member):
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    write(path, leader)
    ready()
    sleep()


def chain(path, duration="1000"):
    os.setpgid(0, 0)
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        write(path, os.getpgrp())
        ready()
        while True:
            if os.fork():
                os._exit(0)
    time.sleep(float(duration))


def escape(path):
    group = child(lambda: os.setpgid(0, 0))
    session = child(os.setsid)
    write(path, os.getpid(), group, session)
    ready()
    sleep()


def private(path):
    for fd in range(64):
        try:
            os.set_inheritable(fd, False)
        except OSError:
            pass
    write(path, os.getpid(), child(os.setsid))
    ready()
    sleep()


def mixed(path, uid):
    pid = child(lambda: os.setresuid(int(uid), int(uid), int(uid)))
    write(path, os.getpid(), pid)
    ready()
    sleep()


globals()[sys.argv[1]](*sys.argv[2:])
