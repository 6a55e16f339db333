package main

import (
	"bufio"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"procgroup/internal/posix"
)

// document writes one JSON document. A member that has the name of a column has
// its value, except that start and time are numbers of seconds.
type document struct {
	*names
	table   *table
	threads bool
	out     *bufio.Writer // it keeps an error for Flush
}

// print writes the processes of the forest, each once, by session.
func (d *document) print(f forest) {
	var order []int
	sessions, seen := map[int][]*node{}, map[int]bool{}
	for _, n := range f.lines(false) {
		p := n.proc
		if n.kind != aProcess || seen[p.PID] {
			continue
		}
		seen[p.PID] = true
		if sessions[p.SID] == nil {
			order = append(order, p.SID)
		}
		sessions[p.SID] = append(sessions[p.SID], n)
	}
	d.out.WriteString(`{"sessions":[`)
	for i, sid := range order {
		d.comma(i)
		d.session(sessions[sid])
	}
	d.out.WriteString("]}\n")
}

// comma separates the members of an array.
func (d *document) comma(i int) {
	if i > 0 {
		d.out.WriteString(",\n")
	}
}

func (d *document) session(nodes []*node) {
	p := nodes[0].proc
	foreground := "null"
	if p.TPGID > 0 {
		foreground = fmt.Sprint(p.TPGID)
	}
	fmt.Fprintf(d.out, `{"sid":%d,"leader":"%s","tty":%s,"foreground":%s,"groups":[`,
		p.SID, d.leader(p, session), d.terminal(p), foreground)
	groups := map[int]bool{}
	for _, n := range nodes {
		if p := n.proc; !groups[p.PGID] {
			d.comma(len(groups))
			groups[p.PGID] = true
			fmt.Fprintf(d.out, `{"pgid":%d,"leader":"%s"}`, p.PGID, d.leader(p, group))
		}
	}
	d.out.WriteString("],\n\"processes\":[")
	for i, n := range nodes {
		d.comma(i)
		d.process(n)
	}
	d.out.WriteString("]}")
}

// leader is the state of a leader. One that is hidden counts as alive.
func (d *document) leader(p *posix.Process, of func(*posix.Process) int) string {
	if state := d.table.leader(p, of); state != hidden {
		return state
	}
	return alive
}

func (d *document) process(n *node) {
	p := n.proc
	fmt.Fprintf(d.out, `{"pid":%d,"ppid":%d,"pgid":%d,"sid":%d,"depth":%d,"tty":%s,"tpgid":%d,"stat":"%s",`,
		p.PID, p.PPID, p.PGID, p.SID, n.depth, d.terminal(p), p.TPGID, stat(nil, p, d.names))
	fmt.Fprintf(d.out, `"uid":%s,"user":%s,"time":%s,"start":%d,"nlwp":%d,"rss":%d,"comm":%s,"args":%s`,
		posix.IDText(p.UID), d.quote(d.user(p.UID)), seconds(p), d.started(p).Unix(), p.Threads, p.RSS, d.quote(p.Comm), d.quote(commandLine(p)))
	if d.threads {
		d.out.WriteString(`,"threads":[`)
		for i, t := range d.table.threads[p.PID] {
			d.comma(i)
			fmt.Fprintf(d.out, `{"tid":%d,"stat":"%s","time":%s,"comm":%s}`,
				t.PID, stat(nil, &t, d.names), seconds(&t), d.quote(t.Comm))
		}
		d.out.WriteString("]")
	}
	d.out.WriteString("}")
}

func (d *document) terminal(p *posix.Process) string {
	if p.TTY == 0 {
		return "null"
	}
	return d.quote(d.tty(p.TTY))
}

func seconds(p *posix.Process) string {
	return fmt.Sprintf("%d.%02d", p.CPU/posix.HZ, p.CPU%posix.HZ)
}

// quote makes a JSON string that is safe to print on a terminal: what does not
// print is written as \u and its code. A byte that is no UTF-8 has no code, and
// becomes the text \xNN.
func (d *document) quote(s string) string {
	b := []byte{'"'}
	for i, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd"):
			b = fmt.Appendf(b, `\\x%02x`, s[i])
		case ' ' <= r && r <= '~' || d.utf8 && posix.Printable(r):
			b = utf8.AppendRune(b, r)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				b = fmt.Appendf(b, `\u%04x`, unit)
			}
		}
	}
	return string(append(b, '"'))
}
