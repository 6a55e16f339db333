package main

import (
	"bufio"
	"fmt"
	"math"
	"slices"

	"procgroup/internal/posix"
)

// page is how the lines of the forest become text.
type page struct {
	*config
	*names
	table   *table
	colored bool
	width   int // cells of a line, or unlimited

	fitted    []fittedColumn // those of config, but for what has no room
	levels    int            // of art
	treeWidth int            // cells that the tree has in the last column
	buf       []byte         // a line
	text      []byte         // a cell
}

// fittedColumn is a column and the cells that it takes; text in the last one takes
// what it needs, and its width is 0.
type fittedColumn struct {
	*column
	width int
}

// The colors repeat what the text says. They are the terminal's own, so that
// they suit a light background as well as a dark one.
const (
	plain   = "\x1b[m"
	bold    = "\x1b[1m"  // headings, and who leads
	faint   = "\x1b[2m"  // art
	red     = "\x1b[31m" // zombies
	green   = "\x1b[32m" // the terminal's foreground
	magenta = "\x1b[35m" // stopped
)

// unlimited is the width of a page of which nothing is cut.
const unlimited = math.MaxInt32

// print writes the forest, or what can be written of it: out keeps an error for
// Flush.
func (g *page) print(out *bufio.Writer, f forest) {
	isTree := func(c *column) bool { return c.name == "tree" }
	lines := f.lines(!g.noHeading && slices.ContainsFunc(g.columns, isTree))
	g.measure(lines)
	if g.noHeading || g.short || len(lines) == 1 {
		lines = lines[1:] // no header
	}
	for _, n := range lines {
		if _, err := out.Write(g.line(n)); err != nil {
			return
		}
	}
}

// measure makes each column as wide as its widest cell, and then all of them fit
// the width of the page.
func (g *page) measure(lines []*node) {
	for _, c := range g.columns {
		g.fitted = append(g.fitted, fittedColumn{column: c})
	}
	g.levels, g.treeWidth = mostLevels, unlimited
	depth, last := 0, len(g.fitted)-1
	for _, n := range lines {
		depth = max(depth, int(n.depth))
		for i := range g.fitted {
			if c := &g.fitted[i]; i < last || !c.left {
				cell, _ := g.cell(c.column, n)
				c.width = max(c.width, posix.Width(cell))
			}
		}
	}
	g.fit(min(depth, mostLevels))
}

// fit makes room on a narrow terminal for a tree of that depth. The default
// columns give way, one by one, all but the PID; then what is drawn of the tree
// does. Text that is not in the last column has its part of the terminal at most.
func (g *page) fit(depth int) {
	for _, name := range [...]string{"time", "uid", "tpgid", "tty", "stat", "ppid", "sid", "pgid"} {
		if !g.shrink || g.room() >= max(40, 2*depth+15) {
			break
		}
		g.fitted = slices.DeleteFunc(g.fitted, func(c fittedColumn) bool { return c.name == name })
	}
	last := len(g.fitted) - 1
	room, texts := g.width-last, 0 // that the columns of text share
	for _, c := range g.fitted {
		if c.left {
			texts++
		} else {
			room -= c.width
		}
	}
	for i := range last {
		if c := &g.fitted[i]; c.left {
			c.width = min(c.width, max(1, room/texts))
		}
	}
	if g.fitted[last].cell != nil {
		return
	}
	g.treeWidth = max(1, g.room())
	least := len("a-command-name-")
	if g.short {
		least += len("(4194304)")
	}
	if 2*depth+least > g.treeWidth {
		g.levels = max(0, (g.treeWidth-least-len("(48) "))/2)
	}
}

// room is what the other columns leave to the last on the terminal.
func (g *page) room() int {
	room := g.width
	for _, c := range g.fitted[:len(g.fitted)-1] {
		room -= c.width + 1
	}
	return room
}

