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
	name    string          // of the operand, safe to print
	file    *posix.Pidfile  // nil with -g, and where there is none
	daemon  *posix.Daemon   // whose it is
	as      *posix.Identity // the user who controls the file, with whose rights all is signalled; nil: the caller's
	set     *set            // who is to be signalled; nil: nobody, see err
	err     error           // why not, or what went wrong later
	same    *target         // an earlier operand with the same set
	ended   bool            // it ran, and has been ended
	told    bool            // that it does not run

	watch   *posix.Watch // follows the set to its end
	escaped []*posix.Handle
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
	if t.watch != nil {
		t.watch.Close()
	}
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
		if t.same = known[t.set.name]; t.same == nil {
			known[t.set.name] = t
		}
	}
	return targets
}

// look finds the set that one operand stands for.
func (j *job) look(t *target) (err error) {
	if j.groups {
		err = j.group(t)
	} else {
		err = j.pidfile(t)
	}
	if err != nil || t.set == nil {
		return err
	}
	return j.check(t)
}

// check decides whether a set may be signalled, and is there to be.
func (j *job) check(t *target) error {
	t.set.as = t.as
	if t.file != nil && t.daemon.Answer == posix.Between {
		t.set.as = t.supervisorAs()
	}
	if err := t.follow(); err != nil || j.status {
		return err
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

// follow watches the set from now on. The error is errNotRunning if the root,
// perhaps a zombie, was the last that lived.
func (t *target) follow() error {
	if t.watch != nil {
		t.watch.Close()
	}
	w := t.set.watch()
	t.watch = w
	for n := 0; n < 100 && w.PID() == 0 && !w.Gone && w.Err == nil; n++ {
		posix.Await(time.Now(), w) // what ends elsewhere meanwhile can keep it from being sure
	}
	if w.Gone {
		return errNotRunning
	}
	return w.Err
}

// supervisorAs is with whose rights the daemon's supervisor is signalled. Root's
// is one that root has started for this file, whoever controls that: only who
// may write it can have its record lock.
func (t *target) supervisorAs() *posix.Identity {
	var st unix.Stat_t
	if unix.Stat(fmt.Sprintf("%s/%d", posix.ProcRoot, t.daemon.Supervisor.PID), &st) == nil && st.Uid == 0 {
		return nil
	}
	return t.as
}

// group is what a process group ID stands for, as an operand with -g.
func (j *job) group(t *target) error {
	pgid, err := posix.ParsePID([]byte(t.operand))
	if err != nil {
		return errors.New("refused: no process group that may be ended")
	}
	g := &posix.Group{ID: pgid}
	h, err := t.pin(pgid)
	if err != nil || !g.Has(pgid) {
		if h, _, err = g.Member(func(*posix.Handle) bool { return true }); err != nil {
			return err
		}
		if h == nil {
			if other, err := unix.Getpgid(pgid); err == nil && other != pgid {
				return posix.Failf(posix.StatusRefused, "process %d leads no group: it is in group %d", pgid, other)
			}
			return errNotRunning
		}
		t.pinned = append(t.pinned, h)
	}
	t.set, err = j.setOf(t, g, h)
	return err
}

// pidfile is what a pidfile stands for. It waits for a start under way, and says
// so when that takes longer than a moment.
func (j *job) pidfile(t *target) (err error) {
	for _, wait := range []time.Duration{time.Second, patience - time.Second} {
		if j.status {
			wait = 0
		}
		t.daemon.Close()
		if t.file != nil {
			t.file.Close()
		}
		t.file, t.daemon, err = posix.FindDaemon(t.operand, j.force, wait)
		if err != nil || t.daemon.Answer != posix.Starting || j.status {
			break
		}
		if wait < patience/2 {
			j.note(t, "%s; waiting", t.daemon)
		}
	}
	switch {
	case err == unix.ENOENT:
		return fmt.Errorf("%w (no such file)", errNotRunning)
	case errors.Is(err, posix.ErrRefused):
		return fmt.Errorf("%w (-f overrides)", err)
	case err != nil:
		return err
	}
	t.as = t.file.Entry.Rights
	return j.answer(t)
}

// answer finds the set that t's daemon stands for, if any.
func (j *job) answer(t *target) (err error) {
	d := t.daemon
	process := j.scope == theProcess
	switch d.Answer {
	case posix.Gone:
		return because(errNotRunning, d.Why)
	case posix.Stranger:
		return because(errNotRunning, d.Why+"; the file stays, and the next start takes it over")
	case posix.Unknown:
		if j.force && d.Empty && !d.Locked {
			return errNotRunning
		}
		return posix.Failf(posix.StatusRefused, "%s", d.Why)
	case posix.Starting:
		if j.status {
			return nil
		}
		return posix.Failf(posix.StatusRefused, "%s, for %v by now", d, patience)
	case posix.Between:
		if process || j.signal != 0 {
			return because(errNotRunning, d.String())
		}
		t.set = alone("supervisor", d.Supervisor)
		return nil
	case posix.Escaped:
		return j.escapees(t)
	case posix.Leaderless:
		if process && !j.status {
			return posix.Failf(posix.StatusRefused, "process %d is gone, its group lives: %s", d.Number, j.wider("-a"))
		}
	}
	t.set, err = j.around(t, d.Process)
	return err
}

// wider says how to reach what the daemon's own process alone does not.
func (j *job) wider(option string) string {
	if j.signal != 0 {
		return option + " reaches it"
	}
	return "without -L it is ended"
}

func because(err error, why string) error {
	if why == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, why)
}

// escapees: process and group are gone, others of the daemon's live. Whether
// they are the service itself nobody knows.
func (j *job) escapees(t *target) (err error) {
	d := t.daemon
	status := posix.StatusSurvived
	switch {
	case j.status:
		return nil
	case j.scope == theTree, j.scope == theSession && j.signal == 0:
		t.set, err = j.kin(t, d)
		return err
	case j.signal != 0, j.scope == theProcess:
		status = posix.StatusRefused
	}
	return posix.Failf(status, "process and group are gone, but others of the daemon live (-T reaches them, or %s): %s",
		byGroup(d.Kin), posix.DescribeAll(d.Kin))
}

// around is what belongs to a daemon: its group, unless some other live process
// leads that. One that joined its supervisor's group is ended with it.
func (j *job) around(t *target, h *posix.Handle) (*set, error) {
	pgid, err := unix.Getpgid(h.PID)
	if err != nil {
		return nil, errNotRunning // it was reaped just now
	}
	g := &posix.Group{ID: pgid}
	s := t.daemon.Supervisor
	if pgid != h.PID && (pgid == 0 || posix.Lives(pgid) && g.Has(pgid)) && (s == nil || s.PID != pgid) {
		g = nil
		if j.scope == theGroup && !j.status && !h.Kernel {
			j.note(t, "process %d does not lead its group, %s does: only that process is meant", h.PID, posix.Describe(pgid))
		}
	}
	return j.setOf(t, g, h)
}
