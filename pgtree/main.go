// Pgtree prints processes as the kernel groups them: session, group, process,
// child.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

const usage = "usage: pgtree [options] [target ...]"

const help = usage + `
Print processes by session, group and descent. A target is the number of a
session, group or process, a pidfile (a word with "/", or ending in ".pid"), or
the name of a process. Without one: every session.

  -o, --format LIST  columns: pid ppid pgid sid tty tpgid stat uid user time
                     start nlwp rss comm args tree
  -s, --short        the tree alone, name(pid)
  -J, --json         one JSON document
  -t, --threads      threads too
  -k, --kernel       kernel threads too
  -u, --user USER    only this user's processes
  -n, --no-heading   rows alone, for scripts
  -l, --long         do not cut lines at the terminal's width
  -A, --ascii        draw the tree in ASCII
  -U, --utf8         draw the tree in UTF-8
  -C, --color WHEN   auto (the default), always, never
  -h, --help         print this
  -V, --version      print the version
`

var options = []posix.Option{
	{Letter: 'A', Long: "ascii"},
	{Letter: 'C', Long: "color", Arg: true},
	{Letter: 'h', Long: "help"},
	{Letter: 'J', Long: "json"},
	{Letter: 'k', Long: "kernel"},
	{Letter: 'l', Long: "long"},
	{Letter: 'n', Long: "no-heading"},
	{Letter: 'o', Long: "format", Arg: true},
	{Letter: 's', Long: "short"},
	{Letter: 't', Long: "threads"},
	{Letter: 'U', Long: "utf8"},
	{Letter: 'u', Long: "user", Arg: true},
	{Letter: 'V', Long: "version"},
}

// config is a command line.
type config struct {
	columns       []*column
	reads         posix.Fields // what they, or other output, need of the process table
	shrink        bool         // the columns are the default: some may be left out
	short, json   bool
	threads       bool
	kernel        bool
	user          int // -1: everybody
	noHeading     bool
	long          bool
	art           *art
	color         string // when
	help, version bool

	targets []*target
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
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "pgtree: %v\n%s\n", err, usage)
		return posix.StatusUsage
	case c.help:
		io.WriteString(stdout, help)
		return posix.StatusOK
	case c.version:
		fmt.Fprintf(stdout, "pgtree (procgroup) %s\n", posix.Version)
		return posix.StatusOK
	}
	status, err := c.show(stdout, stderr)
	if err != nil {
		return posix.Report(stderr, "pgtree", err, posix.StatusIO)
	}
	return status
}

func parse(args []string) (*config, error) {
	c := &config{user: -1, art: &asciiArt, color: "auto"}
	if posix.UTF8() {
		c.art = &utf8Art
	}
	given, words, guarded, err := posix.Getopt(options, args)
	if err != nil {
		return nil, err
	}
	for _, o := range given {
		switch o.Letter {
		case 'A':
			c.art = &asciiArt
		case 'C':
			if c.color = o.Arg; !slices.Contains([]string{"auto", "always", "never"}, o.Arg) {
				return nil, fmt.Errorf("-C: %s: not one of auto, always, never", posix.Escape(o.Arg))
			}
		case 'h':
			c.help = true
		case 'J':
			c.json = true
			c.reads |= posix.Owner | posix.Args | posix.Memory
		case 'k':
			c.kernel = true
		case 'l':
			c.long = true
		case 'n':
			c.noHeading = true
		case 'o':
			more, err := parseColumns(o.Arg)
			if err != nil {
				return nil, err
			}
			c.columns = append(c.columns, more...)
		case 's':
			c.short = true
		case 't':
			c.threads = true
			c.reads |= posix.Threads
		case 'U':
			c.art = &utf8Art
		case 'u':
			user, err := posix.LookupUser(o.Arg)
			if err != nil {
				return nil, err
			}
			c.user = user.UID
			c.reads |= posix.Owner
		case 'V':
			c.version = true
		}
	}
	if c.help || c.version {
		return c, nil
	}
	if word, found := posix.Stray(words, guarded); found {
		return nil, fmt.Errorf("%s: options come before the first target", posix.Escape(word))
	}
	for _, word := range words {
		t, err := parseTarget(word)
		if err != nil {
			return nil, err
		}
		c.targets = append(c.targets, t)
	}
	switch {
	case c.json && c.short:
		return nil, errors.New("-J and -s exclude each other")
	case c.json && c.columns != nil:
		return nil, errors.New("-J and -o exclude each other")
	case c.short && c.columns != nil:
		return nil, errors.New("-s and -o exclude each other")
	case c.short:
		c.columns = []*column{{name: "tree", left: true}}
	case c.columns == nil:
		c.shrink = true
		c.columns, err = parseColumns(defaultColumns)
	}
	for _, column := range c.columns {
		c.reads |= column.reads
	}
	return c, err
}

