package posix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// slack is how much later than its pidfile's time a daemon may have started:
// the one is counted in ticks since boot, the other taken from a wall clock.
const slack = 500 * time.Millisecond

// ErrStale says that the pidfile's daemon is gone; what bears its number now,
// if anything, is a stranger.
var ErrStale = errors.New("stale pidfile")

// Identify tells whether a pinned process is the pidfile's daemon: it holds
// the lock, or it started before the file was written (a step of the wall
// clock may hide that). If not, the error is ErrStale with the reason. EPERM:
// /proc hides what it would take to know.
func (f *Pidfile) Identify(h *Handle) error {
	switch {
	case h.Start != 0 && f.Before(h.Start), f.HeldBy(h.PID):
		return nil
	case h.Start == 0:
		return fmt.Errorf("process %d: %w", h.PID, unix.EPERM)
	case f.BeforeBoot():
		return fmt.Errorf("%w, older than the last boot", ErrStale)
	}
	return fmt.Errorf("%w: process %d started later", ErrStale, h.PID)
}

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

// Before tells whether a process that started at so many ticks after boot
// can have been there when the file was written.
func (f *Pidfile) Before(start uint64) bool {
	written := sinceBoot(f.Written)
	return written >= 0 && ticks(start) <= written+slack
}

// ticks makes a duration of a number of clock ticks.
func ticks(n uint64) time.Duration { return time.Duration(n) * (time.Second / HZ) }

// sinceBoot is a wall clock time on the clock that start times are on. Both
// clocks have to be read at once: losing the processor in between would make a
// stranger of a daemon.
func sinceBoot(t time.Time) time.Duration {
	for {
		began := time.Now()
		var boot unix.Timespec
		unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
		if now := time.Now(); now.Sub(began) < slack/10 {
			return time.Duration(boot.Nano()) - now.Round(0).Sub(t.Round(0))
		}
	}
}

// BeforeBoot tells whether the file was written before the machine started.
func (f *Pidfile) BeforeBoot() bool { return sinceBoot(f.Written) < 0 }

// HeldBy tells whether the process has a descriptor of the file that carries
// the lock. False where /proc does not let the caller look.
func (f *Pidfile) HeldBy(pid int) bool {
	held, _ := f.hold(pid)
	return held
}

// KeptBy tells whether the process holds the lock and is a start, a supervisor
// or a pidkill, and no daemon.
func (f *Pidfile) KeptBy(pid int) bool {
	_, kept := f.hold(pid)
	return kept
}

// hold tells what proc_pid_fdinfo(5) says of the process's descriptors of the
// file. A start and a supervisor have it open for writing too, and pass on
// neither: any daemon may set FD_CLOEXEC, but whoever may only read the file
// cannot pose as one. A pidkill has both locks on one descriptor.
func (f *Pidfile) hold(pid int) (held, kept bool) {
	of := fmt.Sprintf("%s/%d", ProcRoot, pid)
	dir, err := unix.Open(of+"/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, false
	}
	defer unix.Close(dir)
	fds, _ := numbers(dir, make([]byte, 4096))
	fds = slices.DeleteFunc(fds, func(fd int) bool {
		var st unix.Stat_t
		return unix.Fstatat(dir, strconv.Itoa(fd), &st, 0) != nil || !f.is(&st)
	})
	read := func(fd int) []byte {
		info, _ := os.ReadFile(of + "/fdinfo/" + strconv.Itoa(fd)) // empty: closed meanwhile
		return info
	}
	// The lock last: a start that lets go of the file closes that one first.
	writes := slices.ContainsFunc(fds, func(fd int) bool {
		return fdFlags(read(fd))&unix.O_ACCMODE != unix.O_RDONLY
	})
	for _, fd := range fds {
		// Others may have it open to read it: the lock is the description's.
		info := read(fd)
		if bytes.Contains(info, []byte("FLOCK")) {
			both := bytes.Contains(info, []byte("POSIX"))
			return true, fdFlags(info)&unix.O_CLOEXEC != 0 && (writes || both)
		}
	}
	return false, false
}

// fdFlags is the flags of open(2) in what proc_pid_fdinfo(5) says, 0 if there
// are none.
func fdFlags(info []byte) uint64 {
	_, octal, _ := bytes.Cut(info, []byte("flags:\t"))
	octal, _, _ = bytes.Cut(octal, []byte("\n"))
	flags, _ := strconv.ParseUint(string(octal), 8, 64)
	return flags
}

// Holders are the processes that hold the lock, as far as the caller may see,
// and keepers those among them that are no daemon.
func (f *Pidfile) Holders() (holders, keepers []int, err error) {
	all, err := PIDs()
	for _, pid := range all {
		held, kept := f.hold(pid)
		if held {
			holders = append(holders, pid)
		}
		if kept {
			keepers = append(keepers, pid)
		}
	}
	return holders, keepers, err
}

// Describe names a process in a message: its PID, name and user.
func Describe(pid int) string {
	p, err := ReadStat(pid)
	if err != nil {
		return strconv.Itoa(pid)
	}
	var st unix.Stat_t
	if unix.Stat(fmt.Sprintf("%s/%d", ProcRoot, pid), &st) != nil {
		return fmt.Sprintf("%d (%s)", pid, Escape(p.Comm))
	}
	return fmt.Sprintf("%d (%s, user %s)", pid, Escape(p.Comm), UserName(int(st.Uid)))
}
