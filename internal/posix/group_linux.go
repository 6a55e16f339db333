package posix

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Group is a process group. Leader, if it is not nil, pins the process that leads
// it: a signal through that reaches no later group of the same number (Linux 6.9).
type Group struct {
	ID     int
	Leader *Handle // nil: it was gone from the start
}

// pidfdSignalProcessGroup has pidfd_send_signal(2) signal the group that a
// process leads, also when the process itself was reaped while members live
// (Linux 6.9).
const pidfdSignalProcessGroup = 1 << 2

// Signal sends sig to every member. It succeeds when one member could be
// signalled (kill(2)); EPERM: none; ESRCH: the group is empty.
func (g *Group) Signal(sig unix.Signal) error {
	if g.Leader != nil {
		if done, err := g.Leader.signalBy(pidfdSignalProcessGroup, sig); done {
			return err
		}
	}
	return unix.Kill(-g.ID, sig)
}

// Empty tells, without looking through the process table, that nothing is
// left, not even a zombie. False does not mean that somebody lives: a zombie counts,
// and so does whoever may not be signalled.
func (g *Group) Empty() bool {
	return g.Signal(0) == unix.ESRCH
}

// Has tells whether a process is in the group.
func (g *Group) Has(pid int) bool {
	id, err := unix.Getpgid(pid)
	return err == nil && id == g.ID
}

// Members lists the processes of the group, zombies among them, in ascending
// order. One that vanished before it could be asked for its group is listed too:
// it may have been a member, and have left a child that the list lacks.
func (g *Group) Members() ([]int, error) {
	return new(round).members(g.ID)
}

// ErrFleeting says that nobody of a group lived long enough to be looked at.
var ErrFleeting = errors.New("its members come and go too fast")

// Member pins a living member for which is holds; the caller closes it. It
// returns nil if there is none, and ErrFleeting if that cannot be told.
func (g *Group) Member(is func(*Handle) bool) (*Handle, error) {
	w := &Watch{Group: g, Has: func(h *Handle) bool { return h.identify() == nil && g.Has(h.PID) && is(h) }}
	Await(time.Now(), w)
	if w.Member == nil && !w.Gone && w.Err == nil {
		return nil, ErrFleeting
	}
	return w.Member, w.Err
}

// Wait waits at most so long until nobody in the group lives, and tells whether
// that is so.
func (g *Group) Wait(d time.Duration) bool {
	w := &Watch{Group: g, Has: func(h *Handle) bool { return g.Has(h.PID) }}
	defer w.Close()
	if g.Leader != nil {
		w.Begin(g.Leader)
	}
	Await(time.Now().Add(d), w)
	return w.Gone
}

// Step is one signal of a schedule and the longest wait after it.
type Step struct {
	Signal unix.Signal
	Wait   time.Duration
}

// End sends the signal of each step to the group and waits after it, until wait
// says that it is over or nobody is left, and tells whether it came to that. Wait is
// g.Wait, or a function that does other work meanwhile: it waits at most so long
// until nobody in the group lives.
func (g *Group) End(steps []Step, wait func(time.Duration) bool) bool {
	for _, s := range steps {
		if g.Signal(s.Signal) == unix.ESRCH {
			return true
		}
		g.Signal(unix.SIGCONT) // a stopped member acts on nothing but KILL
		if wait(s.Wait) {
			return true
		}
	}
	return false
}
