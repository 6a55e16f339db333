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

// config is a command line.
type config struct {
	pidPath, lockPath     string
	stdin, stdout, stderr string // "" is the default
	truncate, appending   bool
	dir                   string
	umask                 int
	user                  string        // as -u has it; "": the caller
	env                   []string      // NAME=VALUE, of -E
	keep                  []int         // descriptors, of -k
	wait, ready           time.Duration // -1: not asked for
	foreground            bool
	supervised, respawn   bool
	limit                 int // 0: never give up
	verbose, quiet        bool

	argv []string // the command
}

// utility is daemonize with the options that fill c.
func (c *config) utility() *posix.Utility {
	return &posix.Utility{
		Name:    "daemonize",
		Usage:   "usage: daemonize [options] [--] command [argument ...]",
		Purpose: "Run a command as a daemon, and return once it really runs.",
		Options: []posix.Option{
			posix.Opt("-p, --pidfile FILE", "write its PID here, locked while it lives", posix.Value(&c.pidPath, path)),
			posix.Opt("-l, --lockfile FILE", "single instance by this lock alone", posix.Value(&c.lockPath, path)),
			posix.Opt("-o, --stdout FILE", "standard output (default /dev/null); '|command' feeds\na program", posix.Value(&c.stdout, output)),
			posix.Opt("-e, --stderr FILE", "standard error (default: where standard output goes)", posix.Value(&c.stderr, output)),
			posix.Opt("-i, --stdin FILE", "standard input (default /dev/null)", posix.Value(&c.stdin, path)),
			posix.Opt("-t, --truncate", "empty the -o and -e files first", posix.Flag(&c.truncate)),
			posix.Opt("-a, --append", "append to them (the default)", posix.Flag(&c.appending)),
			posix.Opt("-c, --chdir DIR", "working directory (default /)", posix.Value(&c.dir, path)),
			posix.Opt("-m, --umask MODE", "file creation mask, octal (default 0)", posix.Value(&c.umask, mask)),
			posix.Opt("-u, --user USER[:GROUP]", "run as this user, names or numbers", posix.Value(&c.user, user)),
			posix.Opt("-E, --env NAME=VALUE", "add to the environment; repeatable", posix.Value(&c.env, c.variables)),
			posix.Opt("-k, --keep-fd N", "leave descriptor N open; repeatable", posix.Value(&c.keep, c.descriptors)),
			posix.Opt("-w, --wait TIME", "return after TIME, if it still runs then", posix.Value(&c.wait, posix.ParseDuration)),
			posix.Opt("-n, --ready TIME", "return when it says READY=1, at most after TIME", posix.Value(&c.ready, posix.ParseDuration)),
			posix.Opt("-f, --foreground", "do not detach: become the command", posix.Flag(&c.foreground)),
			posix.Opt("-s, --supervise", "stay as its parent until it ends, remove the pidfile", posix.Flag(&c.supervised)),
			posix.Opt("-r, --respawn", "with -s: start it again when it fails", posix.Flag(&c.respawn)),
			posix.Opt("-R, --limit N", "with -r: give up after N failures in a row", posix.Value(&c.limit, failures)),
			posix.Opt("-v, --verbose", "say what is done", posix.Flag(&c.verbose)),
			posix.Opt("-q, --quiet", "say nothing but errors", posix.Flag(&c.quiet)),
		},
	}
}

func main() { os.Exit(run(os.Args[1:], posix.FD(1), posix.FD(2))) }

