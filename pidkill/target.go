package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// target is what one operand stands for.
type target struct {
	name string         // of the operand, safe to print
	file *posix.Pidfile // nil with -g, and where there is none
	prey *prey          // nil: nothing to signal, see err
	err  error          // why not, or what went wrong later
	same *target        // an earlier operand with the same prey

	seen, last sighting      // at this look at the pidfile, and at the one before
	supervisor *posix.Handle // the session's leader, if it holds the lock too
	between    bool          // the prey is a supervisor between two runs
	watch      *posix.Watch  // follows the prey to its end
	escaped    []escapee
	pinned     []*posix.Handle // all that pin returned
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
	if t.watch != nil {
		t.watch.Close()
	}
	if t.file != nil {
		t.file.Close()
	}
	t.pinned, t.watch, t.file = nil, nil, nil
}

// errNotRunning is no failure, unless -m makes it one.
var errNotRunning = errors.New("not running")

// errAgain says that a pidfile is in a state that passes.
var errAgain = errors.New("a start is under way")

const (
	// settle is how long a state may last that lies between two system calls
	// of a start: empty and not locked, or locked with nobody at work.
	settle = 50 * time.Millisecond
	// patience is how long a start may take that is seen to be under way.
	patience = 10 * time.Second
)

// find makes out what each operand stands for. Nothing is signalled.
func (k *killer) find(operands []string) (targets []*target) {
	known := map[string]*target{}
	for _, operand := range operands {
		t := &target{name: posix.Escape(operand)}
		targets = append(targets, t)
		if k.groups {
			t.prey, t.err = k.group(t, operand)
		} else {
			t.prey, t.err = k.pidfile(t, operand)
		}
		if t.err == nil {
			t.err = k.check(t)
		}
		if t.err == nil {
			if t.same = known[t.prey.name]; t.same == nil {
				known[t.prey.name] = t
			}
		}
	}
	return targets
}

// check decides whether a prey may be signalled, and is there to be.
func (k *killer) check(t *target) error {
	if t.file != nil && !k.force {
		if err := t.prey.restrict(t.file); err != nil {
			return err
		}
	}
	if t.file == nil || !k.looks() { // else it was there just now
		if err := t.follow(t.prey); err != nil {
			return err
		}
	}
	if k.status {
		return nil
	}
	return t.prey.forbidden()
}

// follow watches a prey from now on. The error is errNotRunning if the root,
// perhaps a zombie, was the last that lived.
func (t *target) follow(p *prey) error {
	if t.watch != nil {
		t.watch.Close()
	}
	w := p.watch()
	t.watch = w
	for n := 0; n < 100 && w.PID() == 0 && !w.Gone && w.Err == nil; n++ {
		posix.Await(time.Now(), w) // what ends elsewhere meanwhile can keep it from being sure
	}
	if w.Gone {
		return errNotRunning
	}
	return w.Err
}

// pidfile is what a pidfile stands for. It waits for a start under way.
func (k *killer) pidfile(t *target, path string) (*prey, error) {
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		f, err := posix.OpenPidfile(path)
		if err == unix.ENOENT {
			return nil, fmt.Errorf("%w (no such file)", errNotRunning)
		}
		if err != nil {
			return nil, err
		}
		t.file = f
		p, err := k.examine(t)
		switch {
		case err != errAgain:
			return p, err
		case time.Since(began) > patience:
			return nil, fmt.Errorf("%w since %v", err, patience)
		}
		t.close()
		time.Sleep(pause)
	}
}

// A sighting is a state of a pidfile that passes, unless it lasts.
type sighting struct {
	what    string
	written time.Time // for a start under way writes
	since   time.Time
}

// lasts tells whether every look for some time has found the same.
func (t *target) lasts(what string) bool {
	t.seen = sighting{what, t.file.Written, t.last.since}
	if t.seen != t.last {
		t.seen.since = time.Now()
	}
	return time.Since(t.seen.since) > settle
}

