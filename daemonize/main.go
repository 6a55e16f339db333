// Daemonize runs a command as a daemon: a process group of its own in a
// session of its own, which its locked pidfile names.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

const usage = "usage: daemonize [options] [--] command [argument ...]"

const help = usage + `
Run a command as a daemon, and return once it really runs.

  -p, --pidfile FILE     write its PID here, locked while it lives
  -l, --lockfile FILE    single instance by this lock alone
  -o, --stdout FILE      standard output (default /dev/null); '|command' feeds
                         a program
  -e, --stderr FILE      standard error (default: where standard output goes)
  -i, --stdin FILE       standard input (default /dev/null)
  -t, --truncate         empty the -o and -e files first
  -a, --append           append to them (the default)
  -c, --chdir DIR        working directory (default /)
  -m, --umask MODE       file creation mask, octal (default 0)
  -u, --user USER[:GROUP]  run as this user, names or numbers
  -E, --env NAME=VALUE   add to the environment; repeatable
  -k, --keep-fd N        leave descriptor N open; repeatable
  -w, --wait TIME        return after TIME, if it still runs then
  -n, --ready TIME       return when it says READY=1, at most after TIME
  -f, --foreground       do not detach: become the command
  -s, --supervise        stay as its parent until it ends, remove the pidfile
  -r, --respawn          with -s: start it again when it fails
  -R, --limit N          with -r: give up after N failures in a row
  -v, --verbose          say what is done
  -q, --quiet            say nothing but errors
  -h, --help             print this
  -V, --version          print the version
`

var options = []posix.Option{
	{Letter: 'a', Long: "append"},
	{Letter: 'c', Long: "chdir", Arg: true},
	{Letter: 'E', Long: "env", Arg: true},
	{Letter: 'e', Long: "stderr", Arg: true},
	{Letter: 'f', Long: "foreground"},
	{Letter: 'h', Long: "help"},
	{Letter: 'i', Long: "stdin", Arg: true},
	{Letter: 'k', Long: "keep-fd", Arg: true},
	{Letter: 'l', Long: "lockfile", Arg: true},
	{Letter: 'm', Long: "umask", Arg: true},
	{Letter: 'n', Long: "ready", Arg: true},
	{Letter: 'o', Long: "stdout", Arg: true},
	{Letter: 'p', Long: "pidfile", Arg: true},
	{Letter: 'q', Long: "quiet"},
	{Letter: 'R', Long: "limit", Arg: true},
	{Letter: 'r', Long: "respawn"},
	{Letter: 's', Long: "supervise"},
	{Letter: 't', Long: "truncate"},
	{Letter: 'u', Long: "user", Arg: true},
	{Letter: 'V', Long: "version"},
	{Letter: 'v', Long: "verbose"},
	{Letter: 'w', Long: "wait", Arg: true},
}

// config is a command line.
type config struct {
	pidfile, lockfile     string
	stdin, stdout, stderr string // "" is the default
	truncate, appending   bool
	dir                   string
	umask                 int
	user                  string
	env                   []string
	keep                  []int
	wait, ready           time.Duration // -1: not asked for
	foreground            bool
	supervised, respawn   bool
	limit                 int // 0: never give up
	verbose, quiet        bool
	help, version         bool

	command []string
}

func main() { os.Exit(run(os.Args[1:], posix.FD(1), posix.FD(2))) }

// run is daemonize below main. Where the caller leads a process group, which
// setsid(2) does not allow, or where somebody has to wait for the command, a
// copy of daemonize does the work in a new session and run waits for it.
func run(args []string, stdout, stderr io.Writer) int {
	posix.IgnoreFileSizeSignal()
	c, err := parse(args)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "daemonize: %v\n%s\n", err, usage)
		return posix.StatusUsage
	case c.help:
		io.WriteString(stdout, help)
		return posix.StatusOK
	case c.version:
		fmt.Fprintf(stdout, "daemonize (procgroup) %s\n", posix.Version)
		return posix.StatusOK
	}
	result, isCopy := copyOf(os.Args[0])
	status := posix.StatusOK
	if !isCopy {
		err = c.checkKept()
	}
	switch {
	case err != nil:
	case !isCopy && !c.foreground && (c.stays() || unix.Getpgrp() == unix.Getpid()):
		status, err = c.detach()
	default:
		if !isCopy { // which is not of the terminal, and may be told by signals
			posix.QuitQuietly()
		}
		err = c.start(stderr, func() { result.tell(status) })
	}
	if sig := (interruption{}); errors.As(err, &sig) {
		die(unix.SIGTERM)
	}
	if err != nil {
		status = posix.Report(stderr, "daemonize", err, posix.StatusFailed)
	}
	if isCopy && (err != nil || !c.supervised) { // a supervisor has told
		result.tell(status)
	}
	return status
}

