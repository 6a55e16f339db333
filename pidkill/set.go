package main

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// set is the processes that are signalled and waited for as one.
type set struct {
	name  string         // what it is; the same set has the same name
	are   string         // "is", or "are" where the name is a plural
	root  *posix.Handle  // the daemon's process, or a member
	group *posix.Group   // nil: not exactly a group
	has   func(int) bool // membership; a set may grow
	list  func() ([]int, error)
	whole func(int) int   // the group of a member that is all in the set, else 0; or nil
	alone bool            // it is one process
	as    *posix.Identity // with whose rights they are signalled; nil: the caller's
}

// setOf is the set of the scope asked for, around a group that h is in, or
// around the process h alone where g is nil.
func (j *job) setOf(t *target, g *posix.Group, h *posix.Handle) (*set, error) {
	if h.Kernel {
		return nil, fmt.Errorf("refused: %d is a kernel thread", h.PID)
	}
	s := alone("process", h)
	if g != nil && j.scope != theProcess {
		if g.ID == h.PID {
			g.Leader = h
		}
		s = &set{name: fmt.Sprintf("group %d", g.ID), are: "is", root: h, group: g, has: g.Has, list: g.Members}
	}
	switch j.scope {
	case theTree:
		in := func(pid int) bool { return g != nil && g.Has(pid) }
		return t.spread(s.name+" and its descendants", h, in, true)
	case theSession:
		sid, err := unix.Getsid(h.PID)
		switch {
		case err != nil && (g == nil || g.Empty()):
			return nil, errNotRunning
		case err != nil:
			return nil, posix.ErrFleeting
		case sid == 0:
			return nil, errors.New("refused: its session is of another PID namespace")
		}
		in := func(pid int) bool {
			id, _ := unix.Getsid(pid) // -1 with an error
			return id == sid
		}
		s, err := t.spread(fmt.Sprintf("session %d", sid), h, in, false)
		s.are = "is"
		return s, err
	}
	return s, nil
}

// alone is the set of one process.
func alone(what string, h *posix.Handle) *set {
	return &set{
		name:  fmt.Sprintf("%s %d", what, h.PID),
		are:   "is",
		root:  h,
		has:   func(pid int) bool { return pid == h.PID && !h.Exited() },
		list:  func() ([]int, error) { return []int{h.PID}, nil },
		alone: true,
	}
}

// kin is the set of those who hold the lock of a daemon whose process and group
// are gone, with their descendants. A lock that daemonize did not make proves
// nothing outside its maker's session.
func (j *job) kin(t *target, d *posix.Daemon) (*set, error) {
	var others []int
	d.Kin = slices.DeleteFunc(d.Kin, func(pid int) bool {
		sid, _ := unix.Getsid(pid)
		strange := !d.Own && sid != d.Maker
		if strange {
			others = append(others, pid)
		}
		return strange
	})
	if len(others) > 0 {
		j.note(t, "left alone, as its lock is not daemonize's (%s): %s", byGroup(others), posix.DescribeAll(others))
	}
	for _, pid := range d.Kin {
		if h, err := t.pin(pid); err == nil && t.file.IsKin(pid, d.Maker) {
			return t.spread("what left the group", h, func(int) bool { return false }, true)
		}
	}
	return nil, errNotRunning
}

// spread is the set of all that in holds for, of the daemon's kin, and with
// descend of the descendants of both. Links to those break when their parents
// end, so whoever was seen in the set once stays in it.
func (t *target) spread(name string, root *posix.Handle, in func(int) bool, descend bool) (*set, error) {
	tracked := map[int]uint64{root.PID: root.Start} // start times
	if d := t.daemon; t.file != nil && d.Locked {
		if d.Kin == nil {
			d.Kin, d.Own = t.file.Kin(d.Maker)
		}
		for _, pid := range d.Kin { // but a supervisor, or a start that waits
			p, err := posix.ReadStat(pid)
			if err == nil && d.Own && pid != d.Maker && t.file.IsKin(pid, d.Maker) {
				tracked[pid] = p.Start
			}
		}
	}
	has := func(pid int) bool {
		if in(pid) {
			return true
		}
		start, known := tracked[pid]
		if !known {
			return false
		}
		p, err := posix.ReadStat(pid)
		if err != nil {
			return !errors.Is(err, unix.ESRCH) // it cannot be told to be gone
		}
		return p.Start == start
	}
	list := func() ([]int, error) {
		pids, err := posix.EveryPID()
		if err != nil {
			return nil, err
		}
		rows, _, err := posix.Table(pids)
		if err != nil {
			return nil, err
		}
		now := map[int]uint64{}
		for before := -1; before < len(now); { // a child may stand before its parent
			before = len(now)
			for i := range rows {
				p := &rows[i]
				start, known := tracked[p.PID]
				_, child := now[p.PPID]
				if known && start == p.Start || child && descend || in(p.PID) {
					now[p.PID] = p.Start
				}
			}
		}
		tracked = now
		hidden := len(rows) < len(pids) // by proc(5): of those only the IDs are known
		return slices.DeleteFunc(pids, func(pid int) bool {
			_, known := now[pid]
			return !known && !(hidden && in(pid))
		}), nil
	}
	_, err := list()
	return &set{
		name: name, are: "are", root: root, has: has, list: list,
		whole: func(pid int) int {
			if !in(pid) {
				return 0
			}
			pgid, _ := unix.Getpgid(pid) // POSIX: a group is of one session
			return pgid
		},
	}, err
}

// mayNot tells whether a process may not be signalled.
func (s *set) mayNot(h *posix.Handle) bool {
	return s.as.Do(func() error { return h.Signal(0) }) == unix.EPERM
}

// denied lists the living members that may not be signalled.
func (s *set) denied() (pids []int) {
	all, _ := s.living()
	return slices.DeleteFunc(all, func(pid int) bool {
		h, err := posix.Pin(pid)
		if err != nil {
			return true
		}
		defer h.Close()
		return !s.mayNot(h)
	})
}

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

// signalOne signals one process, or its group if all of that is to be
// signalled: while a member is pinned the group's number stays its own.
func (s *set) signalOne(pid int, sig unix.Signal, done map[int]bool) error {
	h, err := posix.Pin(pid)
	if err != nil {
		return err
	}
	defer h.Close()
	switch {
	case !s.has(pid) || h.Exited():
		return unix.ESRCH
	case s.whole != nil:
		if pgid := s.whole(pid); pgid > 1 && !done[-pgid] {
			done[-pgid] = true
			return s.as.Do(func() error { return unix.Kill(-pgid, sig) })
		} else if pgid > 1 {
			return unix.ESRCH
		}
	}
	return s.as.Do(func() error { return h.Signal(sig) })
}

// watch waits for all of them to end.
func (s *set) watch() *posix.Watch {
	w := &posix.Watch{Has: s.has, List: s.list}
	if s.group != nil {
		w.Group, w.Empty = s.group.ID, s.group.Empty
	}
	w.Begin(s.root.PID)
	return w
}

// living lists those that have not ended.
func (s *set) living() ([]int, error) {
	pids, err := s.list()
	if err != nil {
		return nil, err
	}
	alive := pids[:0]
	for _, pid := range pids {
		if h, err := posix.Pin(pid); err == nil {
			if s.has(pid) && !h.Exited() {
				alive = append(alive, pid)
			}
			h.Close()
		}
	}
	return alive, nil
}
