package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// prey is a set of processes that are signalled and waited for as one.
type prey struct {
	name  string         // what it is; the same prey has the same name
	root  *posix.Handle  // the daemon's process, or a member of its group
	group *posix.Group   // nil: not exactly a group
	has   func(int) bool // membership; a set may grow
	list  func() ([]int, error)
	whole func(int) int  // the group of a member that is all in the set, else 0; or nil
	guard *posix.Control // only processes of who has it may be signalled; nil: all
	alone bool           // it is one process
}

// preyOf is the prey of the scope asked for, around a group that h is in, or
// around the process h alone where g is nil.
func (k *killer) preyOf(g *posix.Group, h *posix.Handle) (*prey, error) {
	if h.Kernel {
		return nil, fmt.Errorf("refused: %d is a kernel thread", h.PID)
	}
	p := alone("process", h)
	if g != nil && k.scope != theProcess {
		if g.ID == h.PID {
			g.Leader = h
		}
		p = &prey{name: fmt.Sprintf("group %d", g.ID), root: h, group: g, has: g.Has, list: g.Members}
	}
	switch k.scope {
	case theTree:
		t := &tree{group: g, tracked: map[int]uint64{h.PID: h.Start}}
		p = &prey{name: p.name + " and its descendants", root: h, has: t.has, list: t.list, whole: t.whole}
		_, err := t.list()
		return p, err
	case theSession:
		sid, err := unix.Getsid(h.PID)
		switch {
		case err != nil && (g == nil || g.Empty()):
			return nil, errNotRunning
		case err != nil:
			return nil, errFleeting
		case sid == 0:
			return nil, errors.New("refused: its session is of another PID namespace")
		}
		return &prey{
			name: fmt.Sprintf("session %d", sid),
			root: h,
			has: func(pid int) bool {
				id, _ := unix.Getsid(pid) // -1 with an error
				return id == sid
			},
			list: func() ([]int, error) { return posix.Matching(unix.Getsid, sid) },
			whole: func(pid int) int {
				pgid, _ := unix.Getpgid(pid) // POSIX: a group is of one session
				return pgid
			},
		}, nil
	}
	return p, nil
}

// alone is the prey that is one process.
func alone(what string, h *posix.Handle) *prey {
	return &prey{
		name:  fmt.Sprintf("%s %d", what, h.PID),
		root:  h,
		has:   func(pid int) bool { return pid == h.PID && !h.Exited() },
		list:  func() ([]int, error) { return []int{h.PID}, nil },
		alone: true,
	}
}

// restrict makes sure, for root, that whoever controls a pidfile can have only
// processes of their own signalled through it.
func (p *prey) restrict(f *posix.Pidfile) error {
	switch {
	case unix.Geteuid() != 0:
		return nil
	case f.Names() > 1:
		return errors.New("refused: it has other names (hard links)")
	case f.Control.Only(0, 0):
		return nil
	}
	p.guard = &f.Control
	pids, err := p.living()
	if err != nil || len(pids) == 0 || slices.ContainsFunc(pids, p.allowed) {
		return err
	}
	return fmt.Errorf("refused: %s, and it names %s", p.guard, posix.Describe(pids[0]))
}

// allowed tells whether a member may be signalled.
func (p *prey) allowed(pid int) bool {
	if p.guard == nil {
		return true
	}
	var st unix.Stat_t // of the directory: the files in it may be root's
	err := unix.Stat(posix.ProcRoot+"/"+strconv.Itoa(pid), &st)
	return err == nil && p.guard.Only(int(st.Uid), int(st.Gid))
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
	if p.group != nil && p.guard == nil {
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
	case !p.allowed(pid):
		return unix.EPERM
	case p.guard == nil && p.whole != nil:
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
	w := &posix.Watch{Has: func(pid int) bool { return p.has(pid) && p.allowed(pid) }, List: p.list}
	if p.group != nil {
		w.Group, w.Empty = p.group.ID, p.group.Empty
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
	if err != nil {
		return !errors.Is(err, unix.ESRCH) // it cannot be told to be gone
	}
	return stat.Start == start
}

func (t *tree) list() ([]int, error) {
	pids, err := posix.EveryPID()
	if err != nil {
		return nil, err
	}
	rows, _, err := posix.Table(pids)
	if err != nil {
		return nil, err
	}
	tracked := map[int]uint64{}
	for before := -1; before < len(tracked); { // a child may stand before its parent
		before = len(tracked)
		for i := range rows {
			p := &rows[i]
			start, known := t.tracked[p.PID]
			_, child := tracked[p.PPID]
			if known && start == p.Start || child || t.whole(p.PID) != 0 {
				tracked[p.PID] = p.Start
			}
		}
	}
	t.tracked = tracked
	hidden := len(rows) < len(pids) // by proc(5): of those only the group is known
	return slices.DeleteFunc(pids, func(pid int) bool {
		_, known := tracked[pid]
		return !known && !(hidden && t.whole(pid) != 0)
	}), nil
}
