package main

import (
	"maps"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// listing is who is in which group and session.
type listing struct {
	pids             []int // ascending, as all lists here
	groups, sessions map[int][]int
}

func listAll() (*listing, error) {
	pids, err := posix.PIDs()
	c := &listing{pids, map[int][]int{}, map[int][]int{}}
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

// children tells the children of these processes and of their descendants. Either
// it asks each for them, where this kernel can tell, or it reads the rows of all
// others: whichever is cheaper.
func (c *listing) children(members []int) (of func(pid int) []int, err error) {
	if _, err := posix.Children(unix.Getpid()); err == nil && 2*len(members) <= len(c.pids) {
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

// findEscaped finds who has left the group, before it is signalled: when a member
// ends, nothing links its children to the daemon any more. It looks at nobody if
// the leader is there and has no children. The members that it meets meanwhile
// need not be looked for again.
func (j *job) findEscaped(t *target, listed func() (*listing, error)) error {
	s := t.set
	if j.quiet || s.group == nil {
		return nil
	}
	if s.group.Leader != nil {
		if children, err := posix.Children(s.group.ID); err == nil && len(children) == 0 {
			return nil
		}
	}
	all, err := listed()
	if err != nil {
		return err
	}
	members := slices.Clip(all.groups[s.group.ID])
	t.watch.Known = members
	outside := map[int]bool{} // whoever has left the group, and whether it descends from a member
	sid, _ := unix.Getsid(s.root.PID)
	own, _ := unix.Getsid(0)
	// A session that others lead, as a terminal's, has groups of its own.
	if sid > 0 && sid != own && (s.has(sid) || !posix.Lives(sid)) {
		for _, pid := range all.sessions[sid] {
			if !s.has(pid) {
				outside[pid] = false
			}
		}
	}
	children, err := all.children(members)
	if err != nil {
		return err
	}
	for queue := members; len(queue) > 0; queue = queue[1:] {
		for _, pid := range children(queue[0]) {
			if !s.has(pid) && !outside[pid] {
				outside[pid] = true
				queue = append(queue, pid)
			}
		}
	}
	for _, pid := range slices.Sorted(maps.Keys(outside)) {
		if h, err := t.pin(pid); err == nil && (outside[pid] || t.after(h)) {
			t.escaped = append(t.escaped, h)
		}
	}
	return nil
}

// after tells whether the group of h, a process of the daemon's session but not of
// its group, started after the daemon. The group of the daemon's logger
// (-o '|command') started before it: the logger has not escaped.
func (t *target) after(h *posix.Handle) bool {
	start := h.Start
	pgid, _ := unix.Getpgid(h.PID)
	if leader, err := posix.ReadStat(pgid); err == nil {
		start = leader.Start
	}
	if leader := t.set.group.Leader; leader != nil {
		return start > leader.Start
	}
	return t.file != nil && !t.file.AsOld(start)
}

// reportEscaped says who got away and still lives, kin among them, and how to
// end them now.
func (j *job) reportEscaped(t *target, kin []int) {
	pids := slices.DeleteFunc(slices.Clone(kin), func(pid int) bool { return !posix.Lives(pid) })
	for _, h := range t.escaped {
		if !h.Exited() && !slices.Contains(kin, h.PID) {
			pids = append(pids, h.PID)
		}
	}
	if len(pids) > 0 {
		slices.Sort(pids)
		j.note(t, "left the group and still runs (%s ends it): %s", byGroup(pids), posix.DescribeAll(pids))
	}
}

// byGroup is the command that ends the groups of some processes.
func byGroup(pids []int) string {
	command := "pidkill -g"
	var groups []int
	for _, pid := range pids {
		if pgid, err := unix.Getpgid(pid); err == nil && !slices.Contains(groups, pgid) {
			groups = append(groups, pgid)
			command += " " + strconv.Itoa(pgid)
		}
	}
	return command
}
