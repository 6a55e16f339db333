package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/tests/box"
)

// What may happen around a supervisor, and is not held against the programs:
//
//   - A supervisor that is killed before it has told makes a start that cannot
//     know what it left: status 125, and it says so.
//   - One that ended by TERM, or was killed, cannot say how its command ended.
//     So a start may have had status 0 and nobody was there to see it run;
//     such starts are counted.
//   - One that removed its pidfile is there for a moment more; so is one that
//     lost against another start.

// cutShort tells whether a start says that its copy was killed.
func cutShort(status int, output string) bool {
	return status == 125 && strings.Contains(output, "did the work ended: killed by SIG")
}

// copies are what leads the sessions of the slot's supervised starts:
// supervisors, and those who are about to be.
func (w *worker) copies(s *slot) (rows []box.Process) {
	for _, p := range box.Alive(w.victimPIDs()...) {
		if starter(p) && p.PID == p.SID && supervised(p) && s.owns(box.Environ(p.PID)) {
			rows = append(rows, p)
		}
	}
	return rows
}

func supervised(p box.Process) bool { return strings.Contains(p.Args, "\x00-s\x00") }

// reported tells whether a process is a supervisor that has told so: the pipe
// whose number its name has is closed.
func reported(p box.Process) bool {
	var fd int
	if n, _ := fmt.Sscanf(p.Args, "daemonize: detached %d", &fd); n != 1 || p.PID != p.SID {
		return false
	}
	link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.PID, fd))
	return !strings.HasPrefix(link, "pipe:")
}

// supervisedStart begins one, whose supervisor's last words are wanted.
func (w *worker) supervisedStart(s *slot, args ...string) (tool *box.Tool, log string) {
	w.mu.Lock()
	w.serial++
	log = filepath.Join(box.Dir, fmt.Sprintf("log.%d", w.serial))
	w.mu.Unlock()
	return w.daemonize(s, append([]string{"-e", log}, args...)...), log
}

