package main

import (
	"fmt"
	"io"
	"strings"
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

func (p *progress) show(w io.Writer, hunts []*hunt, deadline time.Time, next unix.Signal) {
	if !p.wanted || len(hunts) == 0 || time.Since(p.began) < time.Second {
		return
	}
	line := "waiting for " + hunts[0].prey.name
	if n := len(hunts) - 1; n > 0 {
		line += fmt.Sprintf(" and %d more", n)
	}
	if alive, err := hunts[0].prey.living(); err == nil && len(alive) > 0 {
		line += ": " + posix.Describe(alive[0])
		if n := len(alive) - 1; n > 0 {
			line += fmt.Sprintf(" and %d more", n)
		}
	}
	left := max(0, time.Until(deadline).Seconds())
	if next != 0 {
		line += fmt.Sprintf("; %s in %.0f s", posix.SignalName(next), left)
	} else {
		line += fmt.Sprintf("; giving up in %.0f s", left)
	}
	if size, err := unix.IoctlGetWinsize(2, unix.TIOCGWINSZ); err == nil && size.Col > 1 && len(line) >= int(size.Col) {
		line = strings.ToValidUTF8(line[:size.Col-1], "")
	}
	fmt.Fprint(w, eraseLine, line)
	p.shown = true
}

// clear makes room for other messages.
func (p *progress) clear(w io.Writer) {
	if p.shown {
		fmt.Fprint(w, eraseLine)
		p.shown = false
	}
}
