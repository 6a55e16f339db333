package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// tell is -0.
func (k *killer) tell(targets []*target) {
	for _, t := range targets {
		if t.err == nil {
			var alive []int
			if alive, t.err = t.prey.living(); t.err == nil && len(alive) == 0 {
				t.err = errNotRunning
			}
		}
		if t.err == nil && !k.quiet {
			fmt.Fprintf(k.out, "%s: running (%s)\n", t.name, t.prey.name)
		}
	}
}

// explain is -n.
func (k *killer) explain(targets []*target) {
	plan := "TERM"
	if k.signal != 0 {
		plan = posix.SignalName(k.signal)
	} else {
		plan = k.plan.String()
	}
	for _, t := range targets {
		if t.err != nil || t.same != nil {
			continue
		}
		pids, err := t.prey.living()
		if t.err = err; err != nil {
			continue
		}
		fmt.Fprintf(k.out, "%s: would send %s to %s: %s\n", t.name, plan, t.prey.name, describe(pids))
	}
}

func describe(pids []int) string {
	const most = 20
	var names []string
	for i, pid := range pids {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(pids)-most))
			break
		}
		names = append(names, posix.Describe(pid))
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

func (k *killer) say(t *target, format string, args ...any) {
	if k.verbose {
		k.note(t, format, args...)
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

// hunt is the work on one target.
type hunt struct {
	*target
	watch   *posix.Watch
	escaped *escaped
	began   time.Time
}

// end goes through the schedule with all targets at once.
func (k *killer) end(targets []*target) {
	var hunts []*hunt
	for _, t := range targets {
		switch {
		case t.err == nil && t.same == nil:
			h := &hunt{target: t, watch: t.prey.watch(), began: time.Now()}
			h.escaped, t.err = k.beforehand(t.prey, h.watch)
			if t.err == nil {
				hunts = append(hunts, h)
			}
		case errors.Is(t.err, errNotRunning):
			k.remove(t)
		}
	}
	k.progress = newProgress(k.quiet)
	for i := 0; len(hunts) > 0; i++ {
		step, ok := k.plan.step(i)
		if !ok {
			break
		}
		left := hunts[:0]
		for _, h := range hunts {
			switch err := h.prey.signal(step.Signal); err {
			case nil:
				k.say(h.target, "%s sent to %s", posix.SignalName(step.Signal), h.prey.name)
				if step.Signal != unix.SIGKILL {
					h.prey.signal(unix.SIGCONT) // a stopped member acts on nothing else
				}
				left = append(left, h)
			case unix.ESRCH:
				k.gone(h)
			default:
				h.err = h.survived(err)
			}
		}
		next, _ := k.plan.step(i + 1)
		hunts = k.await(left, time.Now().Add(step.Wait), next.Signal)
	}
	k.progress.clear(k.errs)
	for _, h := range hunts {
		if h.err == nil {
			h.err = h.survived(errStillAlive)
		}
		h.watch.Close()
	}
	for _, t := range targets {
		if t.same != nil {
			if t.err = t.same.err; t.err == nil {
				k.remove(t)
			}
		}
	}
}

// await waits for the hunts to end, and returns those that have not.
func (k *killer) await(hunts []*hunt, deadline time.Time, next unix.Signal) []*hunt {
	for len(hunts) > 0 {
		watches := make([]*posix.Watch, len(hunts))
		for i, h := range hunts {
			watches[i] = h.watch
		}
		until := deadline
		if soon := time.Now().Add(time.Second); k.progress.wanted && soon.Before(until) {
			until = soon
		}
		posix.Await(until, watches...)
		left := hunts[:0]
		for _, h := range hunts {
			switch {
			case h.watch.Gone:
				k.gone(h)
			case h.watch.Err != nil:
				h.err = h.watch.Err
			default:
				left = append(left, h)
			}
		}
		hunts = left
		if !time.Now().Before(deadline) {
			break
		}
		k.progress.show(k.errs, hunts, deadline, next)
	}
	return hunts
}

// gone is called when nothing is left of the prey.
func (k *killer) gone(h *hunt) {
	h.watch.Close()
	if h.prey.allowed != nil {
		if alive, err := h.prey.living(); err == nil && len(alive) > 0 {
			h.err = h.survived(fmt.Errorf("%s, so only its own processes were signalled", &h.file.Control))
			return
		}
	}
	if h.supervisor != nil {
		h.supervisor.Wait(lastWait) // it sees the record lock, and ends
	}
	k.say(h.target, "%s is gone after %.1f s", h.prey.name, time.Since(h.began).Seconds())
	k.remove(h.target)
	if !k.quiet {
		k.afterwards(h)
	}
}

// remove unlinks the pidfile of a daemon that is gone, if it still is the one
// that was read. Our record lock keeps every start off it meanwhile: one that
// has the flock by now gives it back, and opens the path anew.
func (k *killer) remove(t *target) {
	f := t.file
	if f == nil {
		return
	}
	// Escapees may hold the flock. That is no reason to keep the file.
	f.Operate(unix.F_RDLCK) // after a supervisor, it is not ours yet
	err := f.TryLock()
	t.locked = err == posix.ErrLocked
	before := f.Content
	if err := f.Read(); err != nil || !bytes.Equal(f.Content, before) || !f.Current() {
		k.say(t, "not removed: it is a newer one")
		return
	}
	if err := f.Unlink(); err != nil && err != posix.ErrMoved && err != unix.ENOENT {
		t.err = fmt.Errorf("cannot remove the pidfile: %w", err)
		return
	}
	k.say(t, "removed")
}
