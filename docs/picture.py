"""picture.py - prints docs/pgtree.svg: what a terminal shows of a real service.

Types a few commands into a real shell on a real terminal, the service being
git's own server, and draws the transcript. "make picture" runs it in a PID
namespace of its own, for short numbers that are the same each time.
"""

import html
import os
import pty
import re
import shutil
import socket
import struct
import sys
import tempfile
import termios
import time
from fcntl import ioctl

COLUMNS = 100
PROMPT = "$ "
WIDTH, HEIGHT, MARGIN = 7.83, 18, 14  # of a character, a line, around all
# The terminal's own colours, as the program leaves them to it.
STYLES = {"1": "bold", "2": "faint", "31": "red", "32": "green", "35": "magenta"}
CSS = """
text { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #d8dee9; white-space: pre }
.typed { fill: #88c0d0 } .bold { font-weight: bold; fill: #ffffff } .faint { fill: #7b8496 }
.red { fill: #bf616a } .green { fill: #a3be8c } .magenta { fill: #b48ead }
"""


class Terminal:
    def __init__(self, directory):
        with open("inputrc", "w") as f:
            f.write("set enable-bracketed-paste off\n")
        pid, self.fd = pty.fork()
        if pid == 0:
            os.execvpe("bash", ["bash"], {
                "PATH": os.environ["PATH"], "HOME": directory, "INPUTRC": "inputrc",
                "TERM": "xterm", "LC_ALL": "C.UTF-8", "HISTFILE": "",
            })
        ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        # The first prompt is the machine's, and nobody knows how it ends.
        self.type("PS1='%s'; PROMPT_COMMAND=; printf 'rea''dy\\n'" % PROMPT, "ready\r\n" + PROMPT)

    def type(self, line, end="\n" + PROMPT):
        os.write(self.fd, line.encode() + b"\n")
        shown = b""
        while not shown.decode(errors="ignore").endswith(end):
            shown += os.read(self.fd, 4096)
        return shown.decode()[: -len(PROMPT)].replace("\r", "")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(500):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    sys.exit("picture: the service does not come up")


def transcript():
    port = free_port()
    with open("serve", "w") as f:
        f.write("#!/bin/sh\ngit daemon --base-path=. --listen=127.0.0.1 --port=%d &\n"
                "while sleep 3600; do git gc --quiet; done\n" % port)
    os.chmod("serve", 0o755)
    terminal = Terminal(os.getcwd())
    shown = ""
    try:
        for line in ["daemonize -m 022 -p git.pid -o git.log -c . ./serve",
                     "tail -f git.log | grep Connection &",
                     "pgtree $$ git.pid"]:
            shown += PROMPT + terminal.type(line)
            if line.startswith("daemonize"):
                wait_for(port)
    finally:
        terminal.type("pidkill git.pid; kill %1; wait")
    # Where it ran is nobody's business, nor is the port.
    return shown.replace(os.getcwd(), "/srv/git").replace(str(port), "9418")


def draw(line, y):
    """A line of the transcript as SVG text: its escape sequences are styles."""
    parts, style, cells = [], "", 0
    if line.startswith(PROMPT):
        line = PROMPT + "\x1b[typedm" + line[len(PROMPT):]
    for text, code in re.findall(r"([^\x1b]*)(?:\x1b\[([^m]*)m)?", line):
        cells += len(text)
        text = html.escape(text, quote=False)
        parts.append('<tspan class="%s">%s</tspan>' % (style, text) if style and text else text)
        style = "typed" if code == "typed" else STYLES.get(code, "")
    return '<text x="%d" y="%d" textLength="%.1f" xml:space="preserve">%s</text>' % (
        MARGIN, y, cells * WIDTH, "".join(parts))


def main():
    directory = tempfile.mkdtemp()
    try:
        os.chdir(directory)
        lines = transcript().splitlines()
    finally:
        os.chdir("/")
        shutil.rmtree(directory)
    width = 2 * MARGIN + COLUMNS * WIDTH
    height = 2 * MARGIN + len(lines) * HEIGHT
    print('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">'
          % (width, height, width, height))
    print("<title>pgtree shows the terminal's session, and the daemon's, whose leader is gone</title>")
    print("<style>%s</style>" % CSS)
    print('<rect width="100%" height="100%" rx="8" fill="#2e3440"/>')
    for i, line in enumerate(lines):
        if line:
            print(draw(line, MARGIN + i * HEIGHT + 13))
    print("</svg>")


main()
