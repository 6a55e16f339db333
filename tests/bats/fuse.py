"""fuse.py MOUNTPOINT UID [mute|root|onelock]

Mounts a file system that is this program, as the user UID would by
fusermount(1): only that user may enter it. It has one file, a script named
"run". Prints "mounted", and unmounts at the end of its standard input.

    mute    it reads what it is asked and never answers
    root    everybody may enter it, and it says that all in it is root's
    onelock a file "app.pid" may be made in it, on which flock(2) and fcntl(2)
            make locks of one kind, as on NFS, and nobody is told by whom
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


pidfile = None  # its content, if it is there
locks = []  # on it: owner, first and last byte


def attr(node):
    mode, size = {1: (0o40755, 0), 2: (0o100755, len(script)), 3: (0o100600, len(pidfile or b""))}[node]
    return struct.pack("=6Q10I", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, owner, owner, 0, 4096, 0)


def entry(node):
    return struct.pack("=4Q2I", node, 0, 0, 0, 0, 0) + attr(node)


def with_locks(opcode, node, body):
    """answer for what differs where the pidfile can be made."""
    global pidfile, locks
    if opcode == 1 and body == b"app.pid\0" and pidfile is not None:  # LOOKUP
        return 0, entry(3)
    if opcode == 35:  # CREATE
        pidfile = b""
        return 0, entry(3) + bytes(16)
    if opcode == 10:  # UNLINK
        pidfile = None
        return 0, b""
    if opcode in (18, 25):  # RELEASE, FLUSH: of the owner's last descriptor, or of any
        owner = struct.unpack_from("=Q", body, 16)[0]
        locks = [l for l in locks if l[0] != owner]
        return 0, b""
    if opcode in (31, 32, 33):  # GETLK, SETLK, SETLKW: the last to unlock only
        _, owner, first, last, kind, _ = struct.unpack_from("=4Q2I", body)
        others = [l for l in locks if l[0] != owner and l[1] <= last and first <= l[2]]
        if opcode == 31:
            _, first, last = others[0] if others else (0, first, last)
            return 0, struct.pack("=2Q2I", first, last, 1 if others else 2, 0)
        if kind == 2:  # F_UNLCK, of bytes at the beginning of what it has
            locks = [(o, last + 1 if o == owner else a, b) for o, a, b in locks]
            locks = [l for l in locks if l[1] <= l[2]]
        elif others:
            return 11, b""  # EAGAIN
        else:
            locks.append((owner, first, last))
        return 0, b""
    return None


def answer(opcode, node, body):
    """The errno, and what follows the header; None where none is wanted."""
    if opcode == 26:  # INIT
        flags = 0x402 if how == "onelock" else 0  # FUSE_POSIX_LOCKS, FUSE_FLOCK_LOCKS
        return 0, struct.pack("=4I2H2I2H8I", 7, 31, 4096, flags, 1, 1, 4096, 1, 0, 0, *[0] * 8)
    if opcode in (2, 36, 38, 42):  # FORGET, INTERRUPT, DESTROY, BATCH_FORGET
        return None
    if how == "mute":
        return None
    if how == "onelock" and (reply := with_locks(opcode, node, body)):
        return reply
    if opcode == 1:  # LOOKUP
        if body != b"run\0":
            return 2, b""
        return 0, entry(2)
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
