// Daemonize runs a command as a daemon: a process group of its own in a
// session of its own, which its locked pidfile names.
package main

import (
	"errors"
	"fmt"
	"io"
	"math"
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
	if fd, ok := inRole(stageRole, os.Args[0]); ok && len(args) > 2 {
		return secondStage(fd, args)
	}
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
	fd, isCopy := inRole(copyRole, os.Args[0])
	result, status := result(fd), posix.StatusOK
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

// name is what messages about the command begin with.
func (c *config) name() string { return posix.Escape(c.command[0]) }

// stays tells whether the command is watched at all after its start.
func (c *config) stays() bool { return c.waits() || c.supervised }

func parse(args []string) (*config, error) {
	c := &config{dir: "/", wait: -1, ready: -1}
	given, command, _, err := posix.Getopt(options, args)
	if err != nil {
		return nil, err
	}
	c.command = command
	flags := map[byte]*bool{
		'a': &c.appending, 'f': &c.foreground, 'h': &c.help, 'q': &c.quiet, 'r': &c.respawn,
		's': &c.supervised, 't': &c.truncate, 'V': &c.version, 'v': &c.verbose,
	}
	files := map[byte]*string{
		'c': &c.dir, 'e': &c.stderr, 'i': &c.stdin, 'l': &c.lockfile, 'o': &c.stdout, 'p': &c.pidfile,
	}
	for _, o := range given {
		switch o.Letter {
		default:
			*flags[o.Letter] = true
		case 'c', 'e', 'i', 'l', 'o', 'p':
			*files[o.Letter], err = path(o)
		case 'E':
			if c.env = append(c.env, o.Arg); strings.IndexByte(o.Arg, '=') < 1 {
				err = fmt.Errorf("%s: expected NAME=VALUE", posix.Escape(o.Arg))
			}
		case 'k':
			var fd int
			fd, err = number(o.Arg, 10, 0, math.MaxInt32, "a descriptor's number")
			c.keep = append(c.keep, fd)
		case 'm':
			c.umask, err = number(o.Arg, 8, 0, 0o777, "an octal mask up to 777")
		case 'n':
			c.ready, err = posix.ParseDuration(o.Arg)
		case 'R':
			c.limit, err = number(o.Arg, 10, 1, math.MaxInt32, "a number of failures")
		case 'u':
			if c.user = o.Arg; o.Arg == "" { // a script's unset variable
				err = errors.New("an empty user name")
			}
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

// about says what an error is about, as all messages do; nil stays nil.
func about(object string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", posix.Escape(object), err)
}

// number reads an argument that is a number of that base, from least to most.
func number(arg string, base int, least, most uint64, what string) (int, error) {
	n, err := strconv.ParseUint(arg, base, 32)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s: expected %s", posix.Escape(arg), what)
	}
	return int(n), nil
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
