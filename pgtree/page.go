package main

import (
	"fmt"
	"io"
	"slices"

	"procgroup/internal/posix"
)

// page is how the lines of trees become text.
type page struct {
	*config
	*names
	table   *table
	heads   bool // headings
	colored bool
	width   int // of the terminal, 0 to cut nothing

	widths []int  // cells of each column, 0 for text in the last
	levels int    // of art
	edge   int    // cells that the tree has in the last column, 0 to cut nothing
	buf    []byte // lines
	text   []byte // a cell
}

// The colours repeat what the text says. They are the terminal's own, so that
// they suit a light background as well as a dark one.
const (
	plain   = "\x1b[m"
	bold    = "\x1b[1m"  // headings, and who leads
	faint   = "\x1b[2m"  // art
	red     = "\x1b[31m" // zombies
	green   = "\x1b[32m" // the terminal's foreground
	magenta = "\x1b[35m" // stopped
)

// print writes the forests one after the other.
func (g *page) print(w io.Writer, forests []forest) error {
	g.measure(forests)
	if !g.noHeading && !g.short && len(forests) > 0 && len(forests[0]) > 1 {
		g.line(nil)
	}
	for _, f := range forests {
		for l := range f.lines(g.heads) {
			if g.line(&l); len(g.buf) < 1<<15 {
				continue
			}
			if _, err := w.Write(g.buf); err != nil {
				return err
			}
			g.buf = g.buf[:0]
		}
	}
	_, err := w.Write(g.buf)
	return err
}

// measure makes each column as wide as its widest cell. On a narrow terminal
// the default columns give way, one by one, until there is room for the tree,
// but for the PID; then what is drawn of the tree does. Text that is not in the
// last column has its part of the terminal at most.
func (g *page) measure(forests []forest) {
	last, depth := len(g.columns)-1, 0
	g.widths = make([]int, last+1)
	for i, c := range g.columns {
		if i < last || !c.left {
			g.widths[i] = len(c.head)
		}
	}
	g.levels = mostLevels
	for _, f := range forests {
		for l := range f.lines(g.heads) {
			depth = max(depth, l.depth)
			for i, c := range g.columns {
				if i < last || !c.left {
					cell, _ := g.cell(g.text[:0], c, &l)
					g.widths[i] = max(g.widths[i], posix.Width(cell))
				}
			}
		}
	}
	if g.width == 0 {
		return
	}
	depth = min(depth, mostLevels)
	for _, name := range [...]string{"time", "uid", "tpgid", "tty", "stat", "ppid", "sid", "pgid"} {
		if !g.shrink || g.room() >= max(40, 2*depth+15) {
			break
		}
		i := slices.IndexFunc(g.columns, func(c *column) bool { return c.name == name })
		g.columns = slices.Delete(g.columns, i, i+1)
		g.widths = slices.Delete(g.widths, i, i+1)
		last--
	}
	rest, texts := g.width-len(g.columns)+1, 0
	for i, c := range g.columns {
		if c.left {
			texts++
		} else {
			rest -= g.widths[i]
		}
	}
	for i, c := range g.columns[:len(g.columns)-1] {
		if c.left {
			g.widths[i] = min(g.widths[i], max(1, rest/texts))
		}
	}
	if g.columns[last].cell != nil {
		return
	}
	g.edge = max(1, g.room())
	least := len("a-command-name-")
	if g.short {
		least += len("(4194304)")
	}
	if 2*depth+least > g.edge {
		g.levels = max(0, (g.edge-least-len("(48) "))/2)
	}
}

// room is what the other columns leave to the last on the terminal.
func (g *page) room() int {
	room := g.width
	for _, w := range g.widths[:len(g.widths)-1] {
		room -= w + 1
	}
	return room
}

