package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/tests/box"
)

type worker struct {
	*model
	*rand.Rand
}

// step does one thing to one pidfile, and looks at what came of it.
func (w *worker) step() {
	s := w.slots[w.IntN(len(w.slots))]
	choice := w.IntN(100)
	if choice < 27 { // alone with the pidfile
		s.Lock()
		defer s.Unlock()
	} else {
		s.RLock()
		defer s.RUnlock()
	}
	switch {
	case choice < 10:
		w.stopAlone(s)
		w.startAlone(s)
	case choice < 13:
		w.remove(s)
	case choice < 18:
		w.replace(s)
	case choice < 21:
		w.supervise(s)
	case choice < 23:
		w.escape(s)
	case choice < 25:
		w.meet(s)
	case choice < 27:
		w.underWay(s)
	case choice < 49:
		w.start(s)
	case choice < 67:
		w.stop(s)
	case choice < 73:
		w.stop(s)
		w.start(s)
	case choice < 80:
		w.ask(s)
	case choice < 86:
		w.killDaemon(s)
	case choice < 89:
		w.fire(s, unix.SIGKILL)
	case choice < 91:
		w.fire(s, [...]unix.Signal{unix.SIGTERM, unix.SIGINT}[w.IntN(2)])
	case choice < 96:
		w.killStart(s)
	default:
		w.killStop(s)
	}
	w.checkSlot(s)
	w.checkVictims()
}

// start is one from a choice of commands, as random as the rest.
func (w *worker) start(s *slot) {
	var args []string
	switch w.IntN(18) {
	case 0:
		args = []string{"sh", "-c", "sleep 1000 & sleep 1000 & wait"}
	case 1:
		args = []string{"sh", "-c", "trap '' TERM; sleep 1000 & wait; sleep 1000"}
	case 2:
		args = []string{"sleep", "0.05"}
	case 3:
		args = []string{"sh", "-c", "sleep 1000 & exit"}
	case 4:
		args = []string{"-w", "0.03", "sleep", "1000"}
	case 5:
		args = []string{"-w", "0.05", "sleep", "0.03"}
	case 6:
		args = []string{"-s", "sleep", "1000"}
	case 7:
		args = []string{"-s", "sleep", "0.1"}
	case 8:
		args = []string{"-s", "-r", "-R", "2", "sh", "-c", "sleep 0.05; exit 1"}
	case 9:
		args = []string{"-s", "-r", "sleep", "1000"}
	case 10:
		args = []string{"-s", "-r", "-w", "0.03", "sh", "-c", "sleep 1000 & sleep 1000 & wait; exit 1"}
	case 11: // it stays between two runs
		args = []string{"-s", "-r", "sh", "-c", "exit 1"}
	case 12: // what is left of a run ignores TERM: KILL comes 5 s later, or pidkill
		args = []string{"-s", "-r", "sh", "-c", "(trap '' TERM; sleep 0.2; sleep 0.2) & sleep 0.03; exit 1"}
	case 13:
		args = []string{"sh", "-c", escapee + " setsid sleep 0.3 & exec sleep 0.1"}
	case 14:
		args = []string{"-s", "-r", "sh", "-c", escapee + " setsid sleep 0.3 & sleep 0.05; exit 1"}
	default:
		args = []string{"sleep", "1000"}
	}
	waits, supervised := slices.Contains(args, "-w"), args[0] == "-s"
	began := time.Now()
	var log string
	var tool *box.Tool
	if supervised {
		tool, log = w.supervisedStart(s, args...)
	} else {
		tool = w.daemonize(s, args...)
	}
	status, output := tool.Result()
	w.count(fmt.Sprintf("start: status %d", status))
	switch {
	case status == 0 && supervised:
		w.ranSupervised(pidIn(output, "running (pid "), began, log, output)
	case status == 0:
		w.ran(pidIn(output, "running (pid "), began, output)
	case status == 1:
	case status == 3 && waits: // it ends, or somebody else has ended it
	case supervised && cutShort(status, output):
	default:
		w.broken("start %v: status %d: %s", args, status, output)
	}
	if supervised {
		os.Remove(log)
	}
}

// daemonize begins a start.
func (w *worker) daemonize(s *slot, args ...string) *box.Tool {
	w.mu.Lock()
	w.serial++
	op := fmt.Sprintf("OP=%d.%d.%d", s.number, s.generation, w.serial)
	w.mu.Unlock()
	argv := append([]string{w.bin + "/daemonize", "-vp", s.file, "-E", s.tag()}, args...)
	tool, err := w.init.Tool([]string{op}, argv...)
	if err != nil {
		w.broken("%v", err)
	}
	return tool
}