// show does the work: it finds the targets, reads the rows to be shown, and
// prints them. A target that matches nothing is told of and makes the status.
func (c *config) show(stdout, stderr io.Writer) (status int, err error) {
	s := &search{}
	if s.pids, err = posix.PIDs(); err != nil {
		return 0, err
	}
	pids := s.pids
	if c.targets != nil {
		if pids, err = s.all(c.targets); err != nil {
			return 0, err
		}
	}
	rows, denied, err := posix.Table(pids, c.reads, c.wants)
	if err != nil {
		return 0, err
	}
	table := newTable(rows)
	table.addLeaders(leaders)
	var forests []forest
	if c.targets == nil {
		forests = []forest{table.sessions(nil)}
	}
	for _, t := range c.targets {
		f := table.view(t.kind, t.in)
		if t.err == nil && len(f) == 1 {
			t.err = errGone // by now, or not that user's
		}
		if t.err != nil {
			fmt.Fprintf(stderr, "pgtree: %s: %v\n", posix.Escape(t.word), t.err)
			status = posix.StatusNoMatch
			continue
		}
		forests = append(forests, f)
	}
	// Every PID namespace has its process 1; hidepid (proc(5)) hides it, or
	// keeps it from being read, from all but root.
	if denied || s.denied || !slices.Contains(s.pids, 1) {
		fmt.Fprintf(stderr, "pgtree: %s: the view is partial: processes are hidden (hidepid)\n", posix.ProcRoot)
	}
	if c.json {
		d := document{names: newNames(), table: table, threads: c.threads}
		err = d.print(stdout, forests)
	} else {
		err = c.page(table, stdout).print(stdout, forests)
	}
	if err == nil || errors.Is(err, unix.EPIPE) {
		return status, nil
	}
	return 0, fmt.Errorf("standard output: %w", err)
}

// leaders reads rows. Of a process that hidepid (proc(5)) hides getpgid(2) and
// getsid(2) still tell the IDs.
func leaders(pids []int) []posix.Process {
	rows, _, _ := posix.Table(pids, 0, nil)
	ids, _ := posix.IDs(pids)
	return append(ids, rows...)
}

// wants tells whether a process is to be shown, if it is in a target.
func (c *config) wants(p *posix.Process) bool {
	return (c.user < 0 || p.UID == c.user) && (c.kernel || c.targets != nil || !p.Kernel())
}

// page sets up the text output.
func (c *config) page(t *table, stdout io.Writer) *page {
	g := &page{config: c, names: newNames(), table: t, colored: c.color == "always"}
	g.heads = !c.noHeading && slices.ContainsFunc(c.columns, func(c *column) bool { return c.name == "tree" })
	if fd, ok := stdout.(posix.FD); ok {
		if size, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil {
			if !c.long {
				g.width = int(size.Col)
			}
			if term := os.Getenv("TERM"); c.color == "auto" {
				g.colored = os.Getenv("NO_COLOR") == "" && term != "" && term != "dumb"
			}
		}
	}
	return g
}
