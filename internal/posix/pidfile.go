package posix

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// MaxPID is the largest PID that Linux can be set to give out: proc(5),
// /proc/sys/kernel/pid_max.
const MaxPID = 1 << 22

// maxContent bounds what is read of a pidfile. No number needs more.
const maxContent = 128

// Errors of ParsePID.
var (
	ErrEmpty     = errors.New("empty")
	ErrMalformed = errors.New("not a pidfile: expected one number")
	ErrRange     = errors.New("no daemon's process ID")
)

// ParsePID reads a pidfile's content: one decimal number from 2 to MaxPID,
// which blanks, CR and newlines may surround. ErrEmpty means that there is
// nothing but those. ErrRange means that it is a number, but 0, 1, negative or
// too large: kill(2) would take some of those for "everybody".
func ParsePID(content []byte) (int, error) {
	text := bytes.Trim(content, " \t\r\n")
	switch {
	case len(content) > maxContent:
		return 0, ErrMalformed
	case len(text) == 0:
		return 0, ErrEmpty
	}
	digits := text
	if text[0] == '-' || text[0] == '+' {
		digits = text[1:]
	}
	if len(digits) == 0 || len(bytes.Trim(digits, "0123456789")) > 0 {
		return 0, fmt.Errorf("%w, found %s", ErrMalformed, quote(content))
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || text[0] == '+' || n < 2 || n > MaxPID {
		return 0, fmt.Errorf("%s: %w", text, ErrRange)
	}
	return n, nil
}

// quote shows the beginning of a content that was not expected.
func quote(content []byte) string {
	if len(content) > 24 {
		return "\"" + Escape(string(content[:24])) + "\"..."
	}
	return "\"" + Escape(string(content)) + "\""
}
