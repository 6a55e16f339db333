// Pgtree prints processes as the kernel groups them: session, group, process,
// child.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// config is a command line.
type config struct {
	columns     []*column
	reads       posix.Fields // what they, or other output, need of the process table
	shrink      bool         // the columns are the default: some may be left out
	short, json bool
	parents     bool
	threads     bool
	kernel      bool  // kernel threads too
	users       []int // none: everybody
	noHeading   bool
	long        bool
	art         *art
	color       string // auto, always, never

	targets []*target
}

// utility is pgtree with the options that fill c.
func (c *config) utility() *posix.Utility {
	return &posix.Utility{
		Name:  "pgtree",
		Usage: "usage: pgtree [options] [target ...]",
		Purpose: `Print processes by session, group and descent. A target is the number of a
session, group or process, a pidfile (a word with "/", or ending in ".pid"), a
terminal (pts/0, tty1) or the name of a process; its descendants are shown too.
Without one: every session.`,
		Operands: "the first target",
		Options: []posix.Option{
			posix.Opt("-o, --format LIST", "columns: pid ppid pgid sid tty tpgid stat uid user time\netime start lstart nlwp rss cgroup comm args tree", c.addColumns),
			posix.Opt("-s, --short", "the tree alone, name(pid)", posix.Flag(&c.short)),
			posix.Opt("-p, --parents", "by descent alone; a target with its ancestors", posix.Flag(&c.parents)),
			posix.Opt("-J, --json", "one JSON document", posix.Flag(&c.json)),
			posix.Opt("-t, --threads", "threads too", posix.Flag(&c.threads)),
			posix.Opt("-k, --kernel", "kernel threads too", posix.Flag(&c.kernel)),
			posix.Opt("-u, --user LIST", "only these users' processes", c.addUsers),
			posix.Opt("-n, --no-heading", "rows alone, for scripts", posix.Flag(&c.noHeading)),
			posix.Opt("-l, --long", "do not cut lines at the terminal's width", posix.Flag(&c.long)),
			posix.Opt("-A, --ascii", "draw the tree in ASCII", c.draw(&asciiArt)),
			posix.Opt("-U, --utf8", "draw the tree in UTF-8", c.draw(&utf8Art)),
			posix.Opt("-C, --color WHEN", "auto (the default), always, never", posix.Value(&c.color, when)),
		},
	}
}

const defaultColumns = "ppid,pid,pgid,sid,tty,tpgid,stat,uid,time,tree"

func main() {
	// So short a life ends before its garbage is worth collecting, but for
	// that of a very large table.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(256 << 20)
	os.Exit(run(os.Args[1:], posix.FD(1), posix.FD(2)))
}

// run is pgtree below main.
func run(args []string, stdout, stderr io.Writer) int {
	posix.IgnoreFileSizeSignal()
	posix.QuitQuietly()
	c, err := parse(args)
	if err != nil {
		return c.utility().Answer(err, stdout, stderr)
	}
	status, err := c.show(stdout, stderr)
	if err != nil {
		return posix.Report(stderr, "pgtree", err, posix.StatusIO)
	}
	return status
}

// parse reads a command line. Its error is for Utility.Answer.
func parse(args []string) (*config, error) {
	c := &config{art: &asciiArt, color: "auto"}
	if posix.UTF8() {
		c.art = &utf8Art
	}
	words, err := c.utility().Parse(args)
	if err == nil {
		err = c.validate(words)
	}
	return c, err
}

// validate reads the targets, refuses what does not go together, and completes
// the columns.
func (c *config) validate(words []string) error {
	for _, word := range words {
		t, err := parseTarget(word)
		if err != nil {
			return err
		}
		c.targets = append(c.targets, t)
	}
	switch {
	case c.json && c.short:
		return errors.New("-J and -s exclude each other")
	case c.json && c.columns != nil:
		return errors.New("-J and -o exclude each other")
	case c.short && c.columns != nil:
		return errors.New("-s and -o exclude each other")
	case c.short:
		c.columns = []*column{{name: "tree", left: true}}
	case c.columns == nil:
		c.shrink = true
		c.columns, _ = parseColumns(defaultColumns)
	}
	for _, column := range c.columns {
		c.reads |= column.reads
	}
	if c.json {
		c.reads |= posix.Owner | posix.Args | posix.Memory
	}
	return nil
}

// addColumns adds those of a list of -o.
func (c *config) addColumns(_, list string) error {
	more, err := parseColumns(list)
	c.columns = append(c.columns, more...)
	return err
}

// addUsers adds those of a list of -u.
func (c *config) addUsers(_, list string) error {
	words := splitList(list)
	if len(words) == 0 {
		return errors.New("-u: no users")
	}
	for _, word := range words {
		user, err := posix.LookupUser(word)
		if err != nil {
			return err
		}
		c.users = append(c.users, user.UID)
	}
	return nil
}

// draw sets what the tree is drawn with: the last of -A and -U counts.
func (c *config) draw(a *art) posix.Set {
	return func(_, _ string) error {
		c.art = a
		return nil
	}
}