// line appends a line to the buffer: the header if l is nil.
func (g *page) line(l *line) {
	for i, c := range g.columns {
		if i > 0 {
			g.buf = append(g.buf, ' ')
		}
		text, drawn := append(g.text[:0], c.head...), 0
		if l != nil {
			text, drawn = g.cell(g.text[:0], c, l)
		}
		g.text = text
		if i == len(g.columns)-1 {
			room := g.room()
			if l != nil && l.kind > aThread && g.width > 0 {
				// Before a heading all is blank: a long one begins there.
				early := min(max(0, posix.Width(text)-room), g.width-room)
				g.buf, room = g.buf[:len(g.buf)-early], room+early
			}
			text = g.clip(text, room)
		} else if c.left {
			text = g.clip(text, g.widths[i])
		}
		drawn = min(drawn, len(text))
		pad := g.widths[i] - posix.Width(text)
		if !c.left {
			g.pad(pad)
		}
		g.paint(text[:drawn], faint)
		g.paint(text[drawn:], color(c, l))
		if c.left {
			g.pad(pad)
		}
	}
	g.buf = append(g.buf, '\n')
}

func (g *page) pad(cells int) {
	for ; cells > 0; cells-- {
		g.buf = append(g.buf, ' ')
	}
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

// color is that of a cell, but for the art in it.
func color(c *column, l *line) string {
	switch {
	case l == nil:
		return ""
	case l.kind > aThread:
		return bold
	case c.name != "stat" && c.name != "tree":
		return ""
	case l.proc.State == 'Z':
		return red
	case l.proc.State == 'T' || l.proc.State == 't':
		return magenta
	case l.proc.PGID == l.proc.TPGID:
		return green
	case l.proc.PID == l.proc.PGID:
		return bold
	}
	return ""
}

// cell appends what stands in one column of a line. The first bytes of it may
// be art.
func (g *page) cell(b []byte, c *column, l *line) (cell []byte, drawn int) {
	if c.cell != nil {
		if l.kind > aThread {
			return b, 0
		}
		return c.cell(b, l.proc, g.names), 0
	}
	from := len(b)
	b = l.draw(b, g.art, g.levels)
	drawn = len(b) - from
	switch p := l.proc; {
	case l.kind > aThread:
		return g.heading(b, l), drawn
	case l.kind == aThread:
		b = append(posix.AppendEscaped(append(b, '{'), p.Comm, g.utf8), '}')
	case g.short:
		b = posix.AppendEscaped(b, p.Comm, g.utf8)
	default:
		b = g.command(b, p)
	}
	if g.short {
		b = fmt.Appendf(b, "(%d)", l.proc.PID)
		if l.proc.State == 'Z' {
			b = append(b, " <defunct>"...)
		}
	}
	return b, drawn
}

// command appends the command line after the art. Where the edge of the
// terminal would cut the name of the command, it goes without its directory.
func (g *page) command(art []byte, p *posix.Process) []byte {
	line := commandLine(p)
	dir, name := program(p.Args)
	if dir != "" && g.edge > 0 && posix.Width(posix.AppendEscaped(art, dir+name, g.utf8)) >= g.edge {
		line = line[len(dir):]
	}
	return posix.AppendEscaped(art, line, g.utf8)
}

// clip cuts text that does not fit on the terminal, with a mark.
func (g *page) clip(text []byte, room int) []byte {
	room = max(1, room)
	if g.width == 0 || posix.Width(text) <= room {
		return text
	}
	return append(posix.Clip(text, room-1), g.art.cut...)
}

// heading appends the words of a heading.
func (g *page) heading(b []byte, l *line) []byte {
	p, of := l.proc, group
	switch l.kind {
	case aSession:
		b, of = fmt.Appendf(b, "session %d", p.SID), session
	case aGroup:
		b = fmt.Appendf(b, "group %d", p.PGID)
	case loneGroup:
		b = fmt.Appendf(b, "group %d of session %d", p.PGID, p.SID)
	}
	if l.from != nil {
		b = fmt.Appendf(b, ", from %d (", l.from.PID)
		b = append(posix.AppendEscaped(b, l.from.Comm, g.utf8), ')')
	}
	if p.TTY != 0 && l.kind != aGroup {
		b = fmt.Appendf(b, ", terminal %s", g.tty(p.TTY))
	}
	if p.PGID == p.TPGID && l.kind != aSession {
		b = append(b, ", foreground"...)
	}
	if leader := g.table.leader(p, of); leader != alive && of(p) != 0 { // 0 stands for one of another PID namespace
		b = fmt.Appendf(b, ", leader %s", leader)
	}
	return b
}
