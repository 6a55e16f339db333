package posix

import (
	"errors"
	"fmt"
	"io"
)

// Exit statuses of the suite. One number may mean one thing in each program,
// so each meaning has its name; the manuals list them in this order.
const (
	StatusOK = 0

	StatusRunning    = 1 // daemonize: already running
	StatusNotRunning = 1 // pidkill -m, -s, -0: not running
	StatusNoMatch    = 1 // pgtree: a target matched nothing

	StatusUsage = 2 // wrong options or operands

	StatusEnded    = 3 // daemonize -w, -n: the command ended too early
	StatusSurvived = 3 // pidkill: something survived
	StatusNoFile   = 3 // pidkill -0: not running, and no pidfile

	StatusRefused = 4 // pidkill, pgtree of a pidfile: refused or unknown
	StatusIO      = 4 // pgtree: the table or the output failed

	StatusTimeout    = 124 // daemonize -n: not ready in time
	StatusFailed     = 125 // daemonize itself failed
	StatusCannotExec = 126 // daemonize: the command was found, but cannot be executed
	StatusNotFound   = 127 // daemonize: the command was not found
)

// Version of the suite, stamped by the linker.
var Version = "0.0.0"

// Failure is an error together with the exit status it leads to.
type Failure struct {
	Status int
	Err    error
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Failf makes a Failure; the format is that of fmt.Errorf.
func Failf(status int, format string, args ...any) error {
	return &Failure{status, fmt.Errorf(format, args...)}
}

// Report writes "program: error" on one line and returns the error's status:
// that of the Failure in it, else otherwise. No error is StatusOK and silent.
func Report(w io.Writer, program string, err error, otherwise int) int {
	if err == nil {
		return StatusOK
	}
	fmt.Fprintf(w, "%s: %v\n", program, err)
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Status
	}
	return otherwise
}
