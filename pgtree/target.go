package main

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"procgroup/internal/posix"
)

// target is one operand, and what was found for it.
type target struct {
	word   string
	number int // 0: not a number

	kind kind         // aSession, loneGroup or aSubtree
	in   map[int]bool // the PIDs
	err  error
}

// parseTarget refuses what no process table can have. Others take 2^32+1 for 1.
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

// search is what targets are looked for in, read when first needed.
type search struct {
	pids []int
	ids  []posix.Process // PID, PGID and SID
	stat *table          // of all processes, stat alone
	err  error

	denied bool // some of it: proc(5), hidepid
}

// members are the PIDs of a session or group, which cost no file to find.
func (s *search) members(of func(*posix.Process) int, id int) map[int]bool {
	if s.ids == nil {
		s.ids, s.err = posix.IDs(s.pids)
	}
	in := map[int]bool{}
	for i := range s.ids {
		if p := &s.ids[i]; of(p) == id {
			in[p.PID] = true
		}
	}
	return in
}

// descent is the processes that match, with their descendants.
func (s *search) descent(match func(*posix.Process) bool) map[int]bool {
	if s.stat == nil {
		rows, denied, err := posix.Table(s.pids, 0, nil)
		s.stat, s.denied, s.err = newTable(rows), denied, err
	}
	return s.stat.descendants(match)
}

// all finds the targets, and lists the processes of all of them.
func (s *search) all(targets []*target) ([]int, error) {
	in := map[int]bool{}
	for _, t := range targets {
		t.err = t.find(s)
		maps.Copy(in, t.in)
	}
	return slices.Sorted(maps.Keys(in)), s.err
}

var errGone = errors.New("no such process")

// find looks for the target. The error says why it matches nothing; one of
// the search itself is left there.
func (t *target) find(s *search) error {
	switch {
	case t.number > 0:
		t.kind, t.in = aSession, s.members(session, t.number)
		if len(t.in) == 0 {
			t.kind, t.in = loneGroup, s.members(group, t.number)
		}
		if len(t.in) == 0 {
			t.kind, t.in = aSubtree, s.descent(func(p *posix.Process) bool { return p.PID == t.number })
		}
		if len(t.in) == 0 {
			return errors.New("no such session, group or process")
		}
	case strings.Contains(t.word, "/") || strings.HasSuffix(t.word, ".pid"):
		pid, err := s.daemon(t.word)
		if err != nil {
			return err
		}
		rows, _ := posix.IDs([]int{pid})
		if len(rows) == 0 {
			return errGone
		}
		t.kind, t.in = aSession, s.members(session, rows[0].SID)
	default:
		t.kind, t.in = aSubtree, s.descent(t.named)
		if len(t.in) == 0 {
			return errors.New("no process of that name")
		}
	}
	return nil
}

// named tells whether the process bears the target's name. The kernel cuts
// names at 15 bytes: then the first argument knows the rest.
func (t *target) named(p *posix.Process) bool {
	if p.Comm == t.word {
		return true
	}
	if len(p.Comm) < 15 || !strings.HasPrefix(t.word, p.Comm) {
		return false
	}
	rows, _, _ := posix.Table([]int{p.PID}, posix.Args, nil)
	if len(rows) == 0 {
		return false
	}
	command, _, _ := strings.Cut(rows[0].Args, "\x00")
	return path.Base(command) == t.word
}

// daemon finds a process of a pidfile's daemon.
func (s *search) daemon(path string) (pid int, err error) {
	f, d, err := posix.FindDaemon(path, false, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	defer d.Close()
	switch {
	case d.Process != nil:
		return d.Process.PID, nil
	case d.Supervisor != nil:
		return d.Supervisor.PID, nil
	case len(d.Kin) > 0:
		return d.Kin[0], nil
	case d.Why != "":
		return 0, errors.New(d.Why)
	}
	return 0, fmt.Errorf("process %d is not running", d.Number)
}
