package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// prey is a set of processes that are signalled and waited for as one.
type prey struct {
	name    string         // what it is; the same prey has the same name
	root    *posix.Handle  // the daemon's process, or a member of its group
	group   *posix.Group   // nil: not a whole group
	has     func(int) bool // membership; a set may grow
	list    func() ([]int, error)
	allowed func(int) bool // nil: all of them may be signalled
	alone   bool           // root is all of it
}

func (p *prey) close() { p.root.Close() }

// preyOf is the prey of the scope asked for, around a group, or around the
// process h alone where g is nil.
func (k *killer) preyOf(g *posix.Group, h *posix.Handle) (*prey, error) {
	p := &prey{root: h, group: g}
	switch {
	case k.scope == theSession:
		sid, err := unix.Getsid(h.PID)
		if err != nil {
			return nil, errNotRunning
		}
		if sid < 2 {
			return nil, errors.New("refused: its session is of another PID namespace")
		}
		p.name, p.group = fmt.Sprintf("session %d", sid), nil
		p.has = func(pid int) bool {
			id, err := unix.Getsid(pid)
			return err == nil && id == sid
		}
	case k.scope == theTree:
		p.name = fmt.Sprintf("process %d and its descendants", h.PID)
		if g != nil {
			p.name = fmt.Sprintf("group %d and its descendants", g.ID)
		}
		t := &tree{p: p, tracked: map[int]uint64{h.PID: h.Start}}
		p.has, p.list, p.group = t.has, t.list, nil
		if g != nil {
			t.member = g.Has
		}
		_, err := t.list()
		return p, err
	case k.scope == theProcess || g == nil:
		return alone(h, "process"), nil
	default:
		p.name, p.has = fmt.Sprintf("group %d", g.ID), g.Has
	}
	if p.list == nil {
		p.list = func() ([]int, error) { return posix.Matching(p.has) }
	}
	return p, nil
}

// alone is the prey that is one process.
func alone(h *posix.Handle, what string) *prey {
	return &prey{
		name:  fmt.Sprintf("%s %d", what, h.PID),
		root:  h,
		has:   func(pid int) bool { return pid == h.PID && !h.Exited() },
		list:  func() ([]int, error) { return []int{h.PID}, nil },
		alone: true,
	}
}

// forbidden refuses what nobody can mean: pidkill itself, a process that it
// comes from, init, the kernel.
func (p *prey) forbidden() error {
	for pid := unix.Getpid(); pid > 0; {
		if p.has(pid) {
			return fmt.Errorf("refused: %s has pidkill's own process %s in it", p.name, posix.Describe(pid))
		}
		stat, err := posix.ReadStat(pid)
		if err != nil {
			break
		}
		pid = stat.PPID
	}
	if stat, err := posix.ReadStat(p.root.PID); err == nil && stat.Kernel() {
		return fmt.Errorf("refused: %d is a kernel thread", p.root.PID)
	}
	return nil
}

// signal sends sig to all of the prey. It succeeds when one of them got it;
// EPERM: none may be signalled; ESRCH: there is none.
func (p *prey) signal(sig unix.Signal) error {
	if p.group != nil && p.allowed == nil {
		return p.group.Signal(sig)
	}
	if p.alone && p.allowed == nil {
		return p.root.Signal(sig)
	}
	best := error(unix.ESRCH)
	seen := map[int]bool{}
	for more := true; more; { // the set may grow while it is signalled
		more = false
		pids, err := p.list()
		if err != nil {
			return err
		}
		for _, pid := range pids {
			if seen[pid] {
				continue
			}
			seen[pid], more = true, true
			switch err := p.signalOne(pid, sig); {
			case err == nil:
				best = nil
			case err == unix.EPERM && best != nil:
				best = err
			}
		}
	}
	return best
}

func (p *prey) signalOne(pid int, sig unix.Signal) error {
	if p.allowed != nil && !p.allowed(pid) {
		return unix.EPERM
	}
	h, err := posix.Pin(pid)
	if err != nil {
		return err
	}
	defer h.Close()
	if h.Exited() || !p.has(pid) {
		return unix.ESRCH
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
		w.Empty = p.group.Empty
	}
	w.Begin(p.root.PID)
	return w
}

// living lists those that have not ended.
func (p *prey) living() ([]int, error) {
	pids, err := p.list()
	if err != nil {
		return nil, err
	}
	alive := pids[:0]
	for _, pid := range pids {
		if stat, err := posix.ReadStat(pid); err == nil && !stat.Zombie() && p.has(pid) {
			alive = append(alive, pid)
		}
	}
	return alive, nil
}

// tree is a group with all descendants that left it. The links to those break
// when their parents end, so whoever was seen once stays in it.
type tree struct {
	p       *prey
	member  func(pid int) bool // of the group; nil: there is none
	tracked map[int]uint64     // start times by PID
}

func (t *tree) has(pid int) bool {
	if t.member != nil && t.member(pid) {
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
	rows, err := table()
	if err != nil {
		return nil, err
	}
	var in []int
	for again := true; again; {
		again = false
		for i := range rows {
			p := &rows[i]
			start, known := t.tracked[p.PID]
			known = known && start == p.Start
			if p.PID == 0 || !known && !(t.member != nil && t.member(p.PID)) && !t.childOf(p) {
				continue
			}
			t.tracked[p.PID] = p.Start
			in = append(in, p.PID)
			p.PID, again = 0, true
		}
	}
	return in, nil
}

// childOf tells whether a process descends from one that is tracked. A parent
// that started later is a stranger on the parent's number.
func (t *tree) childOf(p *posix.Process) bool {
	start, known := t.tracked[p.PPID]
	return known && start <= p.Start
}

// table is every process of the machine.
func table() ([]posix.Process, error) {
	pids, err := posix.PIDs()
	if err != nil {
		return nil, err
	}
	rows, _, err := posix.Table(pids, 0, nil)
	return rows, err
}