// ranSupervised makes sure that a supervisor's child was there.
func (w *worker) ranSupervised(pid int, began time.Time, log, output string) {
	if pid == 0 {
		w.broken("start: status 0, and no PID in %q", output)
	}
	defer os.Remove(log)
	for range 50 {
		text, _ := os.ReadFile(log)
		if w.seen(pid, began) || strings.Contains(string(text), fmt.Sprintf(": pid %d ended: ", pid)) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.count("start, supervised: nobody saw it end")
}

// fire sends a signal that ends it to one of the slot's copies, at whatever
// moment. What it leaves is for others to find.
func (w *worker) fire(s *slot, sig unix.Signal) {
	w.count("signal a supervisor: " + unix.SignalName(sig))
	all := w.copies(s)
	if len(all) == 0 {
		return
	}
	p := all[w.IntN(len(all))]
	if reported(p) || sig == unix.SIGKILL {
		w.signal(p, sig)
	} else if h, err := box.Pin(p.PID); err == nil { // it may not listen yet
		if h.Start == p.Start {
			h.Signal(sig)
		}
		h.Close()
	}
}

// signal sends a supervisor a signal that it ends by.
func (w *worker) signal(supervisor box.Process, sig unix.Signal) {
	h, err := box.Pin(supervisor.PID)
	if err != nil {
		return
	}
	if h.Start == supervisor.Start {
		h.Signal(sig)
		if !h.Wait(box.Patience) {
			w.broken("a supervisor does not end by %s: %s", unix.SignalName(sig), box.Names(supervisor))
		}
	}
	h.Close()
}

// lives tells whether a process of a list has not ended since.
func (w *worker) lives(p box.Process) bool {
	h, err := box.Pin(p.PID)
	if err != nil {
		return false
	}
	defer h.Close()
	return h.Start == p.Start && !h.Wait(0)
}

// family is the commands of a slot, and the supervisors that have one.
func (w *worker) family(s *slot) (commands, parents []box.Process) {
	commands = w.commands(s.tag())
	for _, p := range w.copies(s) {
		if slices.ContainsFunc(commands, func(q box.Process) bool { return q.PPID == p.PID && q.PGID == q.PID }) {
			parents = append(parents, p)
		}
	}
	return commands, parents
}

// checkStopped is for a stop with status 0: whoever was there before it is gone.
func (w *worker) checkStopped(commands, parents []box.Process, what string) {
	for _, p := range commands {
		if w.lives(p) && !marked(p.PID, escapee) {
			w.broken("%s\nand there still is %s", what, box.Names(p))
		}
	}
	for _, p := range parents {
		h, err := box.Pin(p.PID)
		if err != nil {
			continue
		}
		// Who has removed its pidfile may not have ended yet.
		if h.Start == p.Start && !h.Wait(5*time.Second) {
			w.broken("%s\nand there still is the supervisor %s", what, box.Names(p))
		}
		h.Close()
	}
}

// supervise has a supervisor alone with its pidfile, where everything is known.
func (w *worker) supervise(s *slot) {
	w.stopAlone(s)
	switch kind := w.IntN(9); kind {
	case 0, 1:
		w.failsAlone(s, kind == 1)
	default:
		pid, supervisor := w.supervisedAlone(s, "-r", "sleep", "1000")
		w.count([...]string{2: "supervised: killed", 3: "supervised: command killed", 4: "supervised: told to end",
			5: "supervised: told other things", 8: "supervised: asked for no more runs", 6: "supervised: killed in a restart", 7: "supervised: told to end in a restart"}[kind])
		switch kind {
		case 2:
			w.signal(supervisor, unix.SIGKILL)
			if status, output := w.daemonize(s, "sleep", "1000").Result(); status != 1 {
				w.broken("start after KILL of a supervisor: status %d: %s", status, output)
			}
			w.expectOne(s, pid, "KILL of a supervisor")
		case 3:
			unix.Kill(pid, unix.SIGKILL)
			w.restarted(s, pid)
		case 4:
			w.signal(supervisor, [...]unix.Signal{unix.SIGTERM, unix.SIGINT}[w.IntN(2)])
			w.expectNone(s, "a supervisor that was told to end")
		case 5:
			for range 5 {
				unix.Kill(supervisor.PID, [...]unix.Signal{
					unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR2, unix.SIGCHLD, unix.SIGCONT}[w.IntN(5)])
			}
			w.expectOne(s, pid, "a signal that means nothing to a supervisor")
			if !w.lives(supervisor) {
				w.broken("a supervisor ended by a signal that means nothing to it")
			}
		case 8:
			unix.Kill(supervisor.PID, unix.SIGUSR1)
			w.expectOne(s, pid, "the request for no more runs")
			w.lastRun(s, pid, "a supervisor that was asked for no more runs", func() bool { return !w.lives(supervisor) })
			w.expectNone(s, "a supervisor that was asked for no more runs")
		default:
			command, err := box.Pin(pid)
			if err != nil {
				w.broken("%v", err)
			}
			command.Signal(unix.SIGKILL)
			time.Sleep(time.Duration(w.Float64() * w.Float64() * float64(20*time.Millisecond)))
			if kind == 6 {
				w.signal(supervisor, unix.SIGKILL)
				command.Wait(box.Patience) // it takes a moment to end, too
				w.afterKill(s)
			} else {
				w.signal(supervisor, unix.SIGTERM)
				w.expectNone(s, "a supervisor that was told to end in a restart")
			}
			command.Close()
		}
	}
	w.stopAlone(s)
}

// supervisedAlone is a start that nobody interferes with, of a pidfile that
// nobody uses: command and supervisor run, and nothing else.
func (w *worker) supervisedAlone(s *slot, args ...string) (pid int, supervisor box.Process) {
	status, output := w.daemonize(s, append([]string{"-s"}, args...)...).Result()
	w.count(fmt.Sprintf("start, supervised and alone: status %d", status))
	if status != 0 {
		w.broken("start, supervised and alone: status %d: %s", status, output)
	}
	pid = pidIn(output, "running (pid ")
	w.expectOne(s, pid, output)
	all := w.copies(s)
	if p, err := box.Stat(pid); err != nil || len(all) != 1 || all[0].PID != p.PPID || p.SID != p.PPID || p.PGID != pid {
		w.broken("start, supervised and alone: %s\nand there are %s", output, box.Names(all...))
	}
	return pid, all[0]
}

// expectOne makes sure that pid is the slot's only daemon, and found.
func (w *worker) expectOne(s *slot, pid int, after string) {
	var running []box.Process
	for i := 0; len(running) == 0 && i < 1000; i++ {
		// execve(2) is through for daemonize before the new environment shows.
		running = w.commands(s.tag())
		time.Sleep(time.Millisecond)
	}
	text, _ := os.ReadFile(s.file)
	if len(running) != 1 || running[0].PID != pid || string(text) != fmt.Sprintf("%d\n", pid) {
		w.broken("after %s: %d was to run, and there are %s; pidfile %q", after, pid, box.Names(running...), text)
	}
	if status, output := w.pidkill(s, "-0").Result(); status != 0 {
		w.broken("ask after %s: status %d: %s", after, status, output)
	}
}

// expectNone makes sure that nothing is left of the slot, and no pidfile.
func (w *worker) expectNone(s *slot, after string) {
	left := append(w.commands(s.tag()), w.copies(s)...)
	if _, err := os.Lstat(s.file); len(left) > 0 || err == nil {
		w.broken("after %s there is %s; pidfile: %v", after, box.Names(left...), err)
	}
	if status, output := w.pidkill(s, "-0").Result(); status != 3 {
		w.broken("ask after %s: status %d: %s", after, status, output)
	}
}

// restarted waits for the next run. All the while somebody is there.
func (w *worker) restarted(s *slot, old int) {
	for end := time.Now().Add(box.Patience); ; {
		if status, output := w.pidkill(s, "-0").Result(); status != 0 {
			w.broken("ask in a restart: status %d: %s", status, output)
		}
		text, _ := os.ReadFile(s.file)
		pid, err := pidOf(text)
		if err != nil {
			w.broken("a pidfile in a restart: %q", text)
		}
		if pid != old {
			w.expectOne(s, pid, "a restart")
			return
		}
		if time.Now().After(end) {
			w.broken("no restart")
		}
	}
}

// afterKill is for a supervisor that was killed at some moment of a restart.
// Either nothing runs, or what runs is found.
func (w *worker) afterKill(s *slot) {
	w.quiet(s)
	running := w.commands(s.tag())
	status, output := w.pidkill(s, "-0").Result()
	switch {
	case len(running) > 1, len(running) == 0 && status != 1, len(running) == 1 && status != 0 && w.lives(running[0]):
		w.broken("KILL of a supervisor in a restart: there is %s, and status %d: %s", box.Names(running...), status, output)
	case len(running) == 0:
		w.startAlone(s)
	}
}

// failsAlone has a supervised command that fails: it is given up in time, or
// stopped between two runs.
func (w *worker) failsAlone(s *slot, limited bool) {
	if limited {
		w.count("supervised: given up")
		status, output := w.daemonize(s, "-s", "-r", "-R", "2", "sh", "-c", "exit 1").Result()
		if status != 0 {
			w.broken("start of a command that fails: status %d: %s", status, output)
		}
		w.eventually("is a command that fails given up", func() bool { return len(w.copies(s)) == 0 })
		w.expectNone(s, "a command that was given up")
		return
	}
	w.count("supervised: between two runs")
	status, output := w.daemonize(s, "-s", "-r", "sh", "-c", "exit 1").Result()
	if status != 0 {
		w.broken("start of a command that fails: status %d: %s", status, output)
	}
	time.Sleep(time.Duration(w.Float64() * float64(100*time.Millisecond)))
	if status, output := w.pidkill(s, "-0").Result(); status != 0 {
		w.broken("ask between two runs: status %d: %s", status, output)
	}
	if status, output := w.daemonize(s, "sleep", "1000").Result(); status != 1 {
		w.broken("start between two runs: status %d: %s", status, output)
	}
	if w.IntN(3) > 0 { // else the stop that follows meets it
		return
	}
	for _, p := range w.copies(s) {
		w.signal(p, unix.SIGKILL)
	}
	w.afterKill(s)
}
