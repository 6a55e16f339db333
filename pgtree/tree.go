package main

import (
	"cmp"
	"fmt"

	"procgroup/internal/posix"
)

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

// view adds to the forest what the table has of one target: by descent alone, each
// process under its parent; or sessions, in each its groups, in each group the
// processes under their parents.
type view struct {
	*table
	*forest
	*target
	byDescent bool
}

// add appends the nodes, the oldest process first. It tells whether there are any.
func (v view) add() bool {
	before := len(*v.forest)
	h := v.countRoots()
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

// shows tells whether the process at a position of the table is shown.
func (v view) shows(i int) bool { return v.in[i] && v.shown[i] }

// isRoot tells whether that process does not stand under its parent.
func (v view) isRoot(i int) bool {
	up := v.parents[i]
	return up < 0 || !v.shows(up) || !v.byDescent && groupOf(v.procs[up]) != groupOf(v.procs[i])
}

// groupID is that of a group in its session. A row that was read before a
// setsid(2) and one from after it can have the same group in two sessions.
type groupID struct{ sid, pgid int }

func groupOf(p *posix.Process) groupID { return groupID{p.SID, p.PGID} }

// headings are those of one view.
type headings struct {
	view
	rootsOf     map[groupID]int   // how many roots a group has
	groupsOf    map[int]int       // how many groups of a session have roots
	groupNode   map[groupID]int32 // the heading of a group: its node, 0 while there is none
	sessionNode map[int]int32     // that of a session
}

// countRoots finds out which sessions and groups may need a heading.
func (v view) countRoots() headings {
	h := headings{v, map[groupID]int{}, map[int]int{}, map[groupID]int32{}, map[int]int32{}}
	for i, p := range v.procs {
		if !v.shows(i) || !v.isRoot(i) {
			continue
		}
		g := groupOf(p)
		if h.rootsOf[g]++; h.rootsOf[g] == 1 {
			h.groupsOf[p.SID]++
		}
	}
	return h
}

// above is the node that a root hangs on: a heading, which is appended where it is
// missing, or the page.
//
// A group gets a heading only where no single leader's row stands for it, and
// so does a session, unless it was asked for. Descendants that are in another
// session, or in another group of the same one, stand under a heading that
// says whom they come from.
func (h headings) above(i int) int32 {
	p := h.procs[i]
	sid, g := p.SID, groupOf(p)
	led := h.rootsOf[g] == 1 && p.PID == p.PGID    // its leader's row stands for the group
	whole := h.groupsOf[sid] == 1 && p.PGID == sid // the group is all of the session
	asked := h.asks(p)
	var from *posix.Process // the parent, if p is shown only as a descendant of the target
	if up := h.parents[i]; !asked && up >= 0 && h.in[up] {
		from = h.procs[up]
	}
	switch {
	case h.kind == aProcess && from == nil:
		return 0 // asked for: its own row stands for it
	case h.groupNode[g] != 0:
	case h.kind == loneGroup && asked:
		h.groupNode[g] = h.hang(0, loneGroup, p, nil)
	case h.sessionNode[sid] == 0 && from != nil && from.SID == sid:
		h.groupNode[g] = h.hang(0, aGroup, p, from)
	default:
		if h.sessionNode[sid] == 0 && (h.kind != aPage || !whole || !led) {
			h.sessionNode[sid] = h.hang(0, aSession, p, from)
		}
		if !whole && !led {
			h.groupNode[g] = h.hang(h.sessionNode[sid], aGroup, p, nil)
		}
	}
	return cmp.Or(h.groupNode[g], h.sessionNode[sid])
}

// mostLevels of art are drawn; a deeper line says its depth, or the work would
// grow with the square of it.
const mostLevels = 48

// lines gives each node its place on the page: below the one that it hangs on, and
// below all that hangs on what was hung there before it. Without headings, the
// processes move up to where these would be. There is no recursion in it: a
// chain of processes may be as long as the table.
func (f forest) lines(headings bool) []*node {
	height := func(n *node) int32 {
		if n.heading() && !headings {
			return 0
		}
		return 1
	}
	for i := len(f) - 1; i > 0; i-- {
		f[f[i].up].below += height(&f[i]) + f[i].below
	}
	lines := make([]*node, 1+f[0].below)
	lines[0] = &f[0]
	f[0].depth, f[0].next = -1, 1
	for i := 1; i < len(f); i++ {
		n := &f[i]
		up := &f[n.up]
		n.depth, n.bars = up.depth+height(up), up.bars
		n.next = up.next + height(n)
		if height(n) > 0 {
			lines[up.next] = n
		}
		up.next = n.next + n.below
		if up.below -= height(n) + n.below; up.below > 0 {
			n.bars |= 1 << n.depth
		}
	}
	return lines
}

// art is what a tree is drawn with, two cells for each level. The second of a pair
// is for a level where something more follows further down the page.
type art struct {
	above, own [2]string // the levels above a line's own, and its own
	cut        string    // the mark where a line is cut
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
