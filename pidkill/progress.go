package main

import (
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// progress is a line on the terminal that says who is waited for. It is not
// shown in the first second, and never where nobody looks.
type progress struct {
	wanted, shown bool
	began         time.Time
}

const eraseLine = "\r\x1b[K"

func newProgress(quiet bool) progress {
	_, err := unix.IoctlGetTermios(2, unix.TCGETS)
	return progress{wanted: err == nil && !quiet, began: time.Now()}
}

func (p *progress) show(w io.Writer, targets []*target, deadline time.Time, next string) {
	if !p.wanted || len(targets) == 0 || time.Since(p.began) < time.Second {
		return
	}
	t := targets[0]
	line := "waiting for " + t.set.name
	if h := t.watch.Member; h != nil { // else it has ended just now
		line += ": " + posix.Describe(h.PID)
	}
	if n := len(targets) - 1; n > 0 {
		line += fmt.Sprintf(" and %d more", n)
	}
	line += fmt.Sprintf("; %s in %.0f s", next, time.Until(deadline).Seconds())
	if size, err := unix.IoctlGetWinsize(2, unix.TIOCGWINSZ); err == nil && size.Col > 1 {
		line = string(posix.Clip([]byte(line), int(size.Col)-1))
	}
	fmt.Fprint(w, eraseLine, line)
	p.shown = true
}

// erase makes room for other messages.
func (p *progress) erase(w io.Writer) {
	if p.shown {
		fmt.Fprint(w, eraseLine)
		p.shown = false
	}
}
