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

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

const usage = "usage: pidkill [options] pidfile ...\n       pidkill -g [options] pgid ..."

const help = usage + `
End each daemon's process group, wait until nothing is left of it, and remove
the pidfile.

  -t, --timeout TIME    how long to wait after TERM before KILL (default 10)
  -r, --retry SCHEDULE  signals and waits (default TERM/10/KILL/5); what
                        follows "forever" is repeated
  -9, --kill            the same as -r KILL/5
  -s, --signal SIG      send SIG once, to the daemon's process, and do nothing else
  -a, --all             with -s: to every process of the group
  -g, --group           operands are process group IDs
  -S, --session         the whole session
  -T, --tree            the group, and all descendants that left it
  -L, --leader          the daemon's process alone
  -0, --status          send nothing; tell whether it runs
  -m, --must-run        not running is status 1
  -n, --dry-run         say who would get which signal
  -f, --force           skip the identity and ownership checks
  -v, --verbose         say what is done
  -q, --quiet           say nothing but errors
  -h, --help            print this
  -V, --version         print the version
`

var options = []posix.Option{
	{Letter: '0', Long: "status"},
	{Letter: '9', Long: "kill"},
	{Letter: 'a', Long: "all"},
	{Letter: 'f', Long: "force"},
	{Letter: 'g', Long: "group"},
	{Letter: 'h', Long: "help"},
	{Letter: 'L', Long: "leader"},
	{Letter: 'm', Long: "must-run"},
	{Letter: 'n', Long: "dry-run"},
	{Letter: 'q', Long: "quiet"},
	{Letter: 'r', Long: "retry", Arg: true},
	{Letter: 'S', Long: "session"},
	{Letter: 's', Long: "signal", Arg: true},
	{Letter: 'T', Long: "tree"},
	{Letter: 't', Long: "timeout", Arg: true},
	{Letter: 'V', Long: "version"},
	{Letter: 'v', Long: "verbose"},
}

// scope is how far a kill reaches.
type scope byte

const (
	theGroup   scope = 'g'
	theSession scope = 'S'
	theTree    scope = 'T'
	theProcess scope = 'L'
)

// job is a command line, and where its messages go.
type job struct {
	operands  []string
	plan      schedule
	signal    unix.Signal // with -s
	scope     scope
	groups    bool
	status    bool
	mustRun   bool
	dryRun    bool
	force     bool
	verbose   bool
	quiet     bool
	help      bool
	version   bool
	out, errs io.Writer
	progress  progress
}

func main() { os.Exit(run(os.Args[1:], posix.FD(1), posix.FD(2))) }

func run(args []string, stdout, stderr io.Writer) int {
	posix.IgnoreFileSizeSignal()
	posix.QuitQuietly()
	j, err := parse(args)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "pidkill: %v\n%s\n", err, usage)
		return posix.StatusUsage
	case j.help:
		io.WriteString(stdout, help)
		return posix.StatusOK
	case j.version:
		fmt.Fprintf(stdout, "pidkill (procgroup) %s\n", posix.Version)
		return posix.StatusOK
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

