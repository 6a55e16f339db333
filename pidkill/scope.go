package main

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// daemonSet is the set of processes that the daemon of a pidfile stands for. It is
// nil if all that is asked is whether it runs, and that is answered.
func (j *job) daemonSet(t *target) (*set, error) {
	d := t.daemon
	process := j.scope == theProcess
	switch d.Answer {
	case posix.Gone:
		return nil, notRunningAs(d.Why)
	case posix.Stranger:
		return nil, notRunningAs(d.Why + "; the file stays, and the next start takes it over")
	case posix.Unknown:
		if j.force && d.Empty && !d.Locked {
			return nil, errNotRunning
		}
		return nil, posix.Failf(posix.StatusRefused, "%s", d.Why)
	case posix.Starting:
		if j.status {
			return nil, nil
		}
		return nil, posix.Failf(posix.StatusRefused, "%s, for %v by now", d, patience)
	case posix.Between:
		if process || j.signal != 0 {
			return nil, notRunningAs(d.String())
		}
		return &set{name: fmt.Sprintf("supervisor %d", d.Supervisor.PID), root: d.Supervisor}, nil
	case posix.Escaped:
		return j.escapedSet(t)
	case posix.Leaderless:
		reach := "without -L it is ended"
		if j.signal != 0 {
			reach = "-a reaches it"
		}
		if process && !j.status {
			return nil, posix.Failf(posix.StatusRefused, "process %d is gone, its group lives: %s", d.Number, reach)
		}
	}
	g, err := j.groupOf(t, d.Process)
	if err != nil {
		return nil, err
	}
	return j.scopeSet(t, g, d.Process)
}

// notRunningAs is errNotRunning with a reason, unless that is "".
func notRunningAs(why string) error {
	if why == "" {
		return errNotRunning
	}
	return fmt.Errorf("%w (%s)", errNotRunning, why)
}

// groupOf is the group that a daemon's process stands for: its own, unless some
// other live process leads that. Then it is nil. One that joined its supervisor's
// group is ended with it.
func (j *job) groupOf(t *target, h *posix.Handle) (*posix.Group, error) {
	pgid, err := unix.Getpgid(h.PID)
	if err != nil {
		return nil, errNotRunning // it was reaped just now
	}
	g, s := &posix.Group{ID: pgid}, t.daemon.Supervisor
	if pgid == h.PID || s != nil && s.PID == pgid || pgid != 0 && !(posix.Lives(pgid) && g.Has(pgid)) {
		return g, nil
	}
	if j.scope == theGroup && !j.status && !h.Kernel {
		j.note(t, "process %d does not lead its group, %s does: only that process is meant", h.PID, posix.Describe(pgid))
	}
	return nil, nil
}

// scopeSet is the set of the scope asked for, around a group that h is in, or
// around the process h alone where g is nil.
func (j *job) scopeSet(t *target, g *posix.Group, h *posix.Handle) (*set, error) {
	if h.Kernel {
		return nil, fmt.Errorf("refused: %d is a kernel thread", h.PID)
	}
	s := &set{name: fmt.Sprintf("process %d", h.PID), root: h}
	if g != nil && j.scope != theProcess {
		if g.ID == h.PID {
			g.Leader = h
		}
		s = &set{name: fmt.Sprintf("group %d", g.ID), root: h, group: g}
	}
	switch j.scope {
	case theTree:
		core := func(pid int) bool { return g != nil && g.Has(pid) }
		return t.treeSet(s.name+" and its descendants", h, &tree{core: core, descend: true})
	case theSession:
		sid, err := unix.Getsid(h.PID)
		switch {
		case err != nil && (g == nil || g.Empty()):
			return nil, errNotRunning
		case err != nil:
			return nil, posix.ErrFleeting
		case sid == 0:
			return nil, errors.New("refused: its session is of another PID namespace")
		}
		return t.treeSet(fmt.Sprintf("session %d", sid), h, &tree{core: inSession(sid)})
	}
	return s, nil
}

// inSession makes a test for members of a session. All that are of another PID
// namespace have the number 0 here, which is none.
func inSession(sid int) func(pid int) bool {
	return func(pid int) bool {
		id, err := unix.Getsid(pid)
		return err == nil && id == sid && sid != 0
	}
}

// treeSet is the set of a tree that has root in it and the daemon's kin.
func (t *target) treeSet(name string, root *posix.Handle, tree *tree) (*set, error) {
	tree.seen = map[int]uint64{root.PID: root.Start}
	if d := t.daemon; t.file != nil && d.Locked {
		if d.Kin == nil {
			d.Kin, d.Own = t.file.Kin(d.Maker)
		}
		for _, pid := range d.Kin {
			p, err := posix.ReadStat(pid)
			// The maker may be a supervisor, or a start that still waits.
			if err == nil && pid != d.Maker && t.proven(pid) && t.file.HeldBy(pid, d.Maker) {
				tree.seen[pid] = p.Start
			}
		}
	}
	_, err := tree.list()
	return &set{name: name, root: root, tree: tree}, err
}

// proven tells whether a process that holds the lock is the daemon's for sure. A
// lock that daemonize did not make proves nothing outside its maker's session.
func (t *target) proven(pid int) bool { return t.daemon.Own || inSession(t.daemon.Maker)(pid) }

// escapedSet: process and group are gone, others of the daemon's live. Whether
// they are the service itself nobody knows, so they are to be asked for.
func (j *job) escapedSet(t *target) (*set, error) {
	d := t.daemon
	status := posix.StatusSurvived
	switch {
	case j.status:
		return nil, nil
	case j.signal != 0, j.scope == theProcess:
		status = posix.StatusRefused
	}
	if j.scope == theTree || j.scope == theSession && j.signal == 0 {
		return j.holderSet(t, status)
	}
	return nil, posix.Failf(status, "process and group are gone, but others of the daemon live (-T reaches them, or %s): %s",
		byGroup(d.Kin), posix.DescribeAll(d.Kin))
}

// holderSet is the set of those who hold the lock of a daemon whose process and
// group are gone, with their descendants. If none of them is proven to be the
// daemon's, the error has this status.
func (j *job) holderSet(t *target, status int) (*set, error) {
	d := t.daemon
	if others := slices.DeleteFunc(slices.Clone(d.Kin), t.proven); len(others) > 0 {
		err := posix.Failf(status, "left alone, as its lock is not daemonize's (%s ends it): %s", byGroup(others), posix.DescribeAll(others))
		if len(others) == len(d.Kin) {
			return nil, err
		}
		j.note(t, "%v", err)
	}
	for _, pid := range d.Kin {
		if h, err := t.pin(pid); err == nil && t.proven(pid) && t.file.HeldBy(pid, d.Maker) {
			nobody := func(int) bool { return false }
			return t.treeSet("what left the group", h, &tree{core: nobody, descend: true})
		}
	}
	return nil, errNotRunning
}