// run is daemonize below main. Where the caller leads a process group, which
// setsid(2) does not allow, or where somebody has to wait for the command, a
// copy of daemonize does the work in a new session and run waits for it.
func run(args []string, stdout, stderr io.Writer) int {
	posix.IgnoreFileSizeSignal()
	if fd, ok := inRole(stageRole, os.Args[0]); ok && len(args) > 3 {
		return secondStage(fd, args)
	}
	c, err := parse(args)
	if err != nil {
		return c.utility().Answer(err, stdout, stderr)
	}
	fd, isCopy := inRole(copyRole, os.Args[0])
	status := posix.StatusOK
	if !isCopy {
		err = c.checkKept()
	}
	switch {
	case err != nil:
	case !isCopy && !c.foreground && (c.stays() || unix.Getpgrp() == unix.Getpid()):
		status, err = c.detach()
	default:
		// A copy has no terminal to get SIGQUIT from. A supervisor catches it
		// (prepareToStay), and after QuitQuietly signal.Notify would have no effect.
		if !isCopy {
			posix.QuitQuietly()
		}
		err = c.start(stderr, func() { tell(fd, posix.StatusOK) })
	}
	if errors.Is(err, errInterrupted) {
		die(unix.SIGTERM)
	}
	if err != nil {
		status = posix.Report(stderr, "daemonize", err, posix.StatusFailed)
	}
	if isCopy && (err != nil || !c.supervised) { // a supervisor has told
		tell(fd, status)
	}
	return status
}

// waits tells whether daemonize returns only when the command has run a while.
func (c *config) waits() bool { return c.wait >= 0 || c.ready >= 0 }

// name is what messages about the command begin with.
func (c *config) name() string { return posix.Escape(c.argv[0]) }

// stays tells whether the command is watched at all after its start.
func (c *config) stays() bool { return c.waits() || c.supervised }

// parse reads a command line. Its error is for Utility.Answer.
func parse(args []string) (c *config, err error) {
	c = &config{dir: "/", wait: -1, ready: -1}
	if c.argv, err = c.utility().Parse(args); err == nil {
		err = c.validate()
	}
	return c, err
}

// validate refuses what is missing or does not go together.
func (c *config) validate() error {
	switch {
	case len(c.argv) == 0:
		return errors.New("which command?")
	case c.truncate && c.appending:
		return errors.New("-t and -a: choose one")
	case c.truncate && c.stdout == "" && c.stderr == "":
		return errors.New("-t: there is no -o or -e file to empty")
	case c.verbose && c.quiet:
		return errors.New("-v and -q: choose one")
	case c.wait >= 0 && c.ready >= 0:
		return errors.New("-w and -n: choose one")
	case c.foreground && c.stays():
		return errors.New("-f leaves nobody to do what -w, -n and -s want")
	case c.foreground && (isPipe(c.stdout) || isPipe(c.stderr)):
		return errors.New("-f leaves nobody to start a program for the output")
	case c.respawn && !c.supervised:
		return errors.New("-r needs -s")
	case c.limit > 0 && !c.respawn:
		return errors.New("-R needs -r")
	}
	if c.lockPath == c.pidPath {
		c.lockPath = "" // old scripts name one file twice; the pidfile is locked anyway
	}
	return nil
}

// variables are those of the -E before this one, and its own.
func (c *config) variables(arg string) ([]string, error) {
	if strings.IndexByte(arg, '=') < 1 {
		return nil, fmt.Errorf("%s: expected NAME=VALUE", posix.Escape(arg))
	}
	return append(c.env, arg), nil
}

// descriptors are those of the -k before this one, and its own.
func (c *config) descriptors(arg string) ([]int, error) {
	fd, err := number(arg, 10, 0, math.MaxInt32, "a descriptor's number")
	return append(c.keep, fd), err
}

func mask(arg string) (int, error) { return number(arg, 8, 0, 0o777, "an octal mask up to 777") }

func failures(arg string) (int, error) {
	return number(arg, 10, 1, math.MaxInt32, "a number of failures")
}

// number reads an argument that is a number of that base, from least to most.
func number(arg string, base int, least, most uint64, what string) (int, error) {
	n, err := strconv.ParseUint(arg, base, 32)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s: expected %s", posix.Escape(arg), what)
	}
	return int(n), nil
}

func user(arg string) (string, error) { return text(arg, "user name") }

func path(arg string) (string, error) { return text(arg, "file name") }

// text takes any text but an empty one, which is what a script's unset variable
// leaves.
func text(arg, what string) (string, error) {
	if arg == "" {
		return "", fmt.Errorf("an empty %s", what)
	}
	return arg, nil
}

// output is a path, or "|" and a command.
func output(arg string) (string, error) {
	if arg == "|" {
		return "", errors.New("|: which program?")
	}
	return path(arg)
}

// about says what an error is about, as all messages do; nil stays nil.
func about(object string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", posix.Escape(object), err)
}
