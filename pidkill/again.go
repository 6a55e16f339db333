package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"procgroup/internal/posix"
)

// supervisorPatience is how long a supervisor may take to end, or to start its
// command once more.
const supervisorPatience = 5 * time.Second

// lookAgain is called when the processes of a target have ended, and asks whose the
// pidfile is now. If another run of the same daemon lives, it is the target, and
// the result is true.
func (j *job) lookAgain(t *target) (again bool) {
	if t.file == nil {
		j.reportEscaped(t, nil)
		return false
	}
	for range rounds {
		now := j.askAgain(t)
		if now == nil || !j.isNextRun(t, now) {
			return false
		}
		if t.set, t.err = j.daemonSet(t); t.err == nil {
			t.err = j.check(t)
		}
		if !errors.Is(t.err, errNotRunning) {
			return t.err == nil
		}
		t.err = nil        // it has ended since; its supervisor may not have
		j.askSupervisor(t) // whom the look before may not have seen
	}
	t.err = posix.ErrFleeting
	return false
}

// isNextRun tells whether the pidfile is another run's of the same daemon now: the
// lock still has the same maker, and a process in that maker's session lives. Then
// that is the target's daemon. Otherwise the file is removed, unless the lock has
// another maker: then it is a newcomer's.
func (j *job) isNextRun(t *target, now *posix.Daemon) bool {
	before := t.daemon
	defer func() { now.Close() }()
	sameDaemon := sameMaker(now, before) || before.Answer != posix.Escaped && now.Same(before)
	lives := now.Lives() && now.Answer != posix.Escaped
	escaped := now.Kin // whoever still holds the lock
	switch {
	case j.scope == theProcess && now.Lives() && (sameDaemon || now.Maker == 0):
		j.note(t, "not removed: it still runs (%s)", now)
		return false
	case j.scope == theProcess && now.Answer == posix.Unknown && !now.Empty:
		j.note(t, "not removed: %s", now)
		return false
	case sameDaemon && now.Answer == posix.Escaped && (before.Answer == posix.Escaped ||
		before.Answer == posix.Between && slices.ContainsFunc(now.Kin, inSession(now.Maker))):
		// Who had escaped, and was not to be ended. Or the supervisor ended in
		// the middle of writing its next run's number.
		t.err = posix.Failf(posix.StatusSurvived, "%w (%s ends it): %s", errStillAlive, byGroup(now.Kin), posix.DescribeAll(now.Kin))
		return false
	case lives && sameDaemon && (now.Process == nil || now.Same(before) || inSession(now.Maker)(now.Process.PID) || now.Process.Exited()):
		t.daemon, now = now, before
		return true
	case lives && sameDaemon: // it emptied its pidfile, and this one had left its session
		escaped = []int{now.Process.PID}
	}
	j.sayRemoved(t, t.file.Remove(before))
	j.reportEscaped(t, escaped)
	return false
}

// sameMaker tells whether the file is locked in both answers, by the same lock.
func sameMaker(a, b *posix.Daemon) bool { return a.Maker != 0 && a.Maker == b.Maker }

// askAgain asks whose the pidfile of a daemon is that has been ended. The answer
// counts once its supervisor has ended, or has started the command again, and
// nobody of its own is about to let go of the file. It is nil if there is none:
// then all has been said, or is in t.err.
func (j *job) askAgain(t *target) *posix.Daemon {
	s := t.daemon.Supervisor
	if j.scope == theProcess {
		s = nil // it goes on
	}
	for deadline := time.Now().Add(supervisorPatience); ; {
		ended := s == nil || s.Wait(100*time.Millisecond)
		now, err := t.file.Ask(false)
		if err != nil {
			if !ended {
				s.Wait(supervisorPatience)
			}
			j.sayRemoved(t, err)
			j.reportEscaped(t, nil)
			return nil
		}
		own := sameMaker(now, t.daemon)
		late := time.Now().After(deadline)
		switch {
		case own && (now.Answer == posix.Running || now.Answer == posix.Leaderless),
			ended && (late || !own || now.Answer != posix.Starting):
			return now
		case ended:
			time.Sleep(10 * time.Millisecond)
		case late:
			t.err = posix.Failf(posix.StatusSurvived, "supervisor: %w: %s", errStillAlive, posix.Describe(s.PID))
			now.Close()
			return nil
		}
		now.Close()
	}
}

// sayRemoved says what became of the pidfile of a daemon that is gone. False: it
// may be another daemon's by now.
func (j *job) sayRemoved(t *target, err error) bool {
	switch err {
	case nil:
		j.say(t, "removed")
	case posix.ErrMoved, posix.ErrBusy:
		if !t.file.Missing() {
			j.say(t, "not removed: it is another daemon's by now")
			return false
		}
		j.say(t, "removed by the daemon")
	case posix.ErrLocked:
		j.note(t, "not removed: its locks are held by others")
	default: // which is no reason to say that the daemon runs
		fmt.Fprintf(j.errs, "pidkill: %s: cannot remove the pidfile: %v\n", t.name, err)
	}
	return true
}

// removeLeftover removes the pidfile of a daemon that did not run. If it has come
// to be another one's meanwhile, that is looked at.
func (j *job) removeLeftover(t *target) {
	for range 10 {
		switch {
		case t.file == nil, t.daemon.Answer == posix.Stranger, j.betweenRuns(t):
			j.tellNotRunning(t)
			return
		case t.daemon.Answer == posix.Between, t.daemon.Answer == posix.Escaped:
			// Who was to be ended has ended by itself. What that has left behind
			// is asked for anew.
		default:
			j.tellNotRunning(t)
			if j.sayRemoved(t, t.file.Remove(t.daemon)) {
				return
			}
		}
		t.close()
		if t.err = j.look(t); !errors.Is(t.err, errNotRunning) {
			return
		}
	}
}
