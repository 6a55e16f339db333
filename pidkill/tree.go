package main

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// tree is a session, or a group with all who descend from it. Links to
// descendants break when their parents end, so whoever was seen in the tree once
// stays in it.
type tree struct {
	// core tells whether a process is in that session or group. If so, its whole
	// process group is in the tree, and can be signalled as one.
	core    func(pid int) bool
	descend bool           // descendants belong to it
	seen    map[int]uint64 // start times, of all who are in the tree
}

// has tells whether a process is in the tree now.
func (t *tree) has(pid int) bool {
	if t.core(pid) {
		return true
	}
	start, known := t.seen[pid]
	if !known {
		return false
	}
	p, err := posix.ReadStat(pid)
	if err != nil {
		return !errors.Is(err, unix.ESRCH) // it cannot be told to be gone
	}
	return p.Start == start
}

// list is who is in the tree, zombies too, in ascending order.
func (t *tree) list() ([]int, error) {
	pids, err := posix.EveryPID()
	if err != nil {
		return nil, err
	}
	rows, _, err := posix.Table(pids)
	if err != nil {
		return nil, err
	}
	now := map[int]uint64{}
	for pid, start := range t.seen { // also one whose row could not be read just now
		if t.has(pid) {
			now[pid] = start
		}
	}
	for before := -1; before < len(now); { // a child may stand before its parent
		before = len(now)
		for i := range rows {
			p := &rows[i]
			start, known := t.seen[p.PID]
			_, child := now[p.PPID]
			if known && start == p.Start || child && t.descend || t.core(p.PID) {
				now[p.PID] = p.Start
			}
		}
	}
	t.seen = now
	hidden := len(rows) < len(pids) // by proc(5): of those only the IDs are known
	return slices.DeleteFunc(pids, func(pid int) bool {
		_, known := now[pid]
		return !known && !(hidden && t.core(pid))
	}), nil
}
