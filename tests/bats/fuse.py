"""fuse.py MOUNTPOINT UID [mute|root]

Mounts a file system that is this program, as the user UID would by
fusermount(1): only that user may enter it. It has one file, a script named
"run". Prints "mounted", and unmounts at the end of its standard input.

    mute    it reads what it is asked and never answers
    root    everybody may enter it, and it says that all in it is root's
"""

import ctypes
import os
import select
import struct
import sys

point, uid, how = sys.argv[1], int(sys.argv[2]), "".join(sys.argv[3:])
owner = 0 if how == "root" else uid
script = b"#!/bin/sh\npwd\nexec sleep 1000\n"

libc = ctypes.CDLL(None, use_errno=True)
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40000,user_id={uid},group_id={uid}"
if how == "root":
    options += ",allow_other"
if libc.mount(b"test", point.encode(), b"fuse", 0, options.encode()):
    sys.exit("mount: " + os.strerror(ctypes.get_errno()))


def attr(node):
    mode, size = (0o40755, 0) if node == 1 else (0o100755, len(script))
    return struct.pack("=6Q10I", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, owner, owner, 0, 4096, 0)


def answer(opcode, node, body):
    """The errno, and what follows the header; None where none is wanted."""
    if opcode == 26:  # INIT
        return 0, struct.pack("=4I2H2I2H8I", 7, 31, 4096, 0, 1, 1, 4096, 1, 0, 0, *[0] * 8)
    if opcode in (2, 36, 38, 42):  # FORGET, INTERRUPT, DESTROY, BATCH_FORGET
        return None
    if how == "mute":
        return None
    if opcode == 1:  # LOOKUP
        if body != b"run\0":
            return 2, b""
        return 0, struct.pack("=4Q2I", 2, 0, 1, 1, 0, 0) + attr(2)
    if opcode == 3:  # GETATTR
        return 0, struct.pack("=Q2I", 1, 0, 0) + attr(node)
    if opcode in (14, 27):  # OPEN, OPENDIR
        return 0, bytes(16)
    if opcode == 15:  # READ
        _, offset, size = struct.unpack_from("=2QI", body)
        return 0, script[offset : offset + size]
    if opcode == 17:  # STATFS
        return 0, bytes(80)
    if opcode in (18, 29):  # RELEASE, RELEASEDIR
        return 0, b""
    return 38, b""  # ENOSYS


print("mounted", flush=True)
while True:
    ready, _, _ = select.select([device, 0], [], [])
    if 0 in ready:
        break
    request = os.read(device, 1 << 17)
    _, opcode, unique, node = struct.unpack_from("=2I2Q", request)
    reply = answer(opcode, node, request[40:])
    if reply is not None:
        error, body = reply
        os.write(device, struct.pack("=IiQ", 16 + len(body), -error, unique) + body)
libc.umount2(point.encode(), 2)  # MNT_DETACH