// ran makes sure that a process was there, and what it was to be.
func (w *worker) ran(pid int, began time.Time, output string) {
	if pid == 0 {
		w.broken("start: status 0, and no PID in %q", output)
	}
	for i := 0; i < 100; i++ { // it may be about to be reaped
		if w.seen(pid, began) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.broken("start: status 0, and %d never was its command: %s", pid, output)
}

// seen tells whether a process is a command, or was one when init reaped it.
func (w *worker) seen(pid int, began time.Time) bool {
	if p, err := box.Stat(pid); err == nil && (p.Comm == "sleep" || p.Comm == "sh") {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.ended[pid]
	return ok && e.when.After(began) && (e.name == "sleep" || e.name == "sh")
}

// pidIn is the number after the last occurrence of a text.
func pidIn(output, text string) (pid int) {
	if i := strings.LastIndex(output, text); i >= 0 {
		fmt.Sscanf(output[i+len(text):], "%d", &pid)
	}
	return pid
}

func (w *worker) pidkill(s *slot, args ...string) *box.Tool {
	tool, err := w.init.Tool(nil, append(append([]string{w.bin + "/pidkill"}, args...), s.file)...)
	if err != nil {
		w.broken("%v", err)
	}
	return tool
}

// ways to stop. The last one would end a daemonize that leads the session and
// has not ended yet, so it is for those who are alone.
var ways = [][]string{{"-v", "-t", "0.2"}, {"-v9"}, {"-v", "-t", "0.2", "-T"}, {"-v", "-t", "0.2", "-S"}}

func (w *worker) stop(s *slot) {
	way := ways[w.IntN(len(ways)-1)]
	began := ticks()
	commands, parents := w.family(s)
	status, output := w.pidkill(s, way...).Result()
	w.count(fmt.Sprintf("stop: status %d", status))
	if status == 4 && strings.Contains(output, ": empty") {
		return // of a start that was killed
	}
	if hasEscaped(status, output) && !slices.Contains(way, "-T") {
		return // too late for the group
	}
	if status != 0 {
		w.broken("stop %v: status %d: %s", way, status, output)
	}
	for _, line := range strings.Split(output, "\n") {
		if !strings.Contains(line, " is gone after ") {
			continue
		}
		group, supervisor := pidIn(line, ": group "), pidIn(line, ": supervisor ")
		for _, p := range box.Alive(w.victimPIDs()...) {
			if (group != 0 && p.PGID == group || p.PID == supervisor) && p.Start < began {
				w.broken("stop %v: %q, and there is %s", way, line, box.Names(p))
			}
		}
	}
	w.checkStopped(commands, parents, fmt.Sprintf("stop %v: %s", way, output))
}

// ticks is the time on the clock of start times.
func ticks() int {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	return int(now.Nano() / int64(box.Tick))
}

func (w *worker) ask(s *slot) {
	before := w.commands(s.tag())
	status, output := w.pidkill(s, "-0").Result()
	w.count(fmt.Sprintf("ask: status %d", status))
	if status < 0 || status == 2 || status > 4 {
		w.broken("ask: status %d: %s", status, output)
	}
	for _, p := range before {
		if status != 0 && w.lives(p) {
			w.broken("ask: status %d: %s\nand there is %s", status, output, box.Names(p))
		}
	}
}

// killDaemon kills the process that the pidfile names, or all of its kind.
func (w *worker) killDaemon(s *slot) {
	text, _ := os.ReadFile(s.file)
	pid, err := pidOf(text)
	all := w.IntN(2) == 0
	w.count("kill a daemon")
	if err != nil {
		return
	}
	h, err := box.Pin(pid)
	if err != nil {
		return
	}
	defer h.Close()
	if !marked(pid, s.tag()) {
		return
	}
	h.Signal(unix.SIGKILL)
	if all {
		for _, p := range w.commands(s.tag()) {
			if p.PGID == pid {
				kill(p.PID, s.tag())
			}
		}
	}
	h.Wait(box.Patience) // or it would seem to live for a moment
}

// pidOf is the number in a pidfile. While a shorter one is written, more
// newlines may follow.
func pidOf(text []byte) (int, error) { return strconv.Atoi(strings.TrimRight(string(text), "\n")) }

// kill ends a process by number, if it still is one of ours.
func kill(pid int, tag string) {
	if h, err := box.Pin(pid); err == nil {
		if marked(pid, tag) {
			h.Signal(unix.SIGKILL)
			h.Wait(box.Patience)
		}
		h.Close()
	}
}

// marked tells whether a process has this in its environment.
func marked(pid int, mark string) bool {
	return slices.Contains(box.Environ(pid), mark)
}

// commands are the live processes with a tag, but for escapees.
func (w *worker) commands(tag string) (rows []box.Process) {
	for _, p := range box.Alive(w.victimPIDs()...) {
		if !starter(p) && marked(p.PID, tag) && !marked(p.PID, escapee) {
			rows = append(rows, p)
		}
	}
	return rows
}

// starter tells whether a process is daemonize, or its copy, which for a moment
// bears the name of the link it was started by.
func starter(p box.Process) bool { return p.Comm == "daemonize" || p.Comm == "exe" }

// killStart kills daemonize at some moment of a start, and waits for its copy,
// which then is on its own.
func (w *worker) killStart(s *slot) {
	args := [][]string{{"sleep", "1000"}, {"-w", "0.03", "sleep", "1000"}, {"-s", "-r", "sleep", "1000"}}[w.IntN(3)]
	pause := time.Duration(w.Float64() * w.Float64() * float64(10*time.Millisecond))
	tool := w.daemonize(s, args...)
	time.Sleep(pause)
	unix.Kill(tool.PID, unix.SIGKILL)
	status, output := tool.Result()
	w.count("kill a start")
	if status > 1 && status != 3 && !(args[0] == "-s" && cutShort(status, output)) {
		w.broken("a start to be killed: status %d: %s", status, output)
	}
}

// killStop kills pidkill.
func (w *worker) killStop(s *slot) {
	pause := time.Duration(w.Float64() * w.Float64() * float64(10*time.Millisecond))
	tool := w.pidkill(s, "-v", "-t", "0.2")
	time.Sleep(pause)
	unix.Kill(tool.PID, unix.SIGKILL)
	tool.Result()
	w.count("kill a stop")
}

// quiet waits until no start of the slot is under way: copies go on when the
// daemonize that waits for them was killed. Supervisors stay.
func (w *worker) quiet(s *slot) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		busy := false
		for _, p := range box.Alive(w.victimPIDs()...) {
			// One that shows no environment is in the middle of execve(2), for
			// whatever slot, and may have its new name already.
			env := box.Environ(p.PID)
			busy = busy || len(env) == 0 || starter(p) && s.owns(env) && !reported(p)
		}
		if !busy {
			return
		}
	}
	w.broken("a start that does not end")
}

