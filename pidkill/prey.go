package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// prey is a set of processes that are signalled and waited for as one.
type prey struct {
	name    string         // what it is; the same prey has the same name
	root    *posix.Handle  // the daemon's process, or a member of its group
	group   *posix.Group   // nil: not exactly a group
	has     func(int) bool // membership; a set may grow
	list    func() ([]int, error)
	whole   func(int) int  // the group of a member that is all in the set, else 0; or nil
	allowed func(int) bool // nil: all of them may be signalled
	alone   bool           // it is one process
}

// preyOf is the prey of the scope asked for, around a group, or around the
// process h alone where g is nil.
func (k *killer) preyOf(g *posix.Group, h *posix.Handle) (*prey, error) {
	switch {
	case h.Kernel:
		return nil, fmt.Errorf("refused: %d is a kernel thread", h.PID)
	case k.scope == theSession:
		sid, err := unix.Getsid(h.PID)
		if err != nil && (g == nil || g.Empty()) {
			return nil, errNotRunning
		} else if err != nil {
			return nil, errFleeting
		}
		if sid == 0 {
			return nil, errors.New("refused: its session is of another PID namespace")
		}
		return &prey{
			name: fmt.Sprintf("session %d", sid),
			root: h,
			has: func(pid int) bool {
				id, err := unix.Getsid(pid)
				return err == nil && id == sid
			},
			list: func() ([]int, error) { return posix.Matching(unix.Getsid, sid) },
			whole: func(pid int) int {
				pgid, _ := unix.Getpgid(pid) // POSIX: a group is of one session
				return pgid
			},
		}, nil
	case k.scope == theTree:
		t := &tree{group: g, tracked: map[int]uint64{h.PID: h.Start}}
		p := &prey{root: h, has: t.has, list: t.list, whole: t.whole}
		p.name = fmt.Sprintf("process %d and its descendants", h.PID)
		if g != nil {
			p.name = fmt.Sprintf("group %d and its descendants", g.ID)
		}
		_, err := t.list()
		return p, err
	case k.scope == theProcess || g == nil:
		return alone("process", h), nil
	}
	return &prey{name: fmt.Sprintf("group %d", g.ID), root: h, group: g, has: g.Has, list: g.Members}, nil
}

// alone is the prey that is one process.
func alone(what string, h *posix.Handle) *prey {
	return &prey{
		name: fmt.Sprintf("%s %d", what, h.PID),
		root: h,
		has:  func(pid int) bool { return pid == h.PID && !h.Exited() },
		list: func() ([]int, error) { return []int{h.PID}, nil },

		alone: true,
	}
}

// forbidden refuses what nobody can mean: pidkill itself, a process that it
// comes from, init.
func (p *prey) forbidden() error {
	for pid := unix.Getpid(); ; {
		if p.has(pid) {
			return fmt.Errorf("refused: %s has pidkill's own process %s in it", p.name, posix.Describe(pid))
		}
		if pid == 1 {
			return nil
		}
		stat, _ := posix.ReadStat(pid)
		pid = max(1, stat.PPID) // init if /proc hides it or it is of another namespace
	}
}

// signal sends sig to all of the prey. It succeeds when one of them got it;
// EPERM: none may be signalled; ESRCH: there is none.
func (p *prey) signal(sig unix.Signal) error {
	if p.group != nil && p.allowed == nil {
		return p.group.Signal(sig)
	}
	best := error(unix.ESRCH)
	done := map[int]bool{} // processes, and groups below 0
	for range 10 {         // the set may grow meanwhile, but not for ever
		pids, err := p.list()
		if err != nil {
			return err
		}
		before := len(done)
		for _, pid := range pids {
			if done[pid] {
				continue
			}
			done[pid] = true
			if err := p.signalOne(pid, sig, done); err == nil || best == unix.ESRCH {
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
func (p *prey) signalOne(pid int, sig unix.Signal, done map[int]bool) error {
	h, err := posix.Pin(pid)
	if err != nil {
		return err
	}
	defer h.Close()
	switch {
	case !p.has(pid) || h.Exited():
		return unix.ESRCH
	case p.allowed != nil && !p.allowed(pid):
		return unix.EPERM
	case p.allowed == nil && p.whole != nil:
		if pgid := p.whole(pid); pgid > 1 && !done[-pgid] {
			done[-pgid] = true
			return unix.Kill(-pgid, sig)
		} else if pgid > 1 {
			return unix.ESRCH
		}
	}
	return h.Signal(sig)
}

// watch waits for those that may be signalled.
func (p *prey) watch() *posix.Watch {
	w := &posix.Watch{Has: p.has, List: p.list}
	if p.allowed != nil {
		w.Has = func(pid int) bool { return p.has(pid) && p.allowed(pid) }
	}
	if p.group != nil {
		w.Group, w.Empty = p.group.ID, p.group.Empty
	}
	w.Begin(p.root.PID)
	return w
}

// gone tells whether the root, perhaps a zombie, was the last that lived.
func (p *prey) gone() (bool, error) {
	w := p.watch()
	defer w.Close()
	for range 100 { // what ends elsewhere meanwhile can keep it from being sure
		posix.Await(time.Now(), w)
		if w.Gone || w.Err != nil || w.PID() != 0 {
			break
		}
	}
	return w.Gone, w.Err
}

// living lists those that have not ended.
func (p *prey) living() ([]int, error) {
	pids, err := p.list()
	if err != nil {
		return nil, err
	}
	alive := pids[:0]
	for _, pid := range pids {
		if h, err := posix.Pin(pid); err == nil {
			if p.has(pid) && !h.Exited() {
				alive = append(alive, pid)
			}
			h.Close()
		}
	}
	return alive, nil
}

// tree is a group, or one process where that is nil, with all descendants that
// left it. The links to those break when their parents end, so whoever was
// seen in it once stays in it.
type tree struct {
	group   *posix.Group
	tracked map[int]uint64 // start times by PID
}

func (t *tree) whole(pid int) int {
	if t.group != nil && t.group.Has(pid) {
		return t.group.ID
	}
	return 0
}

func (t *tree) has(pid int) bool {
	if t.whole(pid) != 0 {
		return true
	}
	start, known := t.tracked[pid]
	if !known {
		return false
	}
	stat, err := posix.ReadStat(pid)
	return err == nil && stat.Start == start
}

func (t *tree) list() ([]int, error) {
	pids, err := posix.EveryPID()
	if err != nil {
		return nil, err
	}
	rows, _, err := posix.Table(pids, 0, nil)
	if err != nil {
		return nil, err
	}
	in := []int{}
	tracked := map[int]uint64{}
	if len(rows) < len(pids) { // of what /proc hides only the group is known
		shown := map[int]bool{}
		for _, p := range rows {
			shown[p.PID] = true
		}
		for _, pid := range pids {
			if !shown[pid] && t.whole(pid) != 0 {
				in = append(in, pid)
			}
		}
	}
	for again := true; again; { // a child may stand before its parent
		again = false
		for i := range rows {
			p := &rows[i]
			if _, known := tracked[p.PID]; known {
				continue
			}
			start, known := t.tracked[p.PID]
			_, child := tracked[p.PPID]
			if known && start == p.Start || child || t.whole(p.PID) != 0 {
				tracked[p.PID] = p.Start
				in = append(in, p.PID)
				again = true
			}
		}
	}
	t.tracked = tracked
	return in, nil
}
