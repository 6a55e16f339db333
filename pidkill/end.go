package main

import (
	"cmp"
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
	for _, t := range distinct(targets) {
		pids, err := t.set.living(t.set.may)
		t.err = cmp.Or(err, t.partly())
		if len(pids) > 0 {
			fmt.Fprintf(j.out, "%s: would send %s to %s: %s\n", t.name, signals, t.set.name, posix.DescribeAll(pids))
		} else {
			t.err = cmp.Or(t.err, errNotRunning)
		}
	}
}

// signalOnce is -s.
func (j *job) signalOnce(targets []*target) {
	for _, t := range distinct(targets) {
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
	if unix.Geteuid() == 0 && t.set.as == nil {
		return nil
	}
	if pids, _ := t.set.living(t.set.mayNot); len(pids) > 0 {
		return posix.Failf(posix.StatusSurvived, "%s: %w: %s", t.set.name, unix.EPERM, posix.DescribeAll(pids))
	}
	return nil
}

// survived is the Failure that lists who is left.
func (t *target) survived(why error) error {
	alive, err := t.set.living(func(*posix.Handle) bool { return true })
	if err != nil {
		return err
	}
	return posix.Failf(posix.StatusSurvived, "%s: %w: %s", t.set.name, why, posix.DescribeAll(alive))
}

var errStillAlive = errors.New("still alive")

// rounds is how often what is left of a daemon is looked for: each time a whole
// group of it has been ended.
const rounds = 1000

// end ends all targets at once, and then what it finds to be of the same daemons:
// the run that a supervisor had begun.
func (j *job) end(targets []*target) {
	j.progress = newProgress(j.quiet)
	for _, t := range targets {
		if errors.Is(t.err, errNotRunning) {
			j.removeLeftover(t)
		}
	}
	left := distinct(targets)
	listed := sync.OnceValues(listAll)
	for round := 0; round < rounds && len(left) > 0; round++ {
		left = slices.DeleteFunc(left, func(t *target) bool {
			if t.err = j.findEscaped(t, listed); t.err == nil {
				j.askSupervisor(t)
			}
			return t.err != nil
		})
		for _, t := range targets { // the same daemon may have its own pidfile beside its supervisor's
			if t.sameAs != nil && t.sameAs.err == nil {
				j.askSupervisor(t)
			}
		}
		j.runSchedule(left)
		left = slices.DeleteFunc(left, func(t *target) bool {
			return t.err != nil || !j.lookAgain(t)
		})
		for _, t := range targets { // each file is looked at when the set that it shares has ended
			if s := t.sameAs; s != nil && !slices.Contains(left, s) {
				t.sameAs = nil
				if t.err = s.err; t.err == nil && j.lookAgain(t) {
					left = append(left, t)
				}
			}
		}
	}
	for _, t := range left {
		t.err = t.survived(errStillAlive)
	}
	for _, t := range targets {
		if t.sameAs != nil {
			t.err = t.sameAs.err
		}
	}
}

// runSchedule sends all targets the signals of the schedule, until they are
// gone. What survives has an error then.
func (j *job) runSchedule(left []*target) {
	for i := 0; len(left) > 0; i++ {
		step, ok := j.plan.step(i)
		if !ok {
			break
		}
		left = j.await(j.send(left, step.Signal), time.Now().Add(step.Wait), j.plan.announce(i+1))
	}
	j.progress.erase(j.errs)
	for _, t := range left {
		t.err = t.survived(errStillAlive)
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
			j.sayGone(t)
		default:
			t.err = t.survived(err)
		}
	}
	return left
}

// await waits for the targets to end, and returns those that have not. At the
// deadline comes what next says.
func (j *job) await(targets []*target, deadline time.Time, next string) []*target {
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
				j.sayGone(t)
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

// sayGone says with -v that nobody of a set lives any more.
func (j *job) sayGone(t *target) {
	are := "is"
	if t.set.tree != nil && t.set.tree.descend {
		are = "are"
	}
	j.say(t, "%s %s gone after %.1f s", t.set.name, are, time.Since(j.progress.began).Seconds())
}
