package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// group is what a process group ID stands for, as an operand with -g.
func (k *killer) group(t *target, operand string) (*prey, error) {
	pgid, err := posix.ParsePID([]byte(operand))
	switch {
	case errors.Is(err, posix.ErrRange):
		return nil, errors.New("no process group that may be ended")
	case err != nil:
		return nil, errors.New("not a process group ID")
	}
	g := &posix.Group{ID: pgid}
	h, err := t.pin(pgid)
	if err != nil || !g.Has(pgid) {
		h, _, err = t.member(g, func(*posix.Handle) bool { return true })
	}
	if err == nil {
		return k.preyOf(g, h)
	}
	if other, no := unix.Getpgid(pgid); err == errNotRunning && no == nil && other != pgid {
		return nil, fmt.Errorf("%w (process %d is in group %d)", err, pgid, other)
	}
	return nil, err
}

// identify finds out whether pid still is the pidfile's daemon, and what
// belongs to it.
func (k *killer) identify(t *target, pid int) (*prey, error) {
	h, err := t.pin(pid)
	if err == unix.ESRCH {
		return k.leaderless(t, pid)
	}
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	switch err := t.file.Identify(h); {
	case err == nil || k.force:
		return k.around(t, h)
	case errors.Is(err, posix.ErrStale):
		return nil, fmt.Errorf("%w (%w)", errNotRunning, err)
	case h.Signal(0) == unix.EPERM && t.file.TryLock() == posix.ErrLocked:
		// Hidden by proc(5), hidepid; but locked means alive, and the kernel
		// sees to it that nothing comes of signalling it.
		return alone("process", h), nil
	default:
		return nil, err
	}
}

// around is what belongs to a daemon that is still there, if only as a
// zombie: its group, unless some other live process leads that.
func (k *killer) around(t *target, h *posix.Handle) (*prey, error) {
	pgid, err := unix.Getpgid(h.PID)
	if err != nil {
		return k.leaderless(t, h.PID)
	}
	g := &posix.Group{ID: pgid}
	if pgid != h.PID && (pgid == 0 || posix.Lives(pgid) && g.Has(pgid)) {
		g = nil
		if k.scope == theGroup && !k.status && !h.Kernel {
			k.note(t, "process %d does not lead its group, %s does: only that process is meant", h.PID, posix.Describe(pgid))
		}
	}
	return k.preyOf(g, h)
}

// leaderless is for a daemon whose process is gone: its group may live on
// under that number. The number is not proof enough.
func (k *killer) leaderless(t *target, pid int) (*prey, error) {
	f, g := t.file, &posix.Group{ID: pid}
	if k.scope == theProcess {
		return nil, errNotRunning
	}
	h, others, err := t.member(g, func(h *posix.Handle) bool {
		return k.force || f.Claims(pid, h.PID, h.Start)
	})
	switch {
	case err == nil:
		return k.preyOf(g, h)
	case others && f.BeforeBoot():
		return nil, fmt.Errorf("%w (%w, older than the last boot)", err, posix.ErrStale)
	case others:
		return nil, fmt.Errorf("process %d is gone, and nothing tells whether the group %d is its own (pidkill -g %d)", pid, pid, pid)
	}
	return nil, err
}

// errFleeting says that nobody of a group lived long enough to be looked at.
var errFleeting = errors.New("its members come and go too fast")

// member pins the first living member of a group for which sure holds. Others
// says that there are some, if none is. The error is errNotRunning then.
func (t *target) member(g *posix.Group, sure func(*posix.Handle) bool) (h *posix.Handle, others bool, err error) {
	var last []int
	for began := time.Now(); time.Since(began) < time.Second; {
		if g.Empty() {
			return nil, false, errNotRunning
		}
		all, err := posix.EveryPID()
		if err != nil {
			return nil, false, err
		}
		var members []int
		for _, pid := range slices.Backward(all) { // the newest first: it may not last
			if pgid, err := unix.Getpgid(pid); pgid != g.ID && err != unix.ESRCH {
				continue
			}
			members = append(members, pid) // it may have been one, if it vanished
			h, err := posix.Pin(pid)
			if err != nil {
				continue
			}
			if g.Has(pid) && !h.Exited() {
				if sure(h) {
					t.pinned = append(t.pinned, h)
					return h, false, nil
				}
				others = others || !h.Exited()
			}
			h.Close()
		}
		if others || len(members) > 0 && slices.Equal(members, last) {
			return nil, others, errNotRunning
		}
		last = members
	}
	return nil, false, errFleeting
}