// owns tells whether a process of daemonize works for the slot's generation.
func (s *slot) owns(env []string) bool {
	prefix := fmt.Sprintf("OP=%d.%d.", s.number, s.generation)
	return slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, prefix) })
}

// stopAlone is a stop that nobody else interferes with: then nothing is left.
func (w *worker) stopAlone(s *slot) {
	w.quiet(s)
	way := ways[w.IntN(len(ways))]
	status, output := w.pidkill(s, way...).Result()
	if status == 4 && strings.HasSuffix(output, ": empty") {
		status, output = w.pidkill(s, "-f").Result()
	}
	if hasEscaped(status, output) {
		status, output = w.pidkill(s, "-T").Result()
	}
	w.count(fmt.Sprintf("stop, alone: status %d", status))
	if status != 0 {
		w.broken("stop %v, alone: status %d: %s", way, status, output)
	}
	if left := w.commands(s.tag()); len(left) > 0 {
		w.broken("stop %v, alone: %s\nand there is %s", way, output, box.Names(left...))
	}
	if _, err := os.Lstat(s.file); err == nil {
		w.broken("stop %v, alone: %s\nand there is the pidfile", way, output)
	}
	for _, p := range box.Alive(w.victimPIDs()...) {
		if !starter(p) || !s.owns(box.Environ(p.PID)) {
			continue
		}
		// One that lost against the daemon may have said so and not ended.
		h, err := box.Pin(p.PID)
		if err == nil && !h.Wait(5*time.Second) {
			w.broken("stop %v, alone: %s\nand there is a supervisor: %s", way, output, box.Names(p))
		}
		h.Close()
	}
}

// startAlone is a start that nobody else interferes with, of a pidfile that
// nobody uses: then it runs.
func (w *worker) startAlone(s *slot) {
	status, output := w.daemonize(s, "sleep", "1000").Result()
	w.count(fmt.Sprintf("start, alone: status %d", status))
	if status != 0 {
		w.broken("start, alone: status %d: %s", status, output)
	}
	pid := pidIn(output, "running (pid ")
	running := w.commands(s.tag())
	for i := 0; len(running) == 0 && i < 100; i++ {
		// execve(2) is through for daemonize before the new environment shows.
		time.Sleep(time.Millisecond)
		running = w.commands(s.tag())
	}
	text, _ := os.ReadFile(s.file)
	if len(running) != 1 || running[0].PID != pid || string(text) != fmt.Sprintf("%d\n", pid) {
		w.broken("start, alone: %s\nand there run: %s; pidfile %q", output, box.Names(running...), text)
	}
	if status, output := w.daemonize(s, "sleep", "1000").Result(); status != 1 {
		w.broken("a second start, alone: status %d: %s", status, output)
	}
	if status, output := w.pidkill(s, "-0").Result(); status != 0 {
		w.broken("ask, alone: status %d: %s", status, output)
	}
}

// checkSlot looks for two daemons of one pidfile.
func (w *worker) checkSlot(s *slot) {
	running := w.commands(s.tag())
	for i, p := range running {
		for _, q := range running[:i] {
			if p.PGID != q.PGID {
				w.checkPair(s, p, q)
			}
		}
	}
}

// checkPair makes sure that two processes do not both live: a list is no
// snapshot, and somebody who was killed takes a moment to end.
func (w *worker) checkPair(s *slot, p, q box.Process) {
	a, err := box.Pin(p.PID)
	if err != nil {
		return
	}
	defer a.Close()
	b, err := box.Pin(q.PID)
	if err != nil {
		return
	}
	defer b.Close()
	if a.Start != p.Start || b.Start != q.Start || a.Wait(300*time.Millisecond) || b.Wait(0) {
		return
	}
	text, _ := os.ReadFile(s.file)
	w.broken("two daemons of pidfile %d: %s; it says %q", s.number, box.Names(p, q), text)
}
