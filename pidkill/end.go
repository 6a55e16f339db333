package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// tell is -0.
func (j *job) tell(targets []*target) {
	for _, t := range targets {
		switch {
		case t.err != nil || j.quiet:
		case t.set != nil:
			fmt.Fprintf(j.out, "%s: running (%s)\n", t.name, t.set.name)
		default:
			fmt.Fprintf(j.out, "%s: running (%s)\n", t.name, t.daemon)
		}
	}
}

// explain is -n.
func (j *job) explain(targets []*target) {
	signals := j.plan.String()
	if j.signal != 0 {
		signals = posix.SignalName(j.signal)
	}
	for _, t := range targets {
		if t.err != nil || t.same != nil {
			continue
		}
		pids, err := t.set.living()
		denied := t.set.denied()
		pids = slices.DeleteFunc(pids, func(pid int) bool { return slices.Contains(denied, pid) })
		switch {
		case err != nil:
			t.err = err
		case len(pids) == 0:
			t.err = errNotRunning
		default:
			fmt.Fprintf(j.out, "%s: would send %s to %s: %s\n", t.name, signals, t.set.name, posix.DescribeAll(pids))
		}
	}
}

// signalOnce is -s.
func (j *job) signalOnce(targets []*target) {
	for _, t := range targets {
		if t.err != nil || t.same != nil {
			continue
		}
		switch err := t.set.signal(j.signal); err {
		case nil:
			j.say(t, "%s sent to %s", posix.SignalName(j.signal), t.set.name)
			t.err = t.partly()
		case unix.ESRCH:
			t.err = errNotRunning
		default:
			t.err = t.survived(err)
		}
	}
}

// partly is the Failure that lists the members which may not be signalled, if
// there are any: kill(2) says nothing of them.
func (t *target) partly() error {
	if t.set.alone || unix.Geteuid() == 0 && t.set.as == nil {
		return nil
	}
	if pids := t.set.denied(); len(pids) > 0 {
		return posix.Failf(posix.StatusSurvived, "%s: %w: %s", t.set.name, unix.EPERM, posix.DescribeAll(pids))
	}
	return nil
}

// survived is the Failure that lists who is left.
func (t *target) survived(why error) error {
	alive, err := t.set.living()
	if err != nil {
		return err
	}
	return posix.Failf(posix.StatusSurvived, "%s: %w: %s", t.set.name, why, posix.DescribeAll(alive))
}

var errStillAlive = errors.New("still alive")

// rounds is how often what is left of a daemon is looked for: each time a whole
// group of it has been ended.
const rounds = 1000

// end goes through the schedule with all targets at once, and again with what
// it finds then to be the same daemon's: the run that a supervisor had begun.
func (j *job) end(targets []*target) {
	listed := sync.OnceValues(listAll)
	j.progress = newProgress(j.quiet)
	now := targets
	for round := 0; len(now) > 0 && round < rounds; round++ {
		var left, again []*target
		for _, t := range now {
			if t.same != nil {
				continue
			}
			if errors.Is(t.err, errNotRunning) {
				j.tellNotRunning(t)
				j.clear(t)
			}
			if t.err == nil {
				t.err = j.lookAround(t, listed)
			}
			if t.err == nil {
				j.askSupervisor(t)
				left = append(left, t)
			}
		}
		for i := 0; len(left) > 0; i++ {
			step, ok := j.plan.step(i)
			if !ok {
				break
			}
			next, _ := j.plan.step(i + 1)
			left = j.await(j.send(left, step.Signal), time.Now().Add(step.Wait), next.Signal)
		}
		j.progress.clear(j.errs)
		for _, t := range left {
			t.err = t.survived(errStillAlive)
		}
		for _, t := range now {
			if t.err == nil && t.same == nil && j.lookAgain(t) {
				again = append(again, t)
			}
		}
		now = again
	}
	for _, t := range now {
		t.err = t.survived(errStillAlive)
	}
	for _, t := range targets {
		if t.same != nil {
			if t.err = t.same.err; t.err == nil {
				j.lookAgain(t)
			}
		}
	}
}

// askSupervisor has the daemon's supervisor start it no more.
func (j *job) askSupervisor(t *target) {
	if t.daemon != nil && t.daemon.Supervisor != nil && j.scope != theProcess {
		t.supervisorAs().Do(func() error { return t.daemon.Supervisor.Signal(unix.SIGUSR1) })
	}
}

// send sends a signal of the schedule, and returns who has to be waited for.
func (j *job) send(targets []*target, sig unix.Signal) (left []*target) {
	for _, t := range targets {
		switch err := t.set.signal(sig); err {
		case nil:
			if sig != 0 {
				j.say(t, "%s sent to %s", posix.SignalName(sig), t.set.name)
			}
			if sig != 0 && sig != unix.SIGKILL && sig != unix.SIGSTOP && sig != unix.SIGTSTP {
				t.set.signal(unix.SIGCONT) // a stopped member acts on nothing else
			}
			left = append(left, t)
		case unix.ESRCH:
			j.gone(t)
		default:
			t.err = t.survived(err)
		}
	}
	return left
}

