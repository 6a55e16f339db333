package main

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// logger is a program that a stream of the command feeds through a pipe. It
// ends by itself, at the end of file: when the last writer is gone.
type logger struct {
	script string
	pipe   [2]int
	pid    int
	began  time.Time
}

// feeds tells whether the argument of -o or -e is a program and not a file.
func feeds(name string) bool { return strings.HasPrefix(name, "|") }

func (j *job) openPipe(name string) (int, error) {
	l := &logger{script: name[1:]}
	if err := unix.Pipe2(l.pipe[:], unix.O_CLOEXEC); err != nil {
		return -1, err
	}
	if u := j.command.User; u != nil { // who may open /dev/stdout then
		if err := unix.Fchown(l.pipe[1], u.UID, u.GID); err != nil {
			return -1, err
		}
	}
	j.loggers = append(j.loggers, l)
	return l.pipe[1], nil
}

// start runs the program as the command's user, in a group of its own, with
// nothing of the command's but the pipe: it must outlive it to the last byte,
// and hold none of its locks.
func (l *logger) start(command *posix.Command) error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/null: %w", err)
	}
	defer unix.Close(null)
	l.began = time.Now()
	shell := &posix.Command{
		Path:  "/bin/sh",
		Argv:  []string{"/bin/sh", "-c", l.script},
		Env:   command.Env,
		Files: [3]int{l.pipe[0], null, null},
		User:  command.User,
	}
	if l.pid, err = shell.Spawn(); err != nil {
		return fmt.Errorf("|%s: %w", posix.Escape(l.script), err)
	}
	return nil
}

// last makes sure that somebody reads what is still in the pipe, and leaves
// the pipe to the logger.
func (l *logger) last(command *posix.Command) {
	if l.pid == 0 {
		l.start(command)
	}
	unix.Close(l.pipe[0])
	l.pipe[0] = -1
}
