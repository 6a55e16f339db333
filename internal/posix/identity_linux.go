package posix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
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

// KeptBy tells whether the process holds the lock and passes it on to nobody,
// as a start and a supervisor do, and no daemon of theirs.
func (f *Pidfile) KeptBy(pid int) bool {
	_, kept := f.hold(pid)
	return kept
}

// hold tells what proc_pid_fdinfo(5) says of the process's descriptors of the
// file. One read tells all: a start may let go of them at any moment.
func (f *Pidfile) hold(pid int) (held, kept bool) {
	of := fmt.Sprintf("%s/%d", ProcRoot, pid)
	dir, err := unix.Open(of+"/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, false
	}
	defer unix.Close(dir)
	fds, _ := numbers(dir, make([]byte, 4096))
	for _, n := range fds {
		fd := strconv.Itoa(n)
		var st unix.Stat_t
		if unix.Fstatat(dir, fd, &st, 0) != nil || !f.is(&st) {
			continue
		}
		// Others may have it open to read it: the lock is the description's.
		info, err := os.ReadFile(of + "/fdinfo/" + fd)
		if err != nil || !bytes.Contains(info, []byte("FLOCK")) {
			continue
		}
		_, flags, _ := bytes.Cut(info, []byte("flags:\t"))
		flags, _, _ = bytes.Cut(flags, []byte("\n"))
		octal, _ := strconv.ParseUint(string(flags), 8, 64)
		return true, octal&unix.O_CLOEXEC != 0
	}
	return false, false
}

// Holders are the processes that hold the lock, as far as the caller may see,
// and keepers those among them that pass it on to nobody.
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
