"""terminal.py SCRIPT - a terminal that is closed under a shell.

Runs the script by sh on a new pseudoterminal. When it has run through, the
shell waits, as one at its prompt would; then the terminal is closed, and the
kernel hangs up the session. Prints what the terminal showed.
"""

import os
import pty
import signal
import sys

MARK = b"--script done--"


def main():
    script = sys.argv[1] + "\nprintf -- '%s'\nexec sleep 60" % MARK.decode()
    pid, terminal = pty.fork()
    if pid == 0:
        # Python ignores some signals; a login shell would not.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execv("/bin/sh", ["sh", "-c", script])

    signal.alarm(60)
    shown = b""
    while MARK not in shown:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # EIO: the last one who had it open is gone
            break
        if not data:
            break
        shown += data
    os.close(terminal)
    os.waitpid(pid, 0)
    sys.stdout.write(shown.replace(MARK, b"").replace(b"\r\n", b"\n").decode())


main()
