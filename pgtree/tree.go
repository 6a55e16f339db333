package main

import (
	"cmp"
	"fmt"
	"slices"

	"procgroup/internal/posix"
)

// table is the process table in the order that the views are built in. It
// knows nothing of the machine: rows in, lines out. A process is named by its
// position in procs; a set of processes is a bool for each of them.
type table struct {
	procs   []*posix.Process        // oldest first
	parents []int                   // position of each one's parent, or -1
	index   map[int]int             // PID to position
	threads map[int][]posix.Process // PID to its further threads
	shown   []bool                  // who is shown, if a target has it
	hidden  func(pid int) posix.Process
}

// newTable sorts the rows. Hidden tells the IDs of a process that is not among
// them, 0 if there is no such process.
//
// A row that is younger than its child merely bears the parent's number. So
// there are no cycles, and a parent always comes before its children.
func newTable(rows []posix.Process, hidden func(pid int) posix.Process) *table {
	t := &table{
		procs:   make([]*posix.Process, len(rows)),
		parents: make([]int, len(rows)),
		index:   make(map[int]int, len(rows)),
		threads: map[int][]posix.Process{},
		shown:   make([]bool, len(rows)),
		hidden:  hidden,
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

// row is that of a process, with the IDs alone if it is not in the table.
func (t *table) row(pid int) posix.Process {
	if i, ok := t.index[pid]; ok {
		return *t.procs[i]
	}
	return t.hidden(pid)
}

// process, session and group are the IDs that a number can be.
func process(p *posix.Process) int { return p.PID }
func session(p *posix.Process) int { return p.SID }
func group(p *posix.Process) int   { return p.PGID }

// leader is the state of the one that a process's session or group is named
// after. One that has moved to another group is gone from its own.
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

// addDescendants adds to the set all that are below one of it. It counts them
// all.
func (t *table) addDescendants(in []bool) (n int) {
	for i, up := range t.parents {
		if in[i] = in[i] || up >= 0 && in[up]; in[i] {
			n++
		}
	}
	return n
}

// addAncestors adds to the set all that are above one of it.
func (t *table) addAncestors(in []bool) {
	for i, up := range slices.Backward(t.parents) {
		if in[i] && up >= 0 {
			in[up] = true
		}
	}
}

// kind says what a line stands for, and what a target asks for.
type kind byte

const (
	aPage kind = iota // everything; its line is the header of the columns
	aProcess
	aThread   // of the process above it
	aSession  // heading; its process is one of the session
	aGroup    // heading of a group beside others of its session
	loneGroup // heading of a group that was asked for
)

// forest is what is shown, as the nodes of a tree. Node 0 is the page: what hangs
// on it begins at the left margin. Every node comes after the one it hangs on.
type forest []node

type node struct {
	kind kind
	up   int32          // position in the forest of the node that it hangs on
	proc *posix.Process // whose line it is
	from *posix.Process // of a heading: the parent that proc has elsewhere, or nil

	// What lines finds out.
	depth int32
	below int32  // how many lines that hang on it have not been placed yet
	next  int32  // where the first of these goes
	bars  uint64 // bit d: on the way here, what is at depth d has one after it
}

// heading tells whether the line is one.
func (n *node) heading() bool { return n.kind > aThread }

// hang appends a node, which comes after what hangs on up already.
func (f *forest) hang(up int32, k kind, p, from *posix.Process) int32 {
	*f = append(*f, node{kind: k, up: up, proc: p, from: from})
	return int32(len(*f) - 1)
}

// view is what is shown of one target: by descent alone, each process under its
// parent; or sessions, in each its groups, in each group the processes under
// their parents.
type view struct {
	*table
	*forest
	*target
	byDescent bool
}

// add appends a view, the oldest processes first. It tells whether anything is
// shown.
func (v view) add() bool {
	before := len(*v.forest)
	h := v.findRoots()
	nodes := make([]int32, len(v.procs)) // position in the table to that in the forest
	for i, p := range v.procs {
		if !v.shows(i) {
			continue
		}
		up := int32(0)
		switch {
		case !v.isRoot(i):
			up = nodes[v.parents[i]]
		case !v.byDescent:
			up = h.above(i)
		}
		nodes[i] = v.hang(up, aProcess, p, nil)
		for j := range v.threads[p.PID] {
			v.hang(nodes[i], aThread, &v.threads[p.PID][j], nil)
		}
	}
	return len(*v.forest) > before
}

func (v view) shows(i int) bool { return v.in[i] && v.shown[i] }

// isRoot tells whether a process does not stand under its parent.
func (v view) isRoot(i int) bool {
	up := v.parents[i]
	return up < 0 || !v.shows(up) || !v.byDescent && groupOf(v.procs[up]) != groupOf(v.procs[i])
}

// groupID is that of a group in its session: rows that were read before and after
// a setsid(2) may have the same group in two.
type groupID struct{ sid, pgid int }

func groupOf(p *posix.Process) groupID { return groupID{p.SID, p.PGID} }

// headings are those of one view, as they are needed.
type headings struct {
	view
	roots     map[groupID]int   // how many a group has
	groups    map[int]int       // how many of a session have roots
	groupAt   map[groupID]int32 // the group's heading in the forest, 0 while it has none
	sessionAt map[int]int32
}

// findRoots finds out what there may be headings for.
func (v view) findRoots() headings {
	h := headings{v, map[groupID]int{}, map[int]int{}, map[groupID]int32{}, map[int]int32{}}
	for i, p := range v.procs {
		if v.shows(i) && v.isRoot(i) {
			if h.roots[groupOf(p)]++; h.roots[groupOf(p)] == 1 {
				h.groups[p.SID]++
			}
		}
	}
	return h
}

// above is the heading that a root hangs on. It is appended if it is missing.
//
// A group gets a heading only where no single leader's row stands for it, and
// so does a session, unless it was asked for. Descendants that are in another
// session, or in another group of the same one, stand under a heading that
// says whom they come from.
func (h headings) above(i int) int32 {
	p := h.procs[i]
	sid, group := p.SID, groupOf(p)
	led := h.roots[group] == 1 && p.PID == p.PGID
	own := h.groups[sid] == 1 && p.PGID == sid // the group is all of the session
	asked := h.asks(p)
	var from *posix.Process // below the target, but no part of it
	if up := h.parents[i]; !asked && up >= 0 && h.in[up] {
		from = h.procs[up]
	}
	switch {
	case h.kind == aProcess && from == nil:
		return 0 // asked for: its own row stands for it
	case h.groupAt[group] != 0:
	case h.kind == loneGroup && asked:
		h.groupAt[group] = h.hang(0, loneGroup, p, nil)
	case h.sessionAt[sid] == 0 && from != nil && from.SID == sid:
		h.groupAt[group] = h.hang(0, aGroup, p, from)
	default:
		if h.sessionAt[sid] == 0 && (h.kind != aPage || !own || !led) {
			h.sessionAt[sid] = h.hang(0, aSession, p, from)
		}
		if !own && !led {
			h.groupAt[group] = h.hang(h.sessionAt[sid], aGroup, p, nil)
		}
	}
	return cmp.Or(h.groupAt[group], h.sessionAt[sid])
}

// mostLevels of art are drawn; a deeper line says its depth, or the work would
// grow with the square of it.
const mostLevels = 48

// lines gives each node its place on the page: below the one it hangs on, and
// below all that hangs on what was hung there before it. Without headings, the
// processes move up to where these would be. There is no recursion in it: a
// chain of processes may be as long as the table.
func (f forest) lines(headings bool) []*node {
	own := func(n *node) int32 { // lines
		if n.heading() && !headings {
			return 0
		}
		return 1
	}
	for i := len(f) - 1; i > 0; i-- {
		f[f[i].up].below += own(&f[i]) + f[i].below
	}
	lines := make([]*node, 1+f[0].below)
	lines[0] = &f[0]
	f[0].depth, f[0].next = -1, 1
	for i := 1; i < len(f); i++ {
		n := &f[i]
		up := &f[n.up]
		n.depth, n.bars = up.depth+own(up), up.bars
		n.next = up.next + own(n)
		if own(n) > 0 {
			lines[up.next] = n
		}
		up.next = n.next + n.below
		if up.below -= own(n) + n.below; up.below > 0 {
			n.bars |= 1 << n.depth
		}
	}
	return lines
}

// art is what a tree is drawn with: two cells for each level, and the mark where a
// line is cut. Of each pair the second is for a level that has more to come
// further down.
type art struct {
	above, own [2]string // the levels that a line is below, and its own
	cut        string
}

var (
	asciiArt = art{[2]string{"  ", "| "}, [2]string{"`-", "|-"}, ">"}
	utf8Art  = art{[2]string{"  ", "│ "}, [2]string{"└─", "├─"}, "…"}
)

// draw appends the art before a line's text, so many levels of it at most.
func (n *node) draw(b []byte, a *art, levels int) []byte {
	depth := int(n.depth)
	for d := 1; d <= min(depth, levels); d++ {
		pair := &a.above
		if d == depth {
			pair = &a.own
		}
		b = append(b, pair[n.bars>>d&1]...)
	}
	if depth > levels {
		b = fmt.Appendf(b, "(%d) ", depth)
	}
	return b
}
