package main

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// set is the processes that are signalled and waited for as one: a group, a
// tree, or, where it has neither, the one process root.
type set struct {
	name  string          // what it is; the same set has the same name
	root  *posix.Handle   // the daemon's process, or a member
	group *posix.Group    // the set is this group
	tree  *tree           // the set is this tree
	as    *posix.Identity // with whose rights they are signalled; nil: the caller's
}

// has tells whether a process is in the set now.
func (s *set) has(pid int) bool {
	switch {
	case s.group != nil:
		return s.group.Has(pid)
	case s.tree != nil:
		return s.tree.has(pid)
	}
	return pid == s.root.PID && !s.root.Exited()
}

// list is who is in the set, zombies too, in ascending order.
func (s *set) list() ([]int, error) {
	switch {
	case s.group != nil:
		return s.group.Members()
	case s.tree != nil:
		return s.tree.list()
	}
	return []int{s.root.PID}, nil
}

// watch waits for all of them to end, and first for the root.
func (s *set) watch() *posix.Watch {
	w := &posix.Watch{
		Has:   func(h *posix.Handle) bool { return s.has(h.PID) },
		Group: s.group,
		List:  s.list,
	}
	w.Begin(s.root)
	return w
}

// living lists the members that have not ended and for which is holds.
func (s *set) living(is func(*posix.Handle) bool) ([]int, error) {
	pids, err := s.list()
	return slices.DeleteFunc(pids, func(pid int) bool {
		h, err := posix.Pin(pid)
		if err != nil {
			return true
		}
		defer h.Close()
		return !s.has(pid) || h.Exited() || !is(h)
	}), err
}

// may tells whether a process may be signalled.
func (s *set) may(h *posix.Handle) bool {
	return s.as.Do(func() error { return h.Signal(0) }) != unix.EPERM
}

func (s *set) mayNot(h *posix.Handle) bool { return !s.may(h) }

// forbidden refuses what nobody can mean: pidkill itself, a process that it
// comes from, init.
func (s *set) forbidden() error {
	for pid := unix.Getpid(); ; {
		if s.has(pid) {
			return fmt.Errorf("refused: %s has pidkill's own process %s in it", s.name, posix.Describe(pid))
		}
		if pid == 1 {
			return nil
		}
		stat, _ := posix.ReadStat(pid)
		pid = max(1, stat.PPID) // init if /proc hides it or it is of another namespace
	}
}

// signal sends sig to all of the set. It succeeds when one of them got it;
// EPERM: none may be signalled; ESRCH: there is none.
func (s *set) signal(sig unix.Signal) error {
	if s.group != nil {
		return s.as.Do(func() error { return s.group.Signal(sig) })
	}
	best := error(unix.ESRCH)
	done := map[int]bool{} // processes, and groups below 0
	for range 10 {         // the set may grow meanwhile, but not for ever
		pids, err := s.list()
		if err != nil {
			return err
		}
		before := len(done)
		for _, pid := range pids {
			if done[pid] {
				continue
			}
			done[pid] = true
			if err := s.signalOne(pid, sig, done); err == nil || best == unix.ESRCH {
				best = err
			}
		}
		if len(done) == before {
			break
		}
	}
	return best
}

// signalOne signals one process, or its whole group if all of that is in the set.
// The group goes by its number, as kill(2) takes it: that is no other group's
// while a member has not been reaped, and this process was seen to be one just
// now.
func (s *set) signalOne(pid int, sig unix.Signal, done map[int]bool) error {
	h, err := posix.Pin(pid)
	if err != nil {
		return err
	}
	defer h.Close()
	if !s.has(pid) || h.Exited() {
		return unix.ESRCH
	}
	if s.tree != nil && s.tree.core(pid) {
		switch pgid, _ := unix.Getpgid(pid); {
		case pgid > 1 && done[-pgid]:
			return unix.ESRCH
		case pgid > 1:
			done[-pgid] = true
			return s.as.Do(func() error { return unix.Kill(-pgid, sig) })
		}
	}
	return s.as.Do(func() error { return h.Signal(sig) })
}