// conclude reports what became of each operand; the largest status counts.
func (j *job) conclude(targets []*target) (status int) {
	for _, t := range targets {
		switch {
		case t.err == nil:
		case errors.Is(t.err, errNotRunning) && t.ended:
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

func (j *job) tellNotRunning(t *target) {
	if !t.told && !t.ended {
		j.note(t, "%v", t.err)
	}
	t.told = true
}

// notRunning is the status for a daemon that does not run.
func (j *job) notRunning(t *target) int {
	switch {
	case j.status && t.file == nil:
		return posix.StatusNoFile
	case j.status || j.mustRun || j.signal != 0 || t.daemon != nil && t.daemon.Answer == posix.Between:
		return posix.StatusNotRunning
	}
	return posix.StatusOK
}

// note says something about an operand, unless -q.
func (j *job) note(t *target, format string, args ...any) {
	if !j.quiet {
		j.progress.clear(j.errs)
		fmt.Fprintf(j.errs, "pidkill: %s: %s\n", t.name, fmt.Sprintf(format, args...))
	}
}

// say is a note with -v.
func (j *job) say(t *target, format string, args ...any) {
	if j.verbose {
		j.note(t, format, args...)
	}
}

func parse(args []string) (*job, error) {
	given, operands, guarded, err := posix.Getopt(options, args)
	if err != nil {
		return nil, err
	}
	has := func(letter byte) bool {
		return slices.ContainsFunc(given, func(o posix.Given) bool { return o.Letter == letter })
	}
	j := &job{
		operands: operands,
		scope:    theGroup,
		groups:   has('g'),
		status:   has('0'),
		mustRun:  has('m'),
		dryRun:   has('n'),
		force:    has('f'),
		verbose:  has('v'),
		quiet:    has('q'),
		help:     has('h'),
		version:  has('V'),
	}
	if has('s') && !has('g') && !has('a') {
		j.scope = theProcess // as a reload is meant
	}
	j.plan, _ = parseSchedule("TERM/10/KILL/5")
	reach := byte(0)
	for _, o := range given {
		switch o.Letter {
		case 'L', 'S', 'T':
			if reach != 0 && reach != o.Letter {
				return nil, errors.New("-L, -S and -T: choose one")
			}
			reach = o.Letter
			j.scope = scope(o.Letter)
		case '9':
			j.plan, _ = parseSchedule("KILL/5")
		case 'r':
			j.plan, err = parseSchedule(o.Arg)
		case 's':
			j.signal, err = posix.ParseSignal(o.Arg)
		case 't':
			if _, err = posix.ParseDuration(o.Arg); err == nil {
				j.plan, _ = parseSchedule("TERM/" + o.Arg + "/KILL/5")
			}
		}
		if err != nil {
			return nil, fmt.Errorf("-%c: %w", o.Letter, err)
		}
	}
	if j.help || j.version {
		return j, nil
	}
	stray, isStray := posix.Stray(operands, guarded)
	switch plans := has('t') || has('r') || has('9'); {
	case isStray:
		return nil, fmt.Errorf("%s: options come before the operands", posix.Escape(stray))
	case len(operands) == 0 && j.groups:
		return nil, errors.New("which process group?")
	case len(operands) == 0:
		return nil, errors.New("which pidfile?")
	case slices.Contains(operands, ""):
		return nil, errors.New("an operand is empty")
	case has('t') && has('r'), has('t') && has('9'), has('r') && has('9'):
		return nil, errors.New("-t, -r and -9: choose one")
	case j.signal != 0 && plans:
		return nil, errors.New("-s sends one signal: -t, -r and -9 make no sense with it")
	case j.status && (plans || j.signal != 0 || j.dryRun):
		return nil, errors.New("-0 sends nothing: -n, -r, -s, -t and -9 make no sense with it")
	case has('a') && j.signal == 0:
		return nil, errors.New("-a goes with -s: without it the whole group is ended anyway")
	case has('a') && reach != 0:
		return nil, fmt.Errorf("-a and -%c: choose one", reach)
	case j.groups && j.scope == theProcess:
		return nil, errors.New("-g and -L: choose one")
	case j.verbose && j.quiet:
		return nil, errors.New("-v and -q: choose one")
	}
	for _, word := range operands {
		if err := j.checkOperand(word); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// checkOperand tells a number from a pidfile, before anything is done.
func (j *job) checkOperand(word string) error {
	number := strings.Trim(word, "0123456789") == ""
	var st unix.Stat_t
	switch {
	case j.groups && !number:
		return fmt.Errorf("%s: not a process group ID", posix.Escape(word))
	case !j.groups && number && unix.Lstat(word, &st) == unix.ENOENT:
		return fmt.Errorf("%s: a number: did you mean -g %s?", word, word)
	}
	return nil
}
