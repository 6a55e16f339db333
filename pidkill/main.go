// Pidkill ends the process group that a pidfile names, waits until nothing of
// it is left, and removes the pidfile.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// scope is how far a kill reaches: the letter of the option that says so.
type scope byte

const (
	theGroup   scope = 0 // no option
	theSession scope = 'S'
	theTree    scope = 'T'
	theProcess scope = 'L'
)

// job is a command line, and where its messages go.
type job struct {
	operands []string
	timeout  time.Duration // of -t; -1: not given
	kill     bool          // -9
	plan     schedule      // of -r; parse then makes it what -t, -9 or the default says
	signal   unix.Signal   // of -s; 0: not given
	all      bool          // with a signal: to every process of the group
	scope    scope
	pgids    bool // -g: the operands are process group IDs
	status   bool // -0
	mustRun  bool
	dryRun   bool
	force    bool
	verbose  bool
	quiet    bool

	out, errs io.Writer
	progress  progress
}

// utility is pidkill with the options that fill j.
func (j *job) utility() *posix.Utility {
	return &posix.Utility{
		Name:     "pidkill",
		Usage:    "usage: pidkill [options] pidfile ...\n       pidkill -g [options] pgid ...",
		Purpose:  "End each daemon's process group, wait until nothing is left of it, and remove\nthe pidfile.",
		Operands: "the operands",
		Options: []posix.Option{
			posix.Opt("-t, --timeout TIME", "how long to wait after TERM before KILL (default 10)", posix.Value(&j.timeout, posix.ParseDuration)),
			posix.Opt("-r, --retry SCHEDULE", "signals and waits (default TERM/10/KILL/5); what\nfollows \"forever\" is repeated", posix.Value(&j.plan, parseSchedule)),
			posix.Opt("-9, --kill", "the same as -r KILL/5", posix.Flag(&j.kill)),
			posix.Opt("-s, --signal SIG", "send SIG once, to the daemon's process, and do nothing else", posix.Value(&j.signal, posix.ParseSignal)),
			posix.Opt("-a, --all", "with -s: to every process of the group", posix.Flag(&j.all)),
			posix.Opt("-g, --group", "operands are process group IDs", posix.Flag(&j.pgids)),
			posix.Opt("-S, --session", "the whole session", j.reach(theSession)),
			posix.Opt("-T, --tree", "the group, and all descendants that left it", j.reach(theTree)),
			posix.Opt("-L, --leader", "the daemon's process alone", j.reach(theProcess)),
			posix.Opt("-0, --status", "send nothing; tell whether it runs", posix.Flag(&j.status)),
			posix.Opt("-m, --must-run", "not running is status 1", posix.Flag(&j.mustRun)),
			posix.Opt("-n, --dry-run", "say who would get which signal", posix.Flag(&j.dryRun)),
			posix.Opt("-f, --force", "skip the identity and ownership checks", posix.Flag(&j.force)),
			posix.Opt("-v, --verbose", "say what is done", posix.Flag(&j.verbose)),
			posix.Opt("-q, --quiet", "say nothing but errors", posix.Flag(&j.quiet)),
		},
	}
}

func main() { os.Exit(run(os.Args[1:], posix.FD(1), posix.FD(2))) }

// run is pidkill below main. It deals with as many operands at once as there
// are descriptors for. The largest status counts.
func run(args []string, stdout, stderr io.Writer) int {
	posix.IgnoreFileSizeSignal()
	posix.QuitQuietly()
	j, err := parse(args)
	if err != nil {
		return j.utility().Answer(err, stdout, stderr)
	}
	if !posix.OwnProc() {
		fmt.Fprintln(stderr, "pidkill: /proc: not mounted, or of another PID namespace")
		return posix.StatusRefused
	}
	j.out, j.errs = stdout, stderr
	status := posix.StatusOK
	for some := range slices.Chunk(j.operands, atOnce()) {
		targets := j.find(some)
		switch {
		case j.status:
			j.tell(targets)
		case j.dryRun:
			j.explain(targets)
		case j.signal != 0:
			j.signalOnce(targets)
		default:
			j.end(targets)
		}
		status = max(status, j.conclude(targets))
	}
	return status
}

// atOnce is how many operands there are descriptors for: each takes up to
// five while it is dealt with. Go has raised the limit as far as it goes.
func atOnce() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 100
	}
	return int(min(limit.Cur/8+1, 1<<20))
}

