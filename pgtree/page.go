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
// the default columns other than the PIDs give way, one by one, until there is
// room for a command. Text that is not in the last column has its part of the
// terminal at most.
func (g *page) measure(forests []forest) {
	last := len(g.columns) - 1
	g.widths = make([]int, last+1)
	for i, c := range g.columns {
		if i == last && c.left {
			break
		}
		g.widths[i] = len(c.head)
		for _, f := range forests {
			for l := range f.lines(g.heads) {
				cell, _ := g.cell(g.buf[:0], c, &l)
				g.widths[i] = max(g.widths[i], posix.Width(cell))
			}
		}
	}
	if g.width == 0 {
		return
	}
	for _, name := range [...]string{"time", "uid", "tpgid", "tty", "stat"} {
		if !g.shrink || g.room() >= 16 {
			break
		}
		i := slices.IndexFunc(g.columns, func(c *column) bool { return c.name == name })
		g.columns = slices.Delete(g.columns, i, i+1)
		g.widths = slices.Delete(g.widths, i, i+1)
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
			text = g.clip(text, g.room())
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
	b = l.draw(b, g.art)
	drawn = len(b) - from
	switch p := l.proc; {
	case l.kind > aThread:
		return g.heading(b, l), drawn
	case l.kind == aThread:
		b = append(posix.AppendEscaped(append(b, '{'), p.Comm, g.utf8), '}')
	case g.short:
		b = posix.AppendEscaped(b, p.Comm, g.utf8)
	default:
		b = args(b, p, g.names)
	}
	if g.short {
		b = fmt.Appendf(b, "(%d)", l.proc.PID)
	}
	return b, drawn
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
	case aSubtree:
		b = fmt.Appendf(b, "process %d of group %d, session %d", p.PID, p.PGID, p.SID)
	}
	if p.TTY != 0 && l.kind != aGroup {
		b = fmt.Appendf(b, ", terminal %s", g.tty(p.TTY))
	}
	if p.PGID == p.TPGID && l.kind != aSession {
		b = append(b, ", foreground"...)
	}
	leader := g.table.leader(p, of)
	if leader != alive && l.kind != aSubtree && of(p) != 0 { // 0 stands for one of another PID namespace
		b = fmt.Appendf(b, ", leader %s", leader)
	}
	return b
}
