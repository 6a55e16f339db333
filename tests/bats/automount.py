"""automount.py MOUNTPOINT UID

Mounts a tmpfs of that user's on the directory when somebody enters it, as
autofs(8) does. Prints "ready", then "mounted"; unmounts at the end of its
standard input.
"""

import ctypes
import fcntl
import os
import select
import struct
import sys

point, uid = sys.argv[1].encode(), sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)


def mount(source, kind, options):
    if libc.mount(source, point, kind, 0, options.encode()):
        sys.exit("mount: " + os.strerror(ctypes.get_errno()))


os.setpgid(0, 0)  # whose members trigger nothing
requests, theirs = os.pipe()
mount(b"test", b"autofs", f"fd={theirs},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct")
root = os.open(point, os.O_RDONLY)
print("ready", flush=True)
while True:
    ready, _, _ = select.select([requests, 0], [], [])
    if 0 in ready:
        break
    packet = os.read(requests, 304)  # struct autofs_v5_packet
    if struct.unpack_from("=i", packet, 4)[0] == 5:  # autofs_ptype_missing_direct
        mount(b"tmpfs", b"tmpfs", f"size=1m,mode=755,uid={uid}")
        print("mounted", flush=True)
        fcntl.ioctl(root, 0x9360, struct.unpack_from("=I", packet, 8)[0])  # AUTOFS_IOC_READY
libc.umount2(point, 2)
libc.umount2(point, 2)  # MNT_DETACH
