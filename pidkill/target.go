package main

import (
	"errors"
	"fmt"
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

	supervisor *posix.Handle // the parent that holds the lock too, if it stays
	locked     bool          // when it was removed: somebody still held the flock
}

func (t *target) close() {
	if t.file != nil {
		t.file.Close()
	}
	if t.prey != nil {
		t.prey.close()
	}
	t.supervisor.Close()
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
func (k *killer) find() []*target {
	targets := make([]*target, len(k.operands))
	known := map[string]*target{}
	for i, operand := range k.operands {
		t := &target{name: posix.Escape(operand)}
		targets[i] = t
		if k.groups {
			t.prey, t.err = k.group(operand)
		} else {
			t.err = k.pidfile(t, operand)
		}
		if t.err == nil && !k.status {
			t.err = t.prey.forbidden()
		}
		if t.prey == nil || t.err != nil {
			continue
		}
		if first := known[t.prey.name]; first != nil {
			t.same = first
		} else {
			known[t.prey.name] = t
		}
	}
	return targets
}

// group is what a process group ID stands for, as an operand with -g.
func (k *killer) group(operand string) (*prey, error) {
	pgid, err := posix.ParsePID([]byte(operand))
	if err != nil {
		return nil, err
	}
	g := &posix.Group{ID: pgid}
	members, err := g.Members()
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		h, err := posix.Pin(m)
		if err != nil {
			continue
		}
		if m == pgid {
			g.Leader = h
		} else if h.Exited() {
			h.Close()
			continue
		}
		return k.preyOf(g, h)
	}
	if g.Signal(0) == unix.EPERM {
		return nil, unix.EPERM // and /proc hides who is in it
	}
	return nil, errNotRunning
}

// pidfile is what a pidfile stands for. It waits for a start under way.
func (k *killer) pidfile(t *target, path string) error {
	for began, pause := time.Now(), time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		f, err := posix.OpenPidfile(path)
		if err == unix.ENOENT {
			return errNotRunning
		}
		if err != nil {
			return err
		}
		err = k.examine(t, f, time.Since(began) > settle)
		switch {
		case err == posix.ErrMoved:
		case err != errAgain:
			t.file = f
			return err
		case time.Since(began) > patience:
			t.file = f
			return fmt.Errorf("%w since %v", err, patience)
		default:
			time.Sleep(pause)
		}
		f.Close()
	}
}

// examine reads the pidfile once. settled says that what lies between two
// system calls of a start has passed.
func (k *killer) examine(t *target, f *posix.Pidfile, settled bool) error {
	if k.stops() {
		// Until it is given back, no start goes past this file.
		if err := f.Operate(unix.F_RDLCK); err == unix.EAGAIN {
			return k.starting(t, f, settled)
		} else if err != nil {
			return err
		}
		if !f.Current() {
			return posix.ErrMoved
		}
	}
	if err := f.Read(); err != nil {
		return err
	}
	pid, err := f.PID()
	if err == posix.ErrEmpty {
		return k.nameless(t, f, settled)
	}
	if err != nil {
		return err
	}
	t.prey, err = k.identify(f, pid)
	if h := t.prey; err == nil && k.stops() && h.root.Parent > 1 && f.HeldBy(h.root.Parent) {
		t.supervisor, _ = posix.Pin(h.root.Parent)
	}
	return err
}

// starting deals with a pidfile whose command somebody is about to start. A
// supervisor may wait long before it does so again: then it is the daemon.
func (k *killer) starting(t *target, f *posix.Pidfile, settled bool) error {
	if err := f.Read(); err != nil {
		return err
	}
	by := f.Operator(unix.F_RDLCK)
	if _, err := f.PID(); err != nil || !settled || by < 2 || !f.HeldBy(by) {
		return errAgain
	}
	h, err := posix.Pin(by)
	if err != nil || f.Operator(unix.F_RDLCK) != by {
		h.Close()
		return errAgain
	}
	t.prey, err = k.checked(f, alone(h, "supervisor"))
	return err
}

// stops tells whether daemons are ended, and not only looked at or signalled.
func (k *killer) stops() bool { return !k.status && !k.dryRun && k.signal == 0 }

// nameless deals with an empty pidfile.
func (k *killer) nameless(t *target, f *posix.Pidfile, settled bool) error {
	if f.Operator(unix.F_RDLCK) != 0 || !settled {
		return errAgain
	}
	switch err := f.TryLock(); err {
	case nil:
		f.Unlock()
		if k.force {
			return errNotRunning // and it is removed
		}
		return posix.ErrEmpty
	case posix.ErrLocked:
	default:
		return err
	}
	// Daemonize was killed before it could write: who holds the lock is it.
	holders, err := f.Holders()
	if err != nil {
		return err
	}
	if len(holders) == 0 {
		return errors.New("empty, and locked by a process that cannot be seen")
	}
	leader, err := posix.Pin(holders[0])
	if err != nil {
		return errAgain
	}
	t.prey, err = k.memberOf(f, leader)
	return err
}