// waits tells whether daemonize returns only when the command has run a while.
func (c *config) waits() bool { return c.wait >= 0 || c.ready >= 0 }

// stays tells whether the command is watched at all after its start.
func (c *config) stays() bool { return c.waits() || c.supervised }

func parse(args []string) (*config, error) {
	c := &config{dir: "/", wait: -1, ready: -1}
	given, command, _, err := posix.Getopt(options, args)
	if err != nil {
		return nil, err
	}
	c.command = command
	for _, o := range given {
		switch o.Letter {
		case 'a':
			c.appending = true
		case 'c':
			c.dir, err = path(o)
		case 'E':
			if strings.IndexByte(o.Arg, '=') < 1 {
				return nil, fmt.Errorf("-E: %s: expected NAME=VALUE", posix.Escape(o.Arg))
			}
			c.env = append(c.env, o.Arg)
		case 'e':
			c.stderr, err = path(o)
		case 'f':
			c.foreground = true
		case 'h':
			c.help = true
		case 'i':
			c.stdin, err = path(o)
		case 'k':
			var n uint64
			if n, err = strconv.ParseUint(o.Arg, 10, 31); err != nil {
				return nil, fmt.Errorf("-k: %s: expected a descriptor's number", posix.Escape(o.Arg))
			}
			c.keep = append(c.keep, int(n))
		case 'l':
			c.lockfile, err = path(o)
		case 'm':
			var mask uint64
			if mask, err = strconv.ParseUint(o.Arg, 8, 32); err != nil || mask > 0o777 {
				return nil, fmt.Errorf("-m: %s: expected an octal mask up to 777", posix.Escape(o.Arg))
			}
			c.umask = int(mask)
		case 'n':
			c.ready, err = posix.ParseDuration(o.Arg)
		case 'o':
			c.stdout, err = path(o)
		case 'p':
			c.pidfile, err = path(o)
		case 'q':
			c.quiet = true
		case 'R':
			var n uint64
			if n, err = strconv.ParseUint(o.Arg, 10, 31); err != nil || n == 0 {
				return nil, fmt.Errorf("-R: %s: expected a number of failures", posix.Escape(o.Arg))
			}
			c.limit = int(n)
		case 'r':
			c.respawn = true
		case 's':
			c.supervised = true
		case 't':
			c.truncate = true
		case 'u':
			if c.user = o.Arg; o.Arg == "" { // a script's unset variable
				err = errors.New("an empty user name")
			}
		case 'V':
			c.version = true
		case 'v':
			c.verbose = true
		case 'w':
			c.wait, err = posix.ParseDuration(o.Arg)
		}
		if err != nil {
			return nil, fmt.Errorf("-%c: %w", o.Letter, err)
		}
	}
	if c.help || c.version {
		return c, nil
	}
	return c, c.check()
}

// check holds the combinations that make no sense.
func (c *config) check() error {
	switch {
	case len(c.command) == 0:
		return fmt.Errorf("which command?")
	case c.truncate && c.appending:
		return fmt.Errorf("-t and -a: choose one")
	case c.truncate && c.stdout == "" && c.stderr == "":
		return fmt.Errorf("-t: there is no -o or -e file to empty")
	case c.verbose && c.quiet:
		return fmt.Errorf("-v and -q: choose one")
	case c.wait >= 0 && c.ready >= 0:
		return fmt.Errorf("-w and -n: choose one")
	case c.foreground && c.stays():
		return fmt.Errorf("-f leaves nobody to do what -w, -n and -s want")
	case c.foreground && (feeds(c.stdout) || feeds(c.stderr)):
		return fmt.Errorf("-f leaves nobody to start a program for the output")
	case c.respawn && !c.supervised:
		return fmt.Errorf("-r needs -s")
	case c.limit > 0 && !c.respawn:
		return fmt.Errorf("-R needs -r")
	}
	if c.lockfile == c.pidfile { // old scripts do that; the pidfile has its lock
		c.lockfile = ""
	}
	return nil
}

func path(o posix.Given) (string, error) {
	if o.Arg == "" {
		return "", errors.New("an empty file name")
	}
	if o.Arg == "|" && (o.Letter == 'o' || o.Letter == 'e') {
		return "", errors.New("|: which program?")
	}
	return o.Arg, nil
}