// line is the text of a line. The slice is valid until the next call.
func (g *page) line(n *node) []byte {
	g.buf = g.buf[:0]
	for i := range g.fitted {
		c := &g.fitted[i]
		if i > 0 {
			g.buf = append(g.buf, ' ')
		}
		text, drawn := g.cell(c.column, n)
		room := c.width
		if i == len(g.fitted)-1 {
			room = g.room()
			if n.heading() {
				// Before a heading all is blank: a long one begins there.
				early := min(max(0, posix.Width(text)-room), g.width-room)
				g.buf, room = g.buf[:len(g.buf)-early], room+early
			}
		}
		width := posix.Width(text)
		if room = max(1, room); width > room {
			text = append(posix.Clip(text, room-1), g.art.cut...)
			width = posix.Width(text)
		}
		drawn, pad := min(drawn, len(text)), c.width-width
		if !c.left {
			g.pad(pad)
		}
		g.paint(text[:drawn], faint)
		g.paint(text[drawn:], color(c.column, n))
		if c.left {
			g.pad(pad)
		}
	}
	g.buf = append(g.buf, '\n')
	return g.buf
}

// cell is what stands in one column of a line. The first bytes of it may be art.
// The slice is valid until the next call.
func (g *page) cell(c *column, n *node) (cell []byte, drawn int) {
	b := g.text[:0]
	switch {
	case n.kind == aPage:
		b = append(b, c.head...)
	case c.cell == nil:
		b = n.draw(b, g.art, g.levels)
		drawn = len(b)
		b = g.treeText(b, n)
	case !n.heading():
		b = c.cell(b, n.proc, g.names)
	}
	g.text = b
	return b, drawn
}

// treeText appends what stands in the tree after the art.
func (g *page) treeText(b []byte, n *node) []byte {
	p := n.proc
	switch {
	case n.heading():
		return g.heading(b, n)
	case n.kind == aThread:
		b = append(posix.AppendEscaped(append(b, '{'), p.Comm, g.utf8), '}')
	case g.short:
		b = posix.AppendEscaped(b, p.Comm, g.utf8)
	default:
		b = g.command(b, p)
	}
	if g.short {
		b = fmt.Appendf(b, "(%d)", p.PID)
		if p.State == 'Z' {
			b = append(b, " <defunct>"...)
		}
	}
	return b
}

// heading appends the words of a heading.
func (g *page) heading(b []byte, n *node) []byte {
	p, of := n.proc, group
	switch n.kind {
	case aSession:
		b, of = fmt.Appendf(b, "session %d", p.SID), session
	case aGroup:
		b = fmt.Appendf(b, "group %d", p.PGID)
	case loneGroup:
		b = fmt.Appendf(b, "group %d of session %d", p.PGID, p.SID)
	}
	if n.from != nil {
		b = fmt.Appendf(b, ", from %d (", n.from.PID)
		b = append(posix.AppendEscaped(b, n.from.Comm, g.utf8), ')')
	}
	if p.TTY != 0 && n.kind != aGroup {
		b = fmt.Appendf(b, ", terminal %s", g.tty(p.TTY))
	}
	if p.PGID == p.TPGID && n.kind != aSession {
		b = append(b, ", foreground"...)
	}
	if leader := g.table.leader(p, of); leader != alive && of(p) != 0 { // 0 stands for one of another PID namespace
		b = fmt.Appendf(b, ", leader %s", leader)
	}
	return b
}

// command appends the command line after the art. Where the edge of the terminal
// would cut the name of the command, the directory before it is left out.
func (g *page) command(art []byte, p *posix.Process) []byte {
	line := commandLine(p)
	dir, name := program(p.Args)
	if dir != "" && g.width < unlimited && posix.Width(posix.AppendEscaped(art, dir+name, g.utf8)) >= g.treeWidth {
		line = line[len(dir):]
	}
	return posix.AppendEscaped(art, line, g.utf8)
}

// color is the color of a cell, or "". The art in it has another.
func color(c *column, n *node) string {
	switch {
	case n.heading():
		return bold
	case n.kind == aPage || c.name != "stat" && c.name != "tree":
		return ""
	case n.proc.State == 'Z':
		return red
	case n.proc.State == 'T' || n.proc.State == 't':
		return magenta
	case n.proc.PGID == n.proc.TPGID:
		return green
	case n.proc.PID == n.proc.PGID:
		return bold
	}
	return ""
}

// paint appends text in a color.
func (g *page) paint(text []byte, color string) {
	if !g.colored || color == "" || len(text) == 0 {
		g.buf = append(g.buf, text...)
		return
	}
	g.buf = append(g.buf, color...)
	g.buf = append(g.buf, text...)
	g.buf = append(g.buf, plain...)
}

func (g *page) pad(cells int) {
	for ; cells > 0; cells-- {
		g.buf = append(g.buf, ' ')
	}
}
