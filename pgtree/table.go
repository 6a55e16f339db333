package main

import (
	"cmp"
	"slices"

	"procgroup/internal/posix"
)

// table is the process table in the order that the views are built in. It reads
// nothing itself: rows that are missing come from unlisted. A process is named by
// its position in procs; a set of processes is a bool for each of them.
type table struct {
	procs    []*posix.Process        // oldest first
	parents  []int                   // position of each one's parent, or -1
	index    map[int]int             // PID to position
	threads  map[int][]posix.Process // PID to its further threads
	shown    []bool                  // who may be shown (user of -u, not ended), where a target has them
	unlisted func(pid int) posix.Process
}

// newTable sorts the rows. Unlisted tells the IDs of a process that is not among
// them, 0 if there is no such process.
//
// A row that is younger than its child merely bears the parent's number. So
// there are no cycles, and a parent always comes before its children.
func newTable(rows []posix.Process, unlisted func(pid int) posix.Process) *table {
	t := &table{
		procs:    make([]*posix.Process, len(rows)),
		parents:  make([]int, len(rows)),
		index:    make(map[int]int, len(rows)),
		threads:  map[int][]posix.Process{},
		shown:    make([]bool, len(rows)),
		unlisted: unlisted,
	}
	for i := range rows {
		t.procs[i] = &rows[i]
	}
	slices.SortFunc(t.procs, func(a, b *posix.Process) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.PID, b.PID))
	})
	for i, p := range t.procs {
		t.parents[i] = -1
		if j, older := t.index[p.PPID]; older {
			t.parents[i] = j
		}
		t.index[p.PID] = i
	}
	return t
}

// row is the row of a process; for one that is not in the table it has the IDs
// alone.
func (t *table) row(pid int) posix.Process {
	if i, ok := t.index[pid]; ok {
		return *t.procs[i]
	}
	return t.unlisted(pid)
}

// process, session and group are the IDs that a number on the command line can be.
func process(p *posix.Process) int { return p.PID }
func session(p *posix.Process) int { return p.SID }
func group(p *posix.Process) int   { return p.PGID }

// leader is the state of the process that p's session or group has its ID from:
// alive, zombie, gone or hidden. One that has moved to another group is gone from
// its own.
func (t *table) leader(p *posix.Process, of func(*posix.Process) int) string {
	l := t.row(of(p))
	switch {
	case of(&l) != of(p) || l.State == 'X':
		return "gone"
	case l.State == 0:
		return hidden
	case l.Zombie():
		return "zombie"
	}
	return alive
}

const alive, hidden = "alive", "hidden"

// addDescendants adds all descendants of those in the set to it, and returns how
// many it has then. Parents come first, so one pass finds them all.
func (t *table) addDescendants(in []bool) (n int) {
	for i, up := range t.parents {
		if in[i] = in[i] || up >= 0 && in[up]; in[i] {
			n++
		}
	}
	return n
}

// addAncestors adds all ancestors of those in the set to it.
func (t *table) addAncestors(in []bool) {
	for i, up := range slices.Backward(t.parents) {
		if in[i] && up >= 0 {
			in[up] = true
		}
	}
}
