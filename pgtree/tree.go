package main

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"

	"procgroup/internal/posix"
)

// table is the process table in the order that the views are built in. It
// knows nothing of the machine: rows in, lines out.
type table struct {
	procs   []*posix.Process         // oldest first
	index   map[int]int              // PID to position in procs
	threads map[int][]*posix.Process // PID to its further threads
	others  map[int]posix.Process    // leaders that are not shown
}

func newTable(rows []posix.Process) *table {
	t := &table{
		procs:   make([]*posix.Process, 0, len(rows)),
		index:   make(map[int]int, len(rows)),
		threads: map[int][]*posix.Process{},
		others:  map[int]posix.Process{},
	}
	for i := range rows {
		if p := &rows[i]; p.PID == p.TGID {
			t.procs = append(t.procs, p)
		} else {
			t.threads[p.TGID] = append(t.threads[p.TGID], p)
		}
	}
	slices.SortFunc(t.procs, func(a, b *posix.Process) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.PID, b.PID))
	})
	for i, p := range t.procs {
		t.index[p.PID] = i
	}
	return t
}

// parent is the position of a process's parent, or -1. A row that is younger
// than its child merely bears the parent's number: so there are no cycles, and
// a parent always comes before its children.
func (t *table) parent(i int) int {
	if j, ok := t.index[t.procs[i].PPID]; ok && j < i {
		return j
	}
	return -1
}

// session and group are what a process is a member of.
func session(p *posix.Process) int { return p.SID }
func group(p *posix.Process) int   { return p.PGID }

// leader is the state of the one that a process's session or group is named
// after. One that has moved to another group is gone from its own.
func (t *table) leader(p *posix.Process, of func(*posix.Process) int) string {
	id := of(p)
	l := t.others[id] // a zero row if nobody is there
	if i, shown := t.index[id]; shown {
		l = *t.procs[i]
	}
	switch {
	case of(&l) != id:
		return "gone"
	case l.State == 0:
		return hidden
	case l.Zombie():
		return "zombie"
	}
	return alive
}

const alive, hidden = "alive", "hidden"

// addLeaders looks up the leaders that are not in the table. The last of
// several rows counts; one that has only the IDs is of a hidden process.
func (t *table) addLeaders(look func(pids []int) []posix.Process) {
	absent := map[int]bool{}
	for _, p := range t.procs {
		for _, id := range [...]int{p.SID, p.PGID} {
			if _, shown := t.index[id]; !shown && id != 0 {
				absent[id] = true
			}
		}
	}
	for _, p := range look(slices.Collect(maps.Keys(absent))) {
		t.others[p.PID] = p
	}
}

// kind says what a line stands for.
type kind byte

const (
	aProcess kind = iota
	aThread
	aSession  // heading; its process is one of the session
	aGroup    // heading of a group within its session
	loneGroup // heading of a group that was asked for
	aSubtree  // heading of a process that was asked for
)

// forest is the lines of one view as a tree. Node 0 stands for the page: what
// hangs on it begins at the left margin.
type forest []node

type node struct {
	kind kind
	proc *posix.Process

	up, first, last, next int32 // positions in the forest, 0 for none
}

// add appends a node that hangs nowhere yet.
func (f *forest) add(k kind, p *posix.Process) int32 {
	*f = append(*f, node{kind: k, proc: p})
	return int32(len(*f) - 1)
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
func (t *table) trees(in map[int]bool, together bool) (f forest, roots []int32) {
	f = make(forest, 1, len(t.procs)+1)
	at := make([]int32, len(t.procs)) // position in procs to node
	for i, p := range t.procs {
		if in != nil && !in[p.PID] {
			continue
		}
		at[i] = f.add(aProcess, p)
		for _, thread := range t.threads[p.PID] {
			f.hang(at[i], f.add(aThread, thread))
		}
		j := t.parent(i)
		if j < 0 || at[j] == 0 || together && (t.procs[j].PGID != p.PGID || t.procs[j].SID != p.SID) {
			roots = append(roots, at[i])
		} else {
			f.hang(at[j], at[i])
		}
	}
	return f, roots
}

// sessions shows whole sessions: in each its groups, in each group the
// processes under their parents. A group gets a heading only where no single
// leader's row stands for it, and so does a session, unless it was asked for.
func (t *table) sessions(in map[int]bool) forest {
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
		own := s.parts == 1 && p.PGID == p.SID // the group is all of the session
		if s.node == 0 && (in != nil || !own || !g.led) {
			s.node = f.add(aSession, p)
			f.hang(0, s.node)
		}
		if g.node == 0 && !own && !g.led {
			g.node = f.add(aGroup, p)
			f.hang(s.node, g.node)
		}
		f.hang(cmp.Or(g.node, s.node), n)
		sessions[p.SID], groups[ids{p.SID, p.PGID}] = s, g
	}
	return f
}

// view builds the forest of one target: a session, a group under one heading,
// or each process under its own, with its descendants across groups.
func (t *table) view(k kind, in map[int]bool) forest {
	if k == aSession {
		return t.sessions(in)
	}
	f, roots := t.trees(in, k == loneGroup)
	head := int32(0)
	for _, n := range roots {
		if head == 0 || k == aSubtree {
			head = f.add(k, f[n].proc)
			f.hang(0, head)
		}
		f.hang(head, n)
	}
	return f
}

// line is a node in its place on the page.
type line struct {
	*node
	depth int
	bars  uint64 // bit d: on the way here, what is at depth d has one after it
}

// levels of art; a deeper line says its depth, or the work would grow with
// the square of it.
const levels = 48

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

// draw appends the art before a line's text.
func (l line) draw(b []byte, a *art) []byte {
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

// descendants are the PIDs of the processes that match, and all below them.
func (t *table) descendants(match func(*posix.Process) bool) map[int]bool {
	in := map[int]bool{}
	for i, p := range t.procs {
		j := t.parent(i)
		if j >= 0 && in[t.procs[j].PID] || match(p) {
			in[p.PID] = true
		}
	}
	return in
}