// examine reads the pidfile once.
func (k *killer) examine(t *target) (*prey, error) {
	f := t.file
	t.last, t.seen = t.seen, sighting{}
	if k.stops() {
		// Until it is given back, no start goes past this file.
		switch err := f.Operate(unix.F_RDLCK); {
		case err == unix.EAGAIN:
			return k.starting(t)
		case err != nil:
			return nil, err
		case !f.Current():
			return nil, errAgain
		}
	}
	if err := f.Read(); err != nil {
		return nil, err
	}
	pid, err := f.PID()
	switch {
	case err != nil && f.Operator(unix.F_RDLCK) != 0:
		return nil, errAgain // empty, or blank while a start makes sure of space
	case err == posix.ErrEmpty, f.IsVoid() && f.Operator(unix.F_RDLCK) == 0:
		return k.nameless(t)
	case err != nil:
		return nil, err
	}
	p, err := k.identify(t, pid)
	if k.looks() {
		if err == nil && p.root.Exited() { // of which others may be left, or nothing
			err = t.follow(p)
		}
		if errors.Is(err, errNotRunning) {
			return k.between(t, err)
		}
	}
	if err == nil && k.stops() && k.scope != theProcess {
		sid, _ := unix.Getsid(p.root.PID)
		if sid > 1 && sid != p.root.PID && f.KeptBy(sid) {
			t.supervisor, _ = t.pin(sid)
		}
	}
	return p, err
}

// stops tells whether daemons are ended, and not only looked at or signalled.
func (k *killer) stops() bool { return !k.looks() && k.signal == 0 }

// looks tells whether nothing is signalled at all.
func (k *killer) looks() bool { return k.status || k.dryRun }

// starting deals with a pidfile whose command somebody is about to start. A
// supervisor may wait long before it does so again: then it is the daemon.
func (k *killer) starting(t *target) (*prey, error) {
	f := t.file
	if err := f.Read(); err != nil {
		return nil, err
	}
	_, err := f.PID()
	by := f.Operator(unix.F_RDLCK)
	// A start leaves the stale PID in the file for a moment only.
	if err != nil || !t.lasts("supervisor "+strconv.Itoa(by)) || by < 2 || !f.HeldBy(by) {
		return nil, errAgain
	}
	h, err := t.pin(by)
	if err != nil || f.Operator(unix.F_RDLCK) != by {
		return nil, errAgain
	}
	t.between = true
	return alone("supervisor", h), nil
}

// between deals with a pidfile whose command has ended: a supervisor may be
// about to start it again, or not even have noticed.
func (k *killer) between(t *target, err error) (*prey, error) {
	f := t.file
	if f.Operator(unix.F_RDLCK) != 0 {
		return k.starting(t)
	}
	if f.TryLock() != posix.ErrLocked {
		f.Unlock()
		return nil, err
	}
	_, keepers, _ := f.Holders()
	switch {
	case !t.lasts(fmt.Sprint("no command of ", keepers)): // a start lets the command have the lock
		return nil, errAgain
	case len(keepers) == 0:
		return nil, err
	}
	h, gone := t.pin(keepers[0])
	if gone != nil {
		return nil, errAgain
	}
	return alone("supervisor", h), nil
}

// nameless deals with a pidfile that is empty, or whose PID a supervisor was
// about to replace.
func (k *killer) nameless(t *target) (*prey, error) {
	f := t.file
	err := f.TryLock()
	if err == nil {
		f.Unlock() // another operand may be the same file
		settled := t.lasts("no lock")
		switch {
		case f.IsVoid(), settled && k.force:
			return nil, errNotRunning // and it is removed
		case settled:
			return nil, posix.ErrEmpty
		}
		return nil, errAgain
	}
	if err != posix.ErrLocked {
		return nil, err
	}
	// Daemonize was killed before it could write: who holds the lock is it.
	// But not one that is no daemon: there a start has just begun.
	holders, keepers, err := f.Holders()
	switch {
	case err != nil:
		return nil, err
	case len(keepers) > 0, len(holders) == 0 && !t.lasts("nobody"):
		return nil, errAgain
	case len(holders) == 0:
		return nil, errors.New("empty, and locked by a process that cannot be seen")
	}
	leader := slices.IndexFunc(holders, func(pid int) bool {
		pgid, _ := unix.Getpgid(pid)
		return pgid == pid
	})
	daemon := holders[max(0, leader)]
	if !t.lasts(fmt.Sprint("held by ", daemon)) { // another pidkill tries the lock, and lets go
		return nil, errAgain
	}
	h, err := t.pin(daemon)
	if err != nil {
		return nil, errAgain
	}
	return k.around(t, h)
}
