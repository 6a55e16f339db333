package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// target is what one operand stands for.
type target struct {
	operand string
	name    string         // of the operand, safe to print
	file    *posix.Pidfile // nil with -g, and where there is none
	daemon  *posix.Daemon  // whose it is
	set     *set           // who is to be signalled; nil: nobody, see err
	err     error          // why not, or what went wrong later
	sameAs  *target        // an earlier operand with the same set
	told    bool           // tellNotRunning has said so

	watch   *posix.Watch    // follows the set to its end
	escaped []*posix.Handle // who had left the group before it was signalled (findEscaped)
	pinned  []*posix.Handle // all that pin returned
}

// pin gets hold of a process for as long as the target is open.
func (t *target) pin(pid int) (*posix.Handle, error) {
	h, err := posix.Pin(pid)
	if err == nil {
		t.pinned = append(t.pinned, h)
	}
	return h, err
}

// close gives all descriptors back.
func (t *target) close() {
	for _, h := range t.pinned {
		h.Close()
	}
	t.watch.Close()
	t.daemon.Close()
	if t.file != nil {
		t.file.Close()
	}
	*t = target{operand: t.operand, name: t.name, told: t.told}
}

// errNotRunning is no failure, unless -m makes it one.
var errNotRunning = errors.New("not running")

// patience is how long a start may take that is seen to be under way.
const patience = 10 * time.Second

// find makes out what each operand stands for. Nothing is signalled.
func (j *job) find(operands []string) (targets []*target) {
	known := map[string]*target{}
	for _, operand := range operands {
		t := &target{operand: operand, name: posix.Escape(operand)}
		targets = append(targets, t)
		if t.err = j.look(t); t.err != nil || t.set == nil {
			continue
		}
		if t.sameAs = known[t.set.name]; t.sameAs == nil {
			known[t.set.name] = t
		}
	}
	return targets
}

// distinct is the targets that can be acted on, each set of processes once.
func distinct(targets []*target) (some []*target) {
	for _, t := range targets {
		if t.err == nil && t.sameAs == nil {
			some = append(some, t)
		}
	}
	return some
}

// look finds the set that one operand stands for.
func (j *job) look(t *target) (err error) {
	if j.pgids {
		t.set, err = j.group(t)
	} else {
		t.set, err = j.pidfile(t)
	}
	if err != nil || t.set == nil {
		return err
	}
	return j.check(t)
}

// group is what a process group ID stands for, as an operand with -g.
func (j *job) group(t *target) (*set, error) {
	pgid, err := posix.ParsePID([]byte(t.operand))
	if err != nil {
		return nil, errors.New("refused: no process group that may be ended")
	}
	g := &posix.Group{ID: pgid}
	h, err := t.pin(pgid)
	if err != nil || !g.Has(pgid) {
		if h, err = g.Member(func(*posix.Handle) bool { return true }); err != nil {
			return nil, err
		}
		if h == nil {
			if other, err := unix.Getpgid(pgid); err == nil && other != pgid {
				return nil, posix.Failf(posix.StatusRefused, "process %d leads no group: it is in group %d", pgid, other)
			}
			return nil, errNotRunning
		}
		t.pinned = append(t.pinned, h)
	}
	return j.scopeSet(t, g, h)
}

// pidfile is what a pidfile stands for. It waits for a start under way, and says
// so when that takes longer than a moment.
func (j *job) pidfile(t *target) (_ *set, err error) {
	moment := time.Second
	if j.status {
		moment = 0
	}
	t.file, t.daemon, err = posix.FindDaemon(t.operand, j.force, moment)
	if err == nil && t.daemon.Answer == posix.Starting && !j.status {
		j.note(t, "%s; waiting", t.daemon)
		t.daemon.Close()
		t.file.Close()
		t.file, t.daemon, err = posix.FindDaemon(t.operand, j.force, patience-moment)
	}
	switch {
	case err == unix.ENOENT:
		return nil, notRunningAs("no such file")
	case errors.Is(err, posix.ErrRefused):
		return nil, fmt.Errorf("%w (-f overrides)", err)
	case err != nil:
		return nil, err
	}
	return j.daemonSet(t)
}

// check decides whether a target's set may be signalled, and begins to watch it:
// the error is errNotRunning if nobody in it lives.
func (j *job) check(t *target) error {
	switch {
	case t.file == nil: // with the caller's rights
	case t.daemon.Answer == posix.Between:
		t.set.as = t.supervisorAs()
	default:
		t.set.as = t.file.Entry.Rights
	}
	t.watch.Close()
	t.watch = t.set.watch()
	posix.Await(time.Now(), t.watch)
	switch {
	case t.watch.Gone: // the root, perhaps a zombie, was the last that lived
		return errNotRunning
	case t.watch.Err != nil || j.status:
		return t.watch.Err
	}
	if err := t.set.forbidden(); err != nil {
		return err
	}
	// All or nothing: without the daemon's own process the others are spared.
	if h := t.set.root; t.file != nil && t.set.mayNot(h) && !h.Exited() {
		if t.set.as != nil {
			return fmt.Errorf("refused: %s, and it names %s; nothing was sent (-f overrides)", t.file.Entry, posix.Describe(h.PID))
		}
		return fmt.Errorf("%s: %w; nothing was sent", posix.Describe(h.PID), unix.EPERM)
	}
	return nil
}

// supervisorAs returns with whose rights the supervisor is signalled. A supervisor
// of root's is signalled as root, whoever controls the pidfile: it holds the
// file's record lock, which only somebody who may write the file can take, so root
// has started it for this file.
func (t *target) supervisorAs() *posix.Identity {
	var st unix.Stat_t
	if unix.Stat(fmt.Sprintf("%s/%d", posix.ProcRoot, t.daemon.Supervisor.PID), &st) == nil && st.Uid == 0 {
		return nil
	}
	return t.file.Entry.Rights
}