// conclude reports what became of each target, closes it, and returns the
// largest status.
func (j *job) conclude(targets []*target) (status int) {
	for _, t := range targets {
		switch {
		case t.err == nil:
		case errors.Is(t.err, errNotRunning):
			j.tellNotRunning(t)
			status = max(status, j.notRunning(t))
		default:
			err := fmt.Errorf("%s: %w", t.name, t.err)
			status = max(status, posix.Report(j.errs, "pidkill", err, posix.StatusRefused))
		}
		t.close()
	}
	return status
}

// tellNotRunning says once that a daemon does not run.
func (j *job) tellNotRunning(t *target) {
	if !t.told {
		j.note(t, "%v", t.err)
	}
	t.told = true
}

// notRunning is the status for a daemon that does not run.
func (j *job) notRunning(t *target) int {
	switch {
	case j.status && t.file == nil:
		return posix.StatusNoFile
	case j.status || j.mustRun || j.signal != 0 || j.betweenRuns(t):
		return posix.StatusNotRunning
	}
	return posix.StatusOK
}

// betweenRuns tells whether the daemon's own process alone was asked for, and its
// supervisor is about to start that again.
func (j *job) betweenRuns(t *target) bool {
	return j.scope == theProcess && t.daemon != nil && t.daemon.Answer == posix.Between
}

// note says something about an operand, unless -q.
func (j *job) note(t *target, format string, args ...any) {
	if !j.quiet {
		j.progress.erase(j.errs)
		fmt.Fprintf(j.errs, "pidkill: %s: %s\n", t.name, fmt.Sprintf(format, args...))
	}
}

// say is a note with -v.
func (j *job) say(t *target, format string, args ...any) {
	if j.verbose {
		j.note(t, format, args...)
	}
}

// parse reads a command line. Its error is for Utility.Answer.
func parse(args []string) (j *job, err error) {
	j = &job{timeout: -1}
	if j.operands, err = j.utility().Parse(args); err == nil {
		err = j.validate()
	}
	if err != nil {
		return j, err
	}
	switch {
	case j.kill:
		j.plan, _ = parseSchedule("KILL/5")
	case j.plan.steps == nil:
		j.plan, _ = parseSchedule("TERM/10/KILL/5")
		if j.timeout >= 0 {
			j.plan.steps[0].Wait = j.timeout
		}
	}
	if j.signal != 0 && j.scope == theGroup && !j.pgids && !j.all {
		j.scope = theProcess // as a reload is meant
	}
	return j, nil
}

// reach sets how far a kill reaches.
func (j *job) reach(s scope) posix.Set {
	return func(_, _ string) error {
		if j.scope != theGroup && j.scope != s {
			return errors.New("-L, -S and -T: choose one")
		}
		j.scope = s
		return nil
	}
}

// validate refuses what is missing or does not go together.
func (j *job) validate() error {
	timeout, retry := j.timeout >= 0, j.plan.steps != nil
	plans := timeout || retry || j.kill
	switch {
	case len(j.operands) == 0 && j.pgids:
		return errors.New("which process group?")
	case len(j.operands) == 0:
		return errors.New("which pidfile?")
	case slices.Contains(j.operands, ""):
		return errors.New("an operand is empty")
	case timeout && retry, timeout && j.kill, retry && j.kill:
		return errors.New("-t, -r and -9: choose one")
	case j.signal != 0 && plans:
		return errors.New("-s sends one signal: -t, -r and -9 make no sense with it")
	case j.status && (plans || j.signal != 0 || j.dryRun):
		return errors.New("-0 sends nothing: -n, -r, -s, -t and -9 make no sense with it")
	case j.all && j.signal == 0:
		return errors.New("-a goes with -s: without it the whole group is ended anyway")
	case j.all && j.scope != theGroup:
		return fmt.Errorf("-a and -%c: choose one", j.scope)
	case j.pgids && j.scope == theProcess:
		return errors.New("-g and -L: choose one")
	case j.verbose && j.quiet:
		return errors.New("-v and -q: choose one")
	}
	// A number is easily taken for a pidfile, and the reverse.
	for _, word := range j.operands {
		isNumber := strings.Trim(word, "0123456789") == ""
		var st unix.Stat_t
		switch {
		case j.pgids && !isNumber:
			return fmt.Errorf("%s: not a process group ID", posix.Escape(word))
		case !j.pgids && isNumber && unix.Lstat(word, &st) == unix.ENOENT:
			return fmt.Errorf("%s: a number: did you mean -g %s?", word, word)
		}
	}
	return nil
}
