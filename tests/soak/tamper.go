package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"procgroup/tests/box"
)

// tamper begins a new generation: the daemon that runs loses its pidfile. It
// lives on, and nothing that happens to the new pidfile may be its end.
func (w *worker) tamper(s *slot) (old []box.Process) {
	w.quiet(s)
	w.endOld(s)
	for _, p := range w.commands(s.tag()) {
		// One that is not asleep may be about to follow a signal.
		if strings.Contains(p.Args, "sleep\x001000\x00") && p.Comm == "sleep" && p.State == 'S' {
			old = append(old, p)
		}
	}
	os.Remove(s.file)
	s.generation++
	return old
}

// endOld ends what earlier generations have left.
func (m *model) endOld(s *slot) {
	for again := true; again; {
		again = false
		for _, p := range box.Alive(m.victimPIDs()...) {
			for _, e := range box.Environ(p.PID) {
				var number, generation int
				if n, _ := fmt.Sscanf(e, "OP=%d.%d.", &number, &generation); n == 2 &&
					number == s.number && generation < s.generation {
					kill(p.PID, e)
					again = true
				}
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// checkOld makes sure that they live.
func (w *worker) checkOld(s *slot, old []box.Process, what string) {
	for _, p := range old {
		if now, err := box.Stat(p.PID); err != nil || now.Zombie() || now.Start != p.Start {
			w.broken("%s ended the daemon of a pidfile %d that is gone: %s", what, s.number, box.Names(p))
		}
	}
}

// remove deletes the pidfile under a daemon.
func (w *worker) remove(s *slot) {
	old := w.tamper(s)
	w.count("delete a pidfile")
	if status, output := w.pidkill(s).Result(); status != 0 {
		w.broken("stop without a pidfile: status %d: %s", status, output)
	}
	w.startAlone(s)
	w.stopAlone(s)
	w.checkOld(s, old, "a stop")
}

// replace puts something else in the pidfile's place.
func (w *worker) replace(s *slot) {
	old := w.tamper(s)
	kind := w.IntN(6)
	w.count(fmt.Sprintf("replace a pidfile by %s", [...]string{
		"a text", "a stranger's number", "nothing", "a link", "-1", "another's number"}[kind]))
	switch kind {
	case 0:
		w.put(s, "#!/bin/sh\n")
		w.expect(s, 125, 4, "#!/bin/sh\n")
	case 1: // a process that came to the number later
		v, err := w.init.Victim(&syscall.SysProcAttr{Setsid: w.IntN(2) == 0})
		if err != nil {
			w.broken("%v", err)
		}
		w.put(s, fmt.Sprintf("%d\n", v.PID))
		before := time.Now().Add(-5 * time.Second)
		os.Chtimes(s.file, before, before)
		if status, output := w.pidkill(s, "-0").Result(); status != 1 {
			w.broken("ask after a stranger's number: status %d: %s", status, output)
		}
		w.expectStatus(w.pidkill(s), 0, "stop by a stranger's number")
		if text, err := os.ReadFile(s.file); string(text) != fmt.Sprintf("%d\n", v.PID) {
			w.broken("after a stop by a stranger's number the pidfile says %q, %v", text, err)
		}
		w.startAlone(s)
		if v.End() {
			w.broken("a stranger on a daemon's number was signalled")
		}
	case 2:
		w.put(s, "")
		w.startAlone(s)
	case 3:
		target := filepath.Join(box.Dir, fmt.Sprintf("target.%d", s.number))
		os.WriteFile(target, []byte("30000\n"), 0o644)
		os.Symlink(target, s.file)
		w.expect(s, 125, 4, "30000\n")
	case 4:
		w.put(s, "-1\n")
		if status, output := w.pidkill(s).Result(); status != 4 {
			w.broken("stop of -1: status %d: %s", status, output)
		}
		w.startAlone(s)
	case 5: // one that nobody bears
		w.put(s, "4194304\n")
		w.startAlone(s)
	}
	w.checkOld(s, old, "a replaced pidfile")
}

func (w *worker) put(s *slot, content string) {
	if err := os.WriteFile(s.file, []byte(content), 0o644); err != nil {
		w.broken("%v", err)
	}
}

// expect has both programs look at a file that they must refuse, and takes it
// away.
func (w *worker) expect(s *slot, start, stop int, content string) {
	status, output := w.daemonize(s, "sleep", "1000").Result()
	if status != start {
		w.broken("start over what is no pidfile: status %d: %s", status, output)
	}
	if status, output = w.pidkill(s).Result(); status != stop {
		w.broken("stop by what is no pidfile: status %d: %s", status, output)
	}
	if text, err := os.ReadFile(s.file); err != nil || string(text) != content {
		w.broken("what is no pidfile has changed: %q, %v", text, err)
	}
	os.Remove(s.file)
}
