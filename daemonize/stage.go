package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// With -u the command is started in two stages. The second is daemonize once
// more, still root, in a process of its own that shares no memory with the
// first: it becomes the user, enters -c, finds the command and executes it. All
// of that can hang, for as long as a user likes: in a file system that is a
// program of the user's, on a lease, stopped by a signal. The first stage can
// give it up then, and clean up behind it.
//
// The two talk over a socket. The second says "ready" when only execve(2) can
// still fail, and goes on when it is told to. If it closes the socket without
// a word, it has become the command; else it says why not, after the status.

// stageName is the argv[0] of the second stage; see handed.
const stageName = "daemonize: second stage "

const (
	// stageLimit is how long the second stage may take.
	stageLimit = time.Minute
	// stageStopped is how long it is continued, when somebody stops it.
	stageStopped = time.Second
)

// spawnAs starts the command of c as the user of -u. Ready is called when only
// execve(2) can still fail.
func (j *job) spawnAs(c *posix.Command, ready func() error) (pid int, err error) {
	talk, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socketpair: %w", err)
	}
	defer unix.Close(talk[0])
	stage := *c
	stage.Argv = append([]string{handOver(stageName, talk[1], c.Env), j.user, j.dir}, c.Argv...)
	stage.Env = append([]string{"GOMAXPROCS=1"}, c.Env...)
	stage.Inherit = append(c.Inherit[:len(c.Inherit):len(c.Inherit)], talk[1])
	err = itself(func(path string) (err error) {
		stage.Path = path
		pid, err = stage.Spawn()
		return err
	})
	unix.Close(talk[1])
	if err == unix.E2BIG {
		return 0, execFailure(c.Argv[0], err) // the command was not to have them either
	}
	if err != nil {
		return 0, fmt.Errorf("cannot start a process: %w", err)
	}
	if err = j.converse(talk[0], pid, ready); err != nil {
		// It may be where no signal reaches it: then init has it, later.
		unix.Kill(pid, unix.SIGKILL)
		if h, no := posix.Pin(pid); no == nil {
			if h.Wait(stageStopped) {
				h.Reap()
			}
			h.Close()
		}
	}
	return pid, err
}

// converse returns when the second stage has become the command, or has failed.
func (j *job) converse(talk, pid int, ready func() error) error {
	deadline := time.Now().Add(stageLimit)
	text := make([]byte, 8192)
	for isReady := false; ; {
		n, err := j.hear(talk, pid, deadline, text)
		switch {
		case err != nil:
			return err
		case n == 0 && isReady:
			return nil
		case n == 0:
			return errors.New("the second stage of daemonize ended before it could execute the command")
		case n > 1:
			return posix.Failf(int(text[0]), "%s", text[1:n])
		}
		if isReady = true; ready != nil {
			if err := ready(); err != nil {
				return err
			}
		}
		if _, err := posix.FD(talk).Write([]byte{0}); err != nil {
			return about(j.config.command[0], err)
		}
	}
}

// hear waits for a word, and sees to it that the second stage goes on.
func (j *job) hear(talk, pid int, deadline time.Time, text []byte) (n int, err error) {
	var stopped time.Time
	for {
		fds := []unix.PollFd{{Fd: int32(talk), Events: unix.POLLIN}}
		if n, _ := unix.Poll(fds, 10); n > 0 {
			n, err = unix.Read(talk, text)
			if err != unix.EINTR {
				return max(n, 0), about(j.config.command[0], err)
			}
		}
		if len(j.interrupted) > 0 { // which a supervisor has yet to see
			return 0, interruption{unix.SIGTERM}
		}
		if p, err := posix.ReadStat(pid); err == nil && (p.State == 'T' || p.State == 't') {
			if stopped.IsZero() {
				stopped = time.Now()
			}
			if time.Since(stopped) > stageStopped {
				return 0, fmt.Errorf("pid %d was to become the command, but is stopped again and again", pid)
			}
			unix.Kill(pid, unix.SIGCONT)
		}
		if !time.Now().Before(deadline) {
			return 0, fmt.Errorf("%s: user %s cannot execute it within %v: a file system that does not answer, or a lease?", j.name(), posix.Escape(j.user), stageLimit)
		}
	}
}

// secondStage is the other end. It returns only if it fails.
func secondStage(talk int, args []string) (status int) {
	say := func(status int, text string) error {
		_, err := posix.FD(talk).Write(append([]byte{byte(status)}, text...))
		return err
	}
	c := &config{user: args[0], dir: args[1], command: args[2:]}
	_, user, err := c.lookupUser()
	if err == nil {
		j := &job{config: c, command: &posix.Command{Env: os.Environ(), Files: [3]int{0, 1, 2}, User: user}}
		err = j.become(func() error {
			if err := say(0, ""); err != nil {
				return fmt.Errorf("cannot talk to the first stage of daemonize: %w", err)
			}
			if n, err := unix.Read(talk, make([]byte, 1)); n != 1 {
				return fmt.Errorf("given up by the first stage of daemonize: %w", err)
			}
			return nil
		})
	}
	var text strings.Builder
	status = posix.Report(&text, "", err, posix.StatusFailed)
	say(status, strings.TrimSuffix(strings.TrimPrefix(text.String(), ": "), "\n"))
	return status
}
