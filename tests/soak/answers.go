package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/tests/box"
)

// escapee marks, in its environment, a process that leaves its daemon's group
// and session. It has the lock like all of the daemon.
const escapee = "ESCAPED=1"

// escapees are the live processes with a tag that have left.
func (w *worker) escapees(s *slot) (rows []box.Process) {
	for _, p := range box.Alive(w.victimPIDs()...) {
		if env := box.Environ(p.PID); slices.Contains(env, s.tag()) && slices.Contains(env, escapee) && p.SID == p.PID {
			rows = append(rows, p)
		}
	}
	return rows
}

// hasEscaped tells whether pidkill says so of the daemon.
func hasEscaped(status int, output string) bool {
	return status == 3 && strings.Contains(output, "process and group are gone, but others of the daemon live")
}

// expectStatus runs a tool to its end.
func (w *worker) expectStatus(tool *box.Tool, want int, what string) (output string) {
	status, output := tool.Result()
	if status != want {
		w.broken("%s: status %d, not %d: %s", what, status, want, output)
	}
	return output
}

// eventually waits until something is true.
func (w *worker) eventually(what string, is func() bool) {
	for end := time.Now().Add(box.Patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.broken("never %s", what)
		}
	}
}

// escape has one of the daemon's processes leave, where nobody interferes.
func (w *worker) escape(s *slot) {
	w.stopAlone(s)
	w.eventually("those end who escaped before", func() bool { return len(w.escapees(s)) == 0 })
	args := []string{"sh", "-c", escapee + " setsid sleep 1000 & exec sleep 1000"}
	kind := w.IntN(3)
	w.count([...]string{"escape: from a daemon that is stopped", "escape: from a supervisor that is stopped",
		"escape: from a daemon that was killed"}[kind])
	if kind == 1 {
		args = append([]string{"-s", "-r"}, args...)
	}
	pid := pidIn(w.expectStatus(w.daemonize(s, args...), 0, "start of who lets one escape"), "running (pid ")
	var who box.Process
	w.eventually("somebody escapes", func() bool {
		all := w.escapees(s)
		if len(all) > 0 {
			who = all[0]
		}
		return who.Comm == "sleep"
	})
	if kind < 2 { // the stop comes in time, and says who is left
		output := w.expectStatus(w.pidkill(s, "-t", "5"), 0, "stop beside an escapee")
		if _, err := os.Lstat(s.file); err == nil || !strings.Contains(output, fmt.Sprintf("(pidkill -g %d ends it)", who.PID)) {
			w.broken("stop beside %s: %s; pidfile: %v", box.Names(who), output, err)
		}
	} else { // it comes too late
		unix.Kill(-pid, unix.SIGKILL)
		for unix.Kill(-pid, 0) == nil {
			time.Sleep(time.Millisecond)
		}
		w.expectStatus(w.pidkill(s, "-0"), 0, "ask after an escapee")
		w.expectStatus(w.daemonize(s, "sleep", "1000"), 1, "start beside an escapee")
		w.expectStatus(w.pidkill(s, "-s", "TERM"), 4, "signal to whom an escapee is left of")
		w.expectStatus(w.pidkill(s, "-t", "5"), 3, "stop of an escapee")
		if text, err := os.ReadFile(s.file); string(text) != fmt.Sprintf("%d\n", pid) {
			w.broken("after the stop of an escapee the pidfile says %q, %v", text, err)
		}
	}
	if !w.lives(who) {
		w.broken("an escapee was ended: %s", box.Names(who))
	}
	if kind < 2 {
		for _, p := range w.escapees(s) { // a run that had been begun may have left one, too
			kill(p.PID, escapee)
		}
	} else {
		w.expectStatus(w.pidkill(s, [...]string{"-T", "-S"}[w.IntN(2)]), 0, "stop of an escapee, with -T or -S")
	}
	if left := w.escapees(s); len(left) > 0 {
		w.broken("there still is the escapee %s", box.Names(left...))
	}
	w.expectNone(s, "an escape")
}

// meet has a start meet a stop, which takes as long as the daemon ignores it:
// that runs meanwhile.
func (w *worker) meet(s *slot) {
	w.stopAlone(s)
	args := []string{"sh", "-c", "trap '' TERM; sleep 1000 & wait; exit 1"}
	if w.IntN(2) == 0 {
		args = append([]string{"-s", "-r"}, args...)
	}
	w.count("a start meets a stop")
	pid := pidIn(w.expectStatus(w.daemonize(s, args...), 0, "start of who ignores TERM"), "running (pid ")
	w.eventually("the shell begins", func() bool { return len(w.commands(s.tag())) == 2 })
	stop := w.pidkill(s, "-v", "-t", "100")
	if w.IntN(2) == 0 {
		time.Sleep(time.Duration(w.Float64() * float64(20*time.Millisecond)))
	}
	w.expectStatus(w.daemonize(s, "sleep", "1000"), 1, "start in a stop")
	w.expectStatus(w.pidkill(s, "-0"), 0, "ask in a stop")
	if stop.Over() {
		w.broken("a stop ended before the daemon")
	}
	w.eventually("TERM is sent", func() bool { return strings.Contains(stop.Output(), "TERM sent") })
	w.lastRun(s, pid, "a stop", stop.Over)
	w.expectStatus(stop, 0, "stop that a start met")
	w.expectNone(s, "a stop that a start met")
}

// lastRun kills a run of which a supervisor knows that it is to be the last,
// until something is over. The supervisor may learn of the run's end first, when
// both come within milliseconds: one run more is not too many.
func (w *worker) lastRun(s *slot, pid int, what string, over func() bool) {
	runs := map[int]bool{pid: true}
	unix.Kill(-pid, unix.SIGKILL)
	w.eventually(what+" ends", func() bool {
		for _, p := range w.commands(s.tag()) {
			runs[p.PGID] = true
			kill(p.PID, s.tag())
		}
		return over()
	})
	if len(runs) > 2 {
		w.broken("%d runs in %s", len(runs), what)
	}
	w.count(fmt.Sprintf("the last run but %d", len(runs)-1))
}

// underWay has both programs meet a start, which is this one: it has the locks
// that daemonize has, until it gives up.
func (w *worker) underWay(s *slot) {
	w.stopAlone(s)
	w.count("a start is under way")
	f, err := os.OpenFile(s.file, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		w.broken("%v", err)
	}
	lock, err := os.OpenFile(s.file, os.O_RDONLY|unix.O_NOATIME, 0)
	if err != nil {
		w.broken("%v", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		w.broken("flock: %v", err)
	}
	first := unix.Flock_t{Type: unix.F_WRLCK, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &first); err != nil {
		w.broken("record lock: %v", err)
	}
	w.expectStatus(w.pidkill(s, "-0"), 0, "ask in a start")
	start, stop := w.daemonize(s, "sleep", "1000"), w.pidkill(s, "-v", "-t", "5")
	time.Sleep(60 * time.Millisecond) // longer than an answer has to last
	if start.Over() || stop.Over() {
		w.broken("in a start there ended another (%v) or a stop (%v)", start.Over(), stop.Over())
	}
	if w.IntN(2) == 0 {
		os.Remove(s.file)
	}
	lock.Close()
	f.Close()
	w.expectStatus(start, 0, "start after one that gave up")
	if status, output := stop.Result(); status != 0 && !(status == 4 && strings.HasSuffix(output, ": empty")) {
		w.broken("stop after a start that gave up: status %d: %s", status, output)
	}
}
