"""hostile.py SETTING... -- COMMAND...

Becomes the command in a state that a careless or hostile caller leaves behind:

    close=0,2       these descriptors closed
    open=1000       that many more descriptors open
    at=50-63        these descriptors open, on /etc/passwd
    ignore          every signal ignored
    block           every signal blocked
    nofile=64       soft limit on descriptors; nofile=max the highest possible
    socket          standard input and output a socket, as inetd has it
    leader          leading a process group
"""

import os
import resource
import signal
import socket
import sys

settings = sys.argv[1 : sys.argv.index("--")]
command = sys.argv[sys.argv.index("--") + 1 :]

for setting in settings:
    name, _, value = setting.partition("=")
    if name == "nofile":
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if value != "max":
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(value), hard))
            continue
        with open("/proc/sys/fs/nr_open") as f:
            highest = min(2**30, int(f.read()))
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, highest))
        except ValueError:  # not privileged enough
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    elif name == "open":
        for _ in range(int(value)):
            os.set_inheritable(os.open("/etc/passwd", os.O_RDONLY), True)
    elif name == "at":
        first, last = value.split("-")
        for fd in range(int(first), int(last) + 1):
            other = os.open("/etc/passwd", os.O_RDONLY)
            os.dup2(other, fd)
            if other != fd:
                os.close(other)
            os.set_inheritable(fd, True)
    elif name == "socket":
        ours, theirs = socket.socketpair()
        os.dup2(theirs.fileno(), 0)
        os.dup2(theirs.fileno(), 1)
    elif name == "leader":
        if os.getpgrp() != os.getpid():
            os.setpgid(0, 0)

# Python ignores some signals; a shell would not.
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
if "ignore" in settings:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
if "block" in settings:
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())

for setting in settings:
    name, _, value = setting.partition("=")
    if name == "close":
        for fd in value.split(","):
            os.close(int(fd))

os.execvp(command[0], command)