// await waits for the targets to end, and returns those that have not.
func (j *job) await(targets []*target, deadline time.Time, next unix.Signal) []*target {
	for len(targets) > 0 {
		var watches []*posix.Watch
		for _, t := range targets {
			watches = append(watches, t.watch)
		}
		until := deadline
		if soon := time.Now().Add(time.Second); j.progress.wanted && soon.Before(until) {
			until = soon
		}
		posix.Await(until, watches...)
		targets = slices.DeleteFunc(targets, func(t *target) bool {
			switch {
			case t.watch.Gone:
				j.gone(t)
			case t.watch.Err != nil:
				t.err = t.watch.Err
			default:
				return false
			}
			return true
		})
		if !time.Now().Before(deadline) {
			break
		}
		j.progress.show(j.errs, targets, deadline, next)
	}
	return targets
}

// gone is called when nothing is left of the set.
func (j *job) gone(t *target) {
	j.say(t, "%s %s gone after %.1f s", t.set.name, t.set.are, time.Since(j.progress.began).Seconds())
}

// lookAgain is called when a daemon has been ended: it asks whose the pidfile is
// now, and removes it. What still has the same lock's maker, and is in its
// session, is of that daemon: then that is the target, and again is true. What
// has another maker is a newcomer's.
func (j *job) lookAgain(t *target) (again bool) {
	t.ended = true
	if t.file == nil {
		j.reportEscaped(t, nil)
		return false
	}
	before, s := t.daemon, t.daemon.Supervisor
	var now *posix.Daemon
	for deadline := time.Now().Add(lastWait); ; now.Close() {
		ended := s == nil || j.scope == theProcess || s.Wait(100*time.Millisecond)
		var err error
		if now, err = t.file.Ask(false); err != nil {
			if !ended {
				s.Wait(lastWait)
			}
			j.removed(t, err)
			j.reportEscaped(t, nil)
			return false
		}
		same := now.Maker != 0 && now.Maker == before.Maker
		late := time.Now().After(deadline)
		if same && (now.Answer == posix.Running || now.Answer == posix.Leaderless) || ended && (late || !same || now.Answer != posix.Starting) {
			break
		}
		if ended { // a start that has yet to let go of it
			time.Sleep(10 * time.Millisecond)
		} else if late {
			now.Close()
			t.err = posix.Failf(posix.StatusSurvived, "supervisor: %w: %s", errStillAlive, posix.Describe(s.PID))
			return false
		}
	}
	sid, kin := now.Maker, now.Kin
	same := now.Maker != 0 && now.Maker == before.Maker || before.Answer != posix.Escaped && now.Same(before)
	if now.Process != nil {
		sid, _ = unix.Getsid(now.Process.PID)
	}
	lives := now.Lives() && now.Answer != posix.Escaped
	switch {
	case j.scope == theProcess && lives && (same || now.Maker == 0):
		j.note(t, "not removed: it still runs (%s)", now)
		now.Close()
		return false
	case j.scope == theProcess && now.Answer == posix.Unknown && !now.Empty:
		j.note(t, "not removed: %s", now)
		now.Close()
		return false
	case now.Answer == posix.Escaped && same && before.Answer == posix.Between && slices.ContainsFunc(kin, inSession(now.Maker)):
		// The supervisor ended in the middle of writing its next run's number.
		now.Close()
		t.err = posix.Failf(posix.StatusSurvived, "%w (%s ends it): %s", errStillAlive, byGroup(kin), posix.DescribeAll(kin))
		return false
	case !lives || !same:
	case now.Process == nil || sid == now.Maker || now.Same(before):
		before.Close()
		t.daemon = now
		if t.err = j.answer(t); t.err == nil {
			t.err = j.check(t)
		}
		return t.err == nil || errors.Is(t.err, errNotRunning)
	case now.Process != nil: // it emptied its pidfile
		kin = []int{now.Process.PID}
	}
	now.Close()
	j.removed(t, t.file.Remove(before))
	j.reportEscaped(t, kin)
	return false
}

// inSession makes a test for members of a session.
func inSession(sid int) func(pid int) bool {
	return func(pid int) bool {
		id, err := unix.Getsid(pid)
		return err == nil && id == sid
	}
}

// removed says what became of the pidfile of a daemon that is gone. False: it
// may be another daemon's by now.
func (j *job) removed(t *target, err error) bool {
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

// clear removes the pidfile of a daemon that did not run. If it has come to be
// another one's meanwhile, that is looked at.
func (j *job) clear(t *target) {
	for range 10 {
		keep := t.file == nil || t.daemon.Answer == posix.Stranger || t.daemon.Answer == posix.Between
		if !keep {
			keep = j.removed(t, t.file.Remove(t.daemon))
		}
		if keep {
			return
		}
		t.close()
		if t.err = j.look(t); !errors.Is(t.err, errNotRunning) {
			return
		}
	}
}
