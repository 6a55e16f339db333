package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestSchedule(t *testing.T) {
	for text, want := range map[string]string{
		"TERM/10/KILL/5":      "TERM/10/KILL/5",
		"TERM":                "TERM/5",
		"TERM/KILL":           "TERM/0/KILL/5",
		"sigterm/0.5/9/2m":    "TERM/0.5/KILL/120",
		"15/10/9/5":           "TERM/10/KILL/5",
		"QUIT/1/forever/9/2":  "QUIT/1/forever/KILL/2",
		"forever/TERM/5":      "forever/TERM/5",
		"RTMIN+3/1/TERM/9":    "RTMIN+3/1/TERM/9", // after a signal a number is a time
		"TERM/9/9":            "TERM/9/KILL/5",
		"HUP/forever/KILL/.5": "HUP/0/forever/KILL/0.5",
		"30":                  "TERM/30/KILL/30",
		"0.5":                 "TERM/0.5/KILL/0.5",
		"0/30/KILL/5":         "0/30/KILL/5",
		"-TERM/30/-KILL/5":    "TERM/30/KILL/5",
		"TERM/10/0":           "TERM/10/0/5",
	} {
		plan, err := parseSchedule(text)
		if err != nil || plan.String() != want {
			t.Errorf("%s: %s, %v, want %s", text, plan, err, want)
		}
	}
	for _, text := range []string{
		"", "/", "0.5/TERM", "128/TERM", "TERM/", "TERM/10/", "TERM//KILL", "TERM/--9", "-0/5", "TERM/x",
		"forever", "TERM/5/forever", "forever/TERM", "forever/TERM/0", "forever/forever/TERM/1", "TERM/forever/KILL/1/forever/KILL/1",
	} {
		if plan, err := parseSchedule(text); err == nil {
			t.Errorf("%q is %s", text, plan)
		}
	}
}

func TestScheduleSteps(t *testing.T) {
	plan, err := parseSchedule("QUIT/1/forever/TERM/1/KILL/1")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []unix.Signal{unix.SIGQUIT, unix.SIGTERM, unix.SIGKILL, unix.SIGTERM, unix.SIGKILL, unix.SIGTERM} {
		if step, ok := plan.step(i); !ok || step.Signal != want {
			t.Errorf("step %d: %v, %v", i, step, ok)
		}
	}
	plan, err = parseSchedule("TERM/10/KILL/5")
	if _, ok := plan.step(2); ok || err != nil {
		t.Errorf("%s goes on, %v", plan, err)
	}
}

func FuzzSchedule(f *testing.F) {
	for _, s := range []string{"TERM/10/KILL/5", "forever/9/5", "TERM/forever/KILL/0.5", "15", "0/5/-9", "TERM//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		plan, err := parseSchedule(s)
		if err != nil {
			return
		}
		for i := range 2 * len(plan.steps) {
			step, ok := plan.step(i)
			if ok && (step.Wait < 0 || step.Signal < 0 || step.Signal > 64) || i < len(plan.steps) && !ok {
				t.Errorf("%q: step %d is %v, %v", s, i, step, ok)
			}
		}
		// Written out and read again it is the same, but for what no
		// decimal of seconds shows.
		if again, err := parseSchedule(plan.String()); err != nil || len(again.steps) != len(plan.steps) || again.loop != plan.loop {
			t.Errorf("%q is %s, and that is %s, %v", s, plan, again, err)
		}
	})
}
