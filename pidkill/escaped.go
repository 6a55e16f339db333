package main

import (
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// escapee is a process that belonged to a daemon and left its group.
type escapee struct {
	*posix.Handle
	option string // that would have reached it
}

// census is who is in which group and session.
type census struct {
	pids             []int // ascending, as all lists here
	groups, sessions map[int][]int
}

func count() (*census, error) {
	pids, err := posix.PIDs()
	c := &census{pids, map[int][]int{}, map[int][]int{}}
	for _, pid := range pids {
		if id, err := unix.Getpgid(pid); err == nil {
			c.groups[id] = append(c.groups[id], pid)
		}
		if id, err := unix.Getsid(pid); err == nil {
			c.sessions[id] = append(c.sessions[id], pid)
		}
	}
	return c, err
}

// children tells the children of these processes and of their descendants, by
// whichever side is cheaper to ask.
func (c *census) children(members []int) (of func(pid int) []int, err error) {
	if 2*len(members) <= len(c.pids) {
		return func(pid int) []int {
			list, _ := posix.Children(pid)
			return list
		}, nil
	}
	others := slices.DeleteFunc(slices.Clone(c.pids), func(pid int) bool {
		_, is := slices.BinarySearch(members, pid)
		return is
	})
	rows, _, err := posix.Table(others)
	byParent := map[int][]int{}
	for _, p := range rows {
		byParent[p.PPID] = append(byParent[p.PPID], p.PID)
	}
	return func(pid int) []int { return byParent[pid] }, err
}

// lookAround finds the escapees while their links to the daemon are whole,
// unless its leader is there and has no children. The members that it meets
// meanwhile need not be looked for again.
func (k *killer) lookAround(t *target, counted func() (*census, error)) error {
	p := t.prey
	if k.quiet || p.group == nil {
		return nil
	}
	if p.group.Leader != nil {
		if children, err := posix.Children(p.group.ID); err == nil && len(children) == 0 {
			return nil
		}
	}
	all, err := counted()
	if err != nil {
		return err
	}
	members := slices.Clip(all.groups[p.group.ID])
	t.watch.Begin(members...)
	reach := map[int]string{} // by what option
	sid, _ := unix.Getsid(p.root.PID)
	own, _ := unix.Getsid(0)
	// A session that others lead, as a terminal's, has groups of its own.
	if sid > 0 && sid != own && (p.has(sid) || !posix.Lives(sid)) {
		for _, pid := range all.sessions[sid] {
			if !p.has(pid) {
				reach[pid] = "-S"
			}
		}
	}
	children, err := all.children(members)
	if err != nil {
		return err
	}
	for queue := members; len(queue) > 0; queue = queue[1:] {
		for _, pid := range children(queue[0]) {
			if p.has(pid) || strings.HasSuffix(reach[pid], "-T") {
				continue
			}
			reach[pid] = "-T"
			if id, _ := unix.Getsid(pid); id == sid && sid > 0 {
				reach[pid] = "-S or -T"
			}
			queue = append(queue, pid)
		}
	}
	for _, pid := range slices.Sorted(maps.Keys(reach)) {
		if h, err := t.pin(pid); err == nil && (reach[pid] != "-S" || t.after(h)) {
			t.escaped = append(t.escaped, escapee{h, reach[pid]})
		}
	}
	return nil
}

// after tells whether the group of a process of the daemon's session started
// after the daemon. That of its logger did not, for one: no escapee.
func (t *target) after(h *posix.Handle) bool {
	start := h.Start
	pgid, _ := unix.Getpgid(h.PID)
	if leader, err := posix.ReadStat(pgid); err == nil {
		start = leader.Start
	}
	if leader := t.prey.group.Leader; leader != nil {
		return start > leader.Start
	}
	return t.file != nil && !t.file.Before(start)
}

// reportEscaped says who got away and still lives, and what would reach them.
func (k *killer) reportEscaped(t *target, locked bool) {
	by := map[string][]int{} // what option
	for _, e := range t.escaped {
		if !e.Exited() {
			by[e.option] = append(by[e.option], e.PID)
		}
	}
	for _, option := range slices.Sorted(maps.Keys(by)) {
		k.note(t, "left the group and still runs (%s would have reached it): %s", option, describe(by[option]))
	}
	if !locked || t.prey.alone {
		return
	}
	holders, _, _ := t.file.Holders()
	for _, pid := range holders {
		reported := slices.ContainsFunc(t.escaped, func(e escapee) bool { return e.PID == pid })
		if pgid, err := unix.Getpgid(pid); err == nil && !reported {
			k.note(t, "left the group and still holds the lock (pidkill -g %d would reach it): %s", pgid, posix.Describe(pid))
		}
	}
}
