package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"procgroup/internal/posix"
)

// target is one operand, and what was found for it.
type target struct {
	word   string
	number int   // 0: not a number
	daemon []int // of a pidfile: the processes that its daemon is known by

	// What was asked for: everything (aPage), single processes (aProcess), or the
	// session or group that id names (aSession, loneGroup).
	kind kind
	id   int
	in   []bool // the set of those that are shown, by their place in the table
	err  error  // why it matches nothing
}

// asks tells whether a process is in the session or group that was asked for,
// and not merely below one that is.
func (t *target) asks(p *posix.Process) bool {
	return t.kind == aPage || t.kind == aSession && p.SID == t.id || t.kind == loneGroup && p.PGID == t.id
}

// match makes the set of all for which is holds, and tells whether it has anybody.
func (t *target) match(table *table, is func(*posix.Process) bool) bool {
	t.in = make([]bool, len(table.procs))
	for i, p := range table.procs {
		t.in[i] = is(p)
	}
	return slices.Contains(t.in, true)
}

// parseTarget refuses numbers that no process can have. Other programs take 2^32+1
// for 1.
func parseTarget(word string) (*target, error) {
	if word == "" {
		return nil, errors.New("an empty target")
	}
	t := &target{word: word}
	digits := strings.TrimLeft(word, "+-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return t, nil
	}
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil || n < 1 || n > posix.MaxPID {
		return nil, fmt.Errorf("%s: a process ID is from 1 to %d", word, posix.MaxPID)
	}
	t.number = int(n)
	return t, nil
}

// terminal is the name that ps(1) would print if the word names a terminal. Sure
// tells that it can name nothing else.
func (t *target) terminal() (name string, sure bool) {
	name = strings.TrimPrefix(t.word, "/dev/")
	sure = strings.HasPrefix(name, "pts/") || strings.HasPrefix(name, "tty") && name != t.word
	return name, sure && !strings.HasSuffix(name, ".pid")
}

// pidfile tells whether the word is that of a pidfile.
func (t *target) pidfile() bool {
	_, terminal := t.terminal()
	return !terminal && (strings.Contains(t.word, "/") || strings.HasSuffix(t.word, ".pid"))
}

var errGone = errors.New("no such process")

// find looks for the target in the table. readArgs reads the command lines of all
// processes there; it is called only where their names do not suffice.
func (t *target) find(table *table, names *names, readArgs func()) error {
	matches := func(k kind, of func(*posix.Process) int, id int) bool {
		t.kind, t.id = k, id
		return t.match(table, func(p *posix.Process) bool { return of(p) == id })
	}
	switch name, sure := t.terminal(); {
	case t.number > 0:
		if matches(aSession, session, t.number) || matches(loneGroup, group, t.number) || matches(aProcess, process, t.number) {
			return nil
		}
		if process := posix.ThreadGroup(t.number); process != 0 && process != t.number {
			return fmt.Errorf("a thread of process %s", posix.Describe(process))
		}
		return errors.New("no such session, group or process")
	case t.pidfile():
		sessions := map[int]bool{}
		for _, pid := range t.daemon {
			if p := table.row(pid); p.PID != 0 {
				t.id, sessions[p.SID] = p.SID, true
			}
		}
		t.kind = aSession
		if !t.match(table, func(p *posix.Process) bool { return sessions[p.SID] }) {
			return errGone
		}
	default:
		for _, p := range table.procs {
			if p.TTY != 0 && names.tty(p.TTY) == name {
				matches(aSession, session, p.SID)
				return nil
			}
		}
		if sure {
			return errors.New("no session on that terminal")
		}
		return t.findName(table, readArgs)
	}
	return nil
}

// findName looks for processes by name. What stands in their command lines
// counts only where no process has just that name.
func (t *target) findName(table *table, readArgs func()) error {
	t.kind = aProcess
	if t.match(table, func(p *posix.Process) bool { return p.Comm == t.word }) {
		return nil
	}
	readArgs()
	begins := func(name string) bool { return strings.HasPrefix(name, t.word) }
	if t.match(table, func(p *posix.Process) bool { return title(p) == t.word }) ||
		t.match(table, func(p *posix.Process) bool { return script(p) == t.word }) ||
		t.match(table, func(p *posix.Process) bool { return begins(p.Comm) || begins(title(p)) || begins(script(p)) }) {
		return nil
	}
	return errors.New("no process of that name")
}

// complete adds the descendants of those that were found, and with parents their
// ancestors. A single process that was asked for by number needs no heading.
func (t *target) complete(table *table, parents bool) {
	n := table.addDescendants(t.in)
	if i, ok := table.index[t.number]; ok && n == 1 && t.in[i] {
		t.kind = aProcess
	}
	if parents {
		table.addAncestors(t.in)
	}
}

// interpreters are the programs whose first argument says more than their
// name, which may end with a version.
var interpreters = []string{
	"ash", "bash", "csh", "dash", "fish", "java", "ksh", "lua", "mksh", "node", "perl", "php", "pypy", "python", "ruby", "sh",
	"tclsh", "tcsh", "wish", "zsh",
}

// program is the first argument, up to a blank or a colon, for that is how
// servers set their titles ("nginx: master process"), in two parts.
func program(args string) (dir, name string) {
	end := strings.IndexAny(args, "\x00 :")
	if end < 0 {
		end = len(args)
	}
	at := strings.LastIndexByte(args[:end], '/') + 1
	return args[:at], args[at:end]
}

// title is the name that a process goes by on its command line.
func title(p *posix.Process) string {
	_, name := program(p.Args)
	return name
}

// script is the name of the script that an interpreter runs: the last part of
// the first argument that is no option. Code in its place (sh -c) is none.
func script(p *posix.Process) string {
	words := strings.Split(p.Args, "\x00")[1:]
	i := slices.IndexFunc(words, func(w string) bool { return w != "" && w[0] != '-' })
	if i < 0 {
		return ""
	}
	script := path.Base(words[i])
	known := slices.Contains(interpreters, strings.TrimRight(title(p), "0123456789.")) ||
		script[:min(len(script), 15)] == p.Comm // as the kernel names one that was executed itself
	if !known || strings.ContainsAny(script, "/ \t\n") { // of "/" the last part is "/"
		return ""
	}
	return script
}
