"""complete.py RC LINE - what an interactive shell shows for LINE and TAB.

Starts the shell that SHELL names on a pseudoterminal, lets it read RC, types
LINE and TAB, and prints what appeared: the line as completed, and the
list below it.
"""

import os
import pty
import re
import signal
import struct
import sys
import termios
from fcntl import ioctl

COMMANDS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
READY = b"--ready--"
DONE = b"--done--"


def read_until(terminal, mark):
    shown = b""
    while mark not in shown:
        shown += os.read(terminal, 4096)
    return shown.split(mark)[0]


def main():
    rc, line = sys.argv[1:]
    signal.alarm(200)
    pid, terminal = pty.fork()
    if pid == 0:
        command = COMMANDS[os.environ["SHELL"]]
        os.execvp(command[0], command)
    # Room for a list, which is not to be cut or paged.
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 1000, 400, 0, 0))
    # The shell edits lines from its prompt on. What is typed here must not
    # look like a mark when it is echoed.
    os.write(terminal, b". %s; PS1='--'ready'-- '\n" % rc.encode())
    read_until(terminal, READY)
    # Control-U takes the line away.
    os.write(terminal, line.encode() + b"\t\x15printf -- '--%s--\\n' done\n")
    shown = read_until(terminal, DONE)
    os.write(terminal, b"exit\n")
    os.waitpid(pid, 0)
    text = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\x07|\r", b"", shown)
    sys.stdout.write(text.split(READY)[0].decode())


main()
