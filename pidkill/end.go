package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// tell is -0.
func (k *killer) tell(targets []*target) {
	for _, t := range targets {
		if t.err == nil && !k.quiet {
			fmt.Fprintf(k.out, "%s: running (%s)\n", t.name, t.prey.name)
		}
	}
}

// explain is -n.
func (k *killer) explain(targets []*target) {
	signals := k.plan.String()
	if k.signal != 0 {
		signals = posix.SignalName(k.signal)
	}
	for _, t := range targets {
		if t.err != nil || t.same != nil {
			continue
		}
		pids, err := t.prey.living()
		pids = slices.DeleteFunc(pids, func(pid int) bool { return !t.prey.allowed(pid) })
		switch {
		case err != nil:
			t.err = err
		case len(pids) == 0:
			t.err = errNotRunning
		default:
			fmt.Fprintf(k.out, "%s: would send %s to %s: %s\n", t.name, signals, t.prey.name, describe(pids))
		}
	}
}

func describe(pids []int) string {
	const most = 20
	var names []string
	for _, pid := range pids[:min(most, len(pids))] {
		names = append(names, posix.Describe(pid))
	}
	if more := len(pids) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}

// signalOnce is -s.
func (k *killer) signalOnce(targets []*target) {
	for _, t := range targets {
		if t.err != nil || t.same != nil {
			continue
		}
		switch err := t.prey.signal(k.signal); err {
		case nil:
			k.say(t, "%s sent to %s", posix.SignalName(k.signal), t.prey.name)
		case unix.ESRCH:
			t.err = errNotRunning
		default:
			t.err = t.survived(err)
		}
	}
}

// survived is the Failure that lists who is left.
func (t *target) survived(why error) error {
	alive, err := t.prey.living()
	if err != nil {
		return err
	}
	return posix.Failf(posix.StatusSurvived, "%s: %w: %s", t.prey.name, why, describe(alive))
}

var errStillAlive = errors.New("still alive")

// end goes through the schedule with all targets at once.
func (k *killer) end(targets []*target) {
	var left []*target
	counted := sync.OnceValues(count)
	k.progress = newProgress(k.quiet)
	for _, t := range targets {
		switch {
		case t.err == nil && t.same == nil:
			if t.err = k.lookAround(t, counted); t.err == nil {
				left = append(left, t)
			}
		case errors.Is(t.err, errNotRunning):
			k.remove(t)
		}
	}
	for i := 0; len(left) > 0; i++ {
		step, ok := k.plan.step(i)
		if !ok {
			break
		}
		next, _ := k.plan.step(i + 1)
		left = k.await(k.send(left, step.Signal), time.Now().Add(step.Wait), next.Signal)
	}
	k.progress.clear(k.errs)
	for _, t := range left {
		t.err = t.survived(errStillAlive)
	}
	k.lookAgain(targets)
	for _, t := range targets {
		if t.same != nil {
			if t.err = t.same.err; t.err == nil {
				k.remove(t)
			}
		}
	}
}

// lookAgain is for the pidfiles of supervisors that are gone by now: one may
// have started its command after all, or left something of the last run.
func (k *killer) lookAgain(targets []*target) {
	var more []*target
	for _, t := range targets {
		if !t.between || t.err != nil || !t.file.Current() {
			continue
		}
		t.between = false
		if t.prey, t.err = k.examine(t); t.err == nil {
			t.err = k.check(t)
		}
		more = append(more, t)
	}
	if len(more) == 0 {
		return
	}
	k.end(more)
	for _, t := range more {
		if errors.Is(t.err, errNotRunning) || t.err == errAgain { // a newcomer's
			t.err = nil
		}
	}
}

// send sends a signal of the schedule, and returns who has to be waited for.
func (k *killer) send(targets []*target, sig unix.Signal) (left []*target) {
	for _, t := range targets {
		switch err := t.prey.signal(sig); err {
		case nil:
			k.say(t, "%s sent to %s", posix.SignalName(sig), t.prey.name)
			if sig != unix.SIGKILL && sig != unix.SIGSTOP && sig != unix.SIGTSTP {
				t.prey.signal(unix.SIGCONT) // a stopped member acts on nothing else
			}
			left = append(left, t)
		case unix.ESRCH:
			k.gone(t)
		default:
			t.err = t.survived(err)
		}
	}
	return left
}

// await waits for the targets to end, and returns those that have not.
func (k *killer) await(targets []*target, deadline time.Time, next unix.Signal) []*target {
	for len(targets) > 0 {
		var watches []*posix.Watch
		for _, t := range targets {
			watches = append(watches, t.watch)
		}
		until := deadline
		if soon := time.Now().Add(time.Second); k.progress.wanted && soon.Before(until) {
			until = soon
		}
		posix.Await(until, watches...)
		targets = slices.DeleteFunc(targets, func(t *target) bool {
			switch {
			case t.watch.Gone:
				k.gone(t)
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
		k.progress.show(k.errs, targets, deadline, next)
	}
	return targets
}

// gone is called when nothing is left of the prey.
func (k *killer) gone(t *target) {
	if t.prey.guard != nil {
		if alive, err := t.prey.living(); err == nil && len(alive) > 0 {
			t.err = t.survived(fmt.Errorf("%s, so only its own processes were signalled", t.prey.guard))
			return
		}
	}
	if s := t.supervisor; s != nil && !s.Wait(lastWait) { // it sees the record lock, and ends
		t.err = posix.Failf(posix.StatusSurvived, "supervisor: %w: %s", errStillAlive, posix.Describe(s.PID))
		return
	}
	k.say(t, "%s is gone after %.1f s", t.prey.name, time.Since(k.progress.began).Seconds())
	if t.between {
		return
	}
	locked := k.remove(t)
	if !k.quiet {
		k.reportEscaped(t, locked)
	}
}

// remove unlinks the pidfile of a daemon that is gone, if it still is the one
// that was read. Our record lock keeps every start off it meanwhile. Locked
// says that somebody else still holds the flock.
func (k *killer) remove(t *target) (locked bool) {
	f := t.file
	if f == nil {
		return false
	}
	ours := f.Operate(unix.F_RDLCK) == nil // after a supervisor, it is not yet
	// A start gives up now. So does a supervisor whose command has just ended,
	// and then it leaves the file to us.
	var begun []int
	for end := time.Now().Add(lastWait); ; time.Sleep(time.Millisecond) {
		locked = f.TryLock() != nil // where it cannot be told, too
		if begun = nil; locked {
			_, begun, _ = f.Holders() // a start's, and not an escapee's
		}
		if len(begun) == 0 || !time.Now().Before(end) {
			break
		}
	}
	before := string(f.Content)
	err := f.Read()
	switch {
	case err != nil:
	case locked && t.prey != nil && t.prey.alone && !k.force:
		k.note(t, "not removed: its lock is held by others of its group")
		return locked
	case len(begun) > 0 && ours && t.err != nil: // a supervisor that has not noticed, and may yet start it again
		t.err = posix.Failf(posix.StatusSurvived, "supervisor: %w: %s", errStillAlive, describe(begun))
		return locked
	case len(begun) > 0, string(f.Content) != before:
		err = posix.ErrMoved
	default:
		err = f.Unlink()
	}
	f.Unlock() // another operand may be the same file
	switch err {
	case nil:
		k.say(t, "removed")
	case posix.ErrMoved:
		k.say(t, "not removed: it is another one by now")
	default: // which is no reason to say that the daemon runs
		fmt.Fprintf(k.errs, "pidkill: %s: cannot remove the pidfile: %v\n", t.name, err)
	}
	return locked
}
