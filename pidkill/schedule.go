package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// schedule is a plan of signals and waits. After the last step it goes on at
// step loop, or ends if that is -1.
type schedule struct {
	steps []posix.Step
	loop  int
}

// lastWait is how long a schedule waits at its end if it does not say so.
const lastWait = 5 * time.Second

// parseSchedule reads TERM/10/KILL/5: signals and waits in turn, where a wait
// may be missing, and "forever" once before a signal. A signal may have a dash
// before it, signal 0 only waits, and one number alone is a time, as in
// start-stop-daemon(8).
func parseSchedule(s string) (schedule, error) {
	plan := schedule{loop: -1}
	if d, err := posix.ParseDuration(s); err == nil {
		plan.steps = []posix.Step{{Signal: unix.SIGTERM, Wait: d}, {Signal: unix.SIGKILL, Wait: d}}
		return plan, nil
	}
	waiting := false // the last word was a signal
	for _, word := range strings.Split(s, "/") {
		wait, noTime := posix.ParseDuration(word)
		sig, noSignal := posix.ParseSignal(strings.TrimPrefix(word, "-"))
		switch {
		case word == "forever" && plan.loop >= 0:
			return plan, errors.New("forever: once is enough")
		case word == "forever":
			plan.loop, waiting = len(plan.steps), false
		case waiting && noTime == nil:
			plan.steps[len(plan.steps)-1].Wait, waiting = wait, false
		case noSignal == nil, word == "0":
			plan.steps, waiting = append(plan.steps, posix.Step{Signal: sig}), true
		default:
			return plan, fmt.Errorf("%s: expected a signal (TERM/10/KILL/5)", posix.Escape(word))
		}
	}
	if waiting && plan.loop < 0 {
		plan.steps[len(plan.steps)-1].Wait = lastWait
	}
	waits := func(s posix.Step) bool { return s.Wait > 0 }
	if plan.loop >= 0 && !slices.ContainsFunc(plan.steps[plan.loop:], waits) {
		return plan, errors.New("forever: nothing to wait for follows")
	}
	return plan, nil
}

// step is the i-th step of the plan, which may go on forever.
func (p schedule) step(i int) (s posix.Step, ok bool) {
	if n := len(p.steps); i >= n {
		if p.loop < 0 {
			return s, false
		}
		i = p.loop + (i-n)%(n-p.loop)
	}
	return p.steps[i], true
}

// announce names the i-th step of the plan to who waits for it.
func (p schedule) announce(i int) string {
	switch step, ok := p.step(i); {
	case !ok:
		return "giving up"
	case step.Signal == 0:
		return "the next wait"
	default:
		return posix.SignalName(step.Signal)
	}
}

// String is the plan as -r takes it.
func (p schedule) String() string {
	var words []string
	for i, s := range p.steps {
		if i == p.loop {
			words = append(words, "forever")
		}
		words = append(words, posix.SignalName(s.Signal), strconv.FormatFloat(s.Wait.Seconds(), 'f', -1, 64))
	}
	return strings.Join(words, "/")
}
