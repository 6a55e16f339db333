#!/usr/bin/env python3
"""A service that says when it is ready, in no more than the standard library.

    daemonize -m 022 -n 30 -p ready.pid -o ready.log -c . python3 ready.py 8000

returns when the port is open, and not before: what is started after it can
use it at once. Status 3 or 124, if it fails or takes longer than 30 seconds.
"""

import http.server
import os
import socket
import sys


def notify(message):
    """sd_notify(3): tells who started this, if they asked for it."""
    path = os.environ.pop("NOTIFY_SOCKET", None)
    if path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.connect("\0" + path[1:] if path[0] == "@" else path)
            s.send(message.encode())


port = int(sys.argv[1])
# Listens from here on: a client waits in the queue instead of being refused.
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), http.server.SimpleHTTPRequestHandler)
notify("READY=1\nSTATUS=listening on port %d" % port)
server.serve_forever()
