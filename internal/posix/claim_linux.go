package posix

import "golang.org/x/sys/unix"

// Claims tells whether a member of the group that the pidfile names belongs to
// its daemon, though the leader is gone: it holds the lock; or the leader of
// its session is gone too, and it started before the file was written or the
// session bears another number, as daemonize(1) makes it. Start is that of
// Process, 0 where /proc hides it.
func (f *Pidfile) Claims(pgid, member int, start uint64) bool {
	sid, err := unix.Getsid(member)
	if err == nil && sid > 0 && !Lives(sid) && !f.BeforeBoot() && (sid != pgid || start != 0 && f.Before(start)) {
		return true // else the number means nothing to its session
	}
	return f.HeldBy(member)
}

// Lives tells whether a process is there that has not ended. As the leader of
// a group or session its number cannot go to another while there are members.
func Lives(pid int) bool {
	h, err := Pin(pid)
	if err != nil {
		return false
	}
	defer h.Close()
	return !h.Exited()
}
