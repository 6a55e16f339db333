package main

import (
	"cmp"
	"fmt"
	"iter"
	"slices"

	"procgroup/internal/posix"
)

// table is the process table in the order that the views are built in. It
// knows nothing of the machine: rows in, lines out. A process is named by its
// position in procs, a set of processes is a bool for each of them.
type table struct {
	procs   []*posix.Process        // oldest first
	parents []int                   // position of each one's parent, or -1
	index   map[int]int             // PID to position
	threads map[int][]posix.Process // PID to its further threads
	omit    []bool                  // who is not shown, whatever the view
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
		omit:    make([]bool, len(rows)),
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

// session and group are what a process is a member of.
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

// matching is the set of processes that match. It tells whether there are any.
func (t *table) matching(match func(*posix.Process) bool) (in []bool, any bool) {
	in = make([]bool, len(t.procs))
	for i, p := range t.procs {
		in[i] = match(p)
		any = any || in[i]
	}
	return in, any
}

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

// kind says what a line stands for.
type kind byte

const (
	aProcess  kind = iota
	aThread        // of the process above it
	aSession       // heading; its process is one of the session
	aGroup         // heading of a group beside others of its session
	loneGroup      // heading of a group that was asked for
)

// forest is the lines of one view as a tree. Node 0 stands for the page: what
// hangs on it begins at the left margin.
type forest []node

type node struct {
	kind kind
	proc *posix.Process
	from *posix.Process // of a heading: the parent that this one has elsewhere, or nil

	up, first, last, next int32 // positions in the forest, 0 for none
}

// add appends a node that hangs nowhere yet.
func (f *forest) add(k kind, p *posix.Process) int32 {
	*f = append(*f, node{kind: k, proc: p})
	return int32(len(*f) - 1)
}

// head appends a heading and hangs it on up.
func (f *forest) head(up int32, k kind, p, from *posix.Process) int32 {
	n := f.add(k, p)
	(*f)[n].from = from
	f.hang(up, n)
	return n
}

// hang puts n below what hangs on up so far.
func (f forest) hang(up, n int32) {
	f[n].up = up
	if above := &f[up]; above.last == 0 {
		above.first, above.last = n, n
	} else {
		f[above.last].next, above.last = n, n
	}
}

// trees makes a node of each process in the set (nil: of all) and hangs it on
// its parent, with together only on one of the same group. The roots are what
// is left, the oldest first.
func (t *table) trees(in []bool, together bool) (f forest, roots []int32) {
	f = make(forest, 1)
	if in == nil {
		f = slices.Grow(f, len(t.procs))
	}
	at := make([]int32, len(t.procs)) // position to node
	for i, p := range t.procs {
		if t.omit[i] || in != nil && !in[i] {
			continue
		}
		at[i] = f.add(aProcess, p)
		for j := range t.threads[p.PID] {
			f.hang(at[i], f.add(aThread, &t.threads[p.PID][j]))
		}
		up := t.parents[i]
		if up < 0 || at[up] == 0 || together && (t.procs[up].PGID != p.PGID || t.procs[up].SID != p.SID) {
			roots = append(roots, at[i])
		} else {
			f.hang(at[up], at[i])
		}
	}
	return f, roots
}

// descent shows the set (nil: all) by parents alone.
func (t *table) descent(in []bool) forest {
	f, roots := t.trees(in, false)
	for _, n := range roots {
		f.hang(0, n)
	}
	return f
}

// view shows sessions, in each its groups, in each group the processes under
// their parents: all (in is nil), or a target, which is a session or group by
// its ID or some processes, with its descendants: in is the set of all these.
//
// A group gets a heading only where no single leader's row stands for it, and
// so does a session, unless it was asked for. Descendants that are in another
// session, or in another group of the same one, stand under a heading that
// says whom they come from.
func (t *table) view(in []bool, k kind, id int) forest {
	f, roots := t.trees(in, true)
	type box struct {
		parts int   // groups of a session, roots of a group
		led   bool  // the group's one root is its leader
		node  int32 // the heading, 0 while it has none
	}
	type ids struct{ sid, pgid int }
	sessions, groups := map[int]box{}, map[ids]box{}
	for _, n := range roots {
		p := f[n].proc
		s, g := sessions[p.SID], groups[ids{p.SID, p.PGID}]
		if g.parts == 0 {
			s.parts++
		}
		g.parts++
		g.led = g.parts == 1 && p.PID == p.PGID
		sessions[p.SID], groups[ids{p.SID, p.PGID}] = s, g
	}
	for _, n := range roots {
		p := f[n].proc
		s, g := sessions[p.SID], groups[ids{p.SID, p.PGID}]
		asked := in == nil || k == aSession && p.SID == id || k == loneGroup && p.PGID == id
		var from *posix.Process // below the target, but no part of it
		if up := t.parents[t.index[p.PID]]; !asked && up >= 0 && in[up] {
			from = t.procs[up]
		}
		switch {
		case k == aProcess && from == nil:
			f.hang(0, n) // asked for: its own row stands for it
			continue
		case g.node != 0:
		case k == loneGroup && asked:
			g.node = f.head(0, loneGroup, p, nil)
		case s.node == 0 && from != nil && from.SID == p.SID:
			g.node = f.head(0, aGroup, p, from)
		default:
			own := s.parts == 1 && p.PGID == p.SID // the group is all of the session
			if s.node == 0 && (in != nil || !own || !g.led) {
				s.node = f.head(0, aSession, p, from)
			}
			if !own && !g.led {
				g.node = f.head(s.node, aGroup, p, nil)
			}
		}
		f.hang(cmp.Or(g.node, s.node), n)
		sessions[p.SID], groups[ids{p.SID, p.PGID}] = s, g
	}
	return f
}

// line is a node in its place on the page.
type line struct {
	*node
	depth int
	bars  uint64 // bit d: on the way here, what is at depth d has one after it
}

// mostLevels of art are drawn; a deeper line says its depth, or the work would
// grow with the square of it.
const mostLevels = 48

// lines goes through the forest from top to bottom. Without heads the rest
// moves up to where the headings would be. There is no recursion in it: a
// chain of processes may be as long as the table.
func (f forest) lines(heads bool) iter.Seq[line] {
	return func(yield func(line) bool) {
		l := line{}
		shown := func() bool { return heads || l.kind <= aThread }
		for n := f[0].first; n != 0; {
			l.node = &f[n]
			if l.bars &^= 1 << l.depth; l.next != 0 {
				l.bars |= 1 << l.depth
			}
			if shown() && !yield(l) {
				return
			}
			if l.first != 0 {
				if shown() {
					l.depth++
				}
				n = l.first
				continue
			}
			for l.next == 0 && l.up != 0 {
				l.node = &f[l.up]
				if shown() {
					l.depth--
				}
			}
			n = l.next
		}
	}
}

// art is what the lines of a tree are drawn with, two cells each, and
// the mark where one is cut.
type art struct{ bar, blank, tee, last, cut string }

var (
	asciiArt = art{"| ", "  ", "|-", "`-", ">"}
	utf8Art  = art{"│ ", "  ", "├─", "└─", "…"}
)

// draw appends the art before a line's text, so many levels of it at most.
func (l line) draw(b []byte, a *art, levels int) []byte {
	for d := 1; d <= min(l.depth, levels); d++ {
		more := l.bars>>d&1 != 0
		switch {
		case d < l.depth && more:
			b = append(b, a.bar...)
		case d < l.depth:
			b = append(b, a.blank...)
		case more:
			b = append(b, a.tee...)
		default:
			b = append(b, a.last...)
		}
	}
	if l.depth > levels {
		b = fmt.Appendf(b, "(%d) ", l.depth)
	}
	return b
}