// when reads the argument of -C.
func when(arg string) (string, error) {
	if !slices.Contains([]string{"auto", "always", "never"}, arg) {
		return "", fmt.Errorf("%s: not one of auto, always, never", posix.Escape(arg))
	}
	return arg, nil
}

// splitList splits a list as ps(1) does.
func splitList(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// show does the work: it reads the process table, finds the targets in it,
// reads the rest of what is to be shown, and prints that. A target that
// matches nothing is reported, and the status says so.
func (c *config) show(stdout, stderr io.Writer) (status int, err error) {
	// Before the table is read, or a daemon that starts now would be missed.
	for _, t := range c.targets {
		if t.pidfile() {
			t.daemon, t.err = daemon(t.word)
		}
	}
	rows, err := readTable(stderr)
	if err != nil {
		return 0, err
	}
	table, names := newTable(rows, unlisted), newNames()
	readArgs := sync.OnceFunc(func() { posix.Fill(table.procs, posix.Args) })
	for _, t := range c.targets {
		if t.err == nil {
			t.err = t.find(table, names, readArgs)
		}
		if t.err == nil {
			t.complete(table, c.parents)
		}
	}
	if c.targets == nil {
		c.targets = []*target{{kind: aPage}}
		c.targets[0].match(table, func(p *posix.Process) bool { return c.kernel || !p.Kernel() })
	}
	c.choose(table)

	f := make(forest, 1, 1+len(rows))
	for _, t := range c.targets {
		v := view{table, &f, t, c.parents}
		if t.err == nil && !v.add() && t.kind != aPage {
			t.err = errGone
			if c.users != nil {
				t.err = errors.New("exists, but belongs to none of the users of -u")
			}
		}
		if t.err != nil {
			err := fmt.Errorf("%s: %w", posix.Escape(t.word), t.err)
			status = max(status, posix.Report(stderr, "pgtree", err, posix.StatusNoMatch))
		}
	}
	out := bufio.NewWriterSize(stdout, 1<<15)
	if c.json {
		d := document{names: names, table: table, threads: c.threads, out: out}
		d.print(f)
	} else {
		c.page(table, names, stdout).print(out, f)
	}
	err = out.Flush()
	if err == nil || errors.Is(err, unix.EPIPE) {
		return status, nil
	}
	return 0, fmt.Errorf("standard output: %w", err)
}

// readTable reads all of the process table, and says what of it cannot be read.
func readTable(stderr io.Writer) ([]posix.Process, error) {
	pids, err := posix.PIDs()
	if err != nil {
		return nil, err
	}
	rows, denied, err := posix.Table(pids)
	if err != nil && len(rows) == 0 {
		return nil, err
	}
	if err != nil {
		fmt.Fprintf(stderr, "pgtree: %v: left out\n", err)
	}
	// Every PID namespace has its process 1; hidepid (proc(5)) hides it, or
	// keeps it from being read, from all but root.
	if denied || !slices.Contains(pids, 1) {
		fmt.Fprintf(stderr, "pgtree: %s: the view is partial: processes are hidden (hidepid)\n", posix.ProcRoot)
	}
	return rows, nil
}

// unlisted returns the IDs of a process whose row could not be read: getpgid(2)
// and getsid(2) know them whatever /proc hides. They are 0 if there is none.
func unlisted(pid int) (p posix.Process) {
	pgid, err1 := unix.Getpgid(pid)
	sid, err2 := unix.Getsid(pid)
	if pid != 0 && err1 == nil && err2 == nil && posix.OwnProc() {
		p.PID, p.PGID, p.SID = pid, pgid, sid
	}
	return p
}

// choose finds out which processes of the targets are shown, and reads what is to
// be shown of them.
func (c *config) choose(t *table) {
	for _, target := range c.targets {
		for i, in := range target.in {
			t.shown[i] = t.shown[i] || in
		}
	}
	read := func(fields posix.Fields) {
		var rows []*posix.Process
		for i, p := range t.procs {
			if t.shown[i] {
				rows = append(rows, p)
			}
		}
		posix.Fill(rows, fields)
	}
	if c.users != nil {
		read(posix.Owner)
		for i, p := range t.procs {
			t.shown[i] = t.shown[i] && slices.Contains(c.users, p.UID)
		}
	}
	read(c.reads)
	for i, p := range t.procs {
		t.shown[i] = t.shown[i] && p.State != 'X' // not ended meanwhile
		if c.threads && t.shown[i] && p.Threads > 1 {
			t.threads[p.PID] = posix.ThreadRows(p)
		}
	}
}

// page sets up the text output.
func (c *config) page(t *table, n *names, stdout io.Writer) *page {
	g := &page{config: c, names: n, table: t, colored: c.color == "always", width: unlimited}
	if fd, ok := stdout.(posix.FD); ok {
		if size, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil {
			g.colored = g.colored || c.color == "auto" && os.Getenv("NO_COLOR") == "" && !slices.Contains([]string{"", "dumb"}, os.Getenv("TERM"))
			if size.Col > 0 {
				g.width = int(size.Col)
			}
		}
	}
	if columns, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && columns > 0 {
		g.width = columns // exported by watch(1), or by the user
	}
	if c.long {
		g.width = unlimited
	}
	return g
}