// identify finds out whether pid still is the pidfile's daemon, and what
// belongs to it.
func (k *killer) identify(f *posix.Pidfile, pid int) (*prey, error) {
	h, err := posix.Pin(pid)
	if err == unix.ESRCH {
		return k.leaderless(f, pid)
	}
	if err != nil {
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	if err := f.Identify(h); err != nil && !k.force {
		h.Close()
		if errors.Is(err, posix.ErrStale) {
			return nil, fmt.Errorf("%w (%w)", errNotRunning, err)
		}
		return nil, err
	}
	return k.memberOf(f, h)
}

// memberOf is what belongs to a daemon that is still there, if only as a
// zombie: its group, unless some other live process leads that.
func (k *killer) memberOf(f *posix.Pidfile, h *posix.Handle) (*prey, error) {
	pgid, err := unix.Getpgid(h.PID)
	if err != nil {
		h.Close()
		return k.leaderless(f, h.PID)
	}
	g := &posix.Group{ID: pgid}
	if pgid == h.PID {
		g.Leader = h
	} else if leads(pgid) {
		g = nil
		if k.scope == theGroup {
			k.note(&target{name: posix.Escape(f.Path)}, "process %d does not lead its group, %s does: only that process is meant", h.PID, posix.Describe(pgid))
		}
	}
	p, err := k.preyOf(g, h)
	if err != nil {
		return nil, err
	}
	return k.checked(f, p)
}

// leads tells whether the leader of a group lives. One that cannot be seen,
// as it is of another PID namespace, is 0, and is alive for all that is known.
func leads(pgid int) bool {
	if pgid == 0 {
		return true
	}
	leader, err := posix.Pin(pgid)
	if err != nil {
		return false
	}
	defer leader.Close()
	id, _ := unix.Getpgid(pgid)
	return id == pgid && !leader.Exited()
}

// leaderless is for a daemon whose process is gone: its group may live on
// under that number. The number is not proof enough.
func (k *killer) leaderless(f *posix.Pidfile, pid int) (*prey, error) {
	g := &posix.Group{ID: pid}
	if g.Empty() {
		return nil, errNotRunning
	}
	members, err := g.Members()
	if err != nil {
		return nil, err
	}
	alive := 0
	for _, m := range members {
		p, err := posix.ReadStat(m)
		if err != nil || p.Zombie() {
			continue
		}
		alive = m
		sure := k.force || f.HeldBy(m)
		// In the session of a live leader the number means nothing.
		s, err := posix.ReadStat(p.SID)
		if orphaned := err != nil || s.Zombie(); orphaned && (p.SID != pid || f.Before(p.Start)) {
			sure = true
		}
		if !sure {
			continue
		}
		h, err := posix.Pin(m)
		if err != nil {
			continue
		}
		found, err := k.preyOf(g, h)
		if err != nil {
			return nil, err
		}
		return k.checked(f, found)
	}
	switch {
	case alive != 0:
		return nil, fmt.Errorf("process %d is gone, and nothing tells whether the group %d is its own (pidkill -g %d)", pid, pid, pid)
	case len(members) == 0 && g.Signal(0) == unix.EPERM:
		return nil, fmt.Errorf("process %d is gone; its group is another user's: %w", pid, unix.EPERM)
	}
	return nil, errNotRunning // only zombies
}

// checked makes sure, for root, that whoever controls the pidfile can have
// only processes of their own ended through it.
func (k *killer) checked(f *posix.Pidfile, p *prey) (*prey, error) {
	if unix.Geteuid() != 0 || k.force || f.Control.Only(0, 0) {
		return p, nil
	}
	p.allowed = func(pid int) bool {
		var st unix.Stat_t // of the directory: the files in it may be root's
		err := unix.Stat(posix.ProcRoot+"/"+strconv.Itoa(pid), &st)
		return err == nil && f.Control.Only(int(st.Uid), int(st.Gid))
	}
	pids, err := p.living()
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		if p.allowed(pid) {
			return p, nil
		}
	}
	if len(pids) == 0 {
		return nil, errNotRunning
	}
	return nil, fmt.Errorf("refused: %s, and it names %s", &f.Control, posix.Describe(pids[0]))
}
