package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// With -u the command is started in two stages. The second is daemonize once
// more, still root, in a process of its own that shares no memory with the
// first: it becomes the user, enters -c, finds the command and executes it. All
// of that can take as long as the user likes: in a file system that a program of
// the user's answers for, on a lease, stopped by a signal. The first stage can
// give it up then, and clean up behind it.
//
// The two talk over a socket. The second says "ready", a single zero, when only
// execve(2) can still fail, and goes on when it is answered. When it closes the
// socket after that, it has become the command. If it fails, it says a status
// and the message.

const (
	// stageLimit is how long the second stage may take.
	stageLimit = time.Minute
	// stageStopped is how long it is continued, when somebody stops it, and how
	// long its end is waited for when it was killed.
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
	stage.Argv = append([]string{j.user, j.dir, j.cwd}, c.Argv...)
	stage.Inherit = append(slices.Clone(c.Inherit), talk[1])
	pid, err = spawnSelf(&stage, stageRole, talk[1], stage.Spawn)
	unix.Close(talk[1])
	if err == unix.E2BIG { // the command could not have had so much either
		return 0, execFailure(c.Argv[0], err)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot start a process: %w", err)
	}
	if err = j.converse(talk[0], pid, ready); err != nil {
		// It may be where no signal reaches it: then init reaps it, later.
		unix.Kill(pid, unix.SIGKILL)
		if h, pinErr := posix.Pin(pid); pinErr == nil {
			if h.Wait(stageStopped) {
				h.Reap()
			}
			h.Close()
		}
		return 0, err
	}
	return pid, nil
}

// converse returns when the second stage has become the command, or has failed.
func (j *job) converse(talk, pid int, ready func() error) error {
	deadline := time.Now().Add(stageLimit)
	closed, err := j.hear(talk, pid, deadline)
	if err != nil {
		return err
	}
	if closed {
		return errors.New("the second stage of daemonize ended before it could execute the command")
	}
	if err := ready(); err != nil {
		return err
	}
	if _, err := posix.FD(talk).Write([]byte{0}); err != nil {
		return about(j.argv[0], err)
	}
	_, err = j.hear(talk, pid, deadline)
	return err
}

// hear waits until the second stage says that it is ready, or closes the socket,
// or fails, which is the error. Meanwhile it sees to it that the stage goes on.
func (j *job) hear(talk, pid int, deadline time.Time) (closed bool, err error) {
	text := make([]byte, 8192)
	var stopped time.Time
	for {
		fds := []unix.PollFd{{Fd: int32(talk), Events: unix.POLLIN}}
		if n, _ := unix.Poll(fds, 10); n > 0 {
			n, err := unix.Read(talk, text)
			switch {
			case err == nil && n > 1:
				return false, posix.Failf(int(text[0]), "%s", text[1:n])
			case err != unix.EINTR:
				return n == 0, about(j.argv[0], err)
			}
		}
		if len(j.interrupted) > 0 { // it stays there for whoever acts on it
			return false, errInterrupted
		}
		if p, err := posix.ReadStat(pid); err == nil && (p.State == 'T' || p.State == 't') {
			if stopped.IsZero() {
				stopped = time.Now()
			}
			if time.Since(stopped) > stageStopped {
				return false, fmt.Errorf("pid %d was to become the command, but is stopped again and again", pid)
			}
			unix.Kill(pid, unix.SIGCONT)
		}
		if !time.Now().Before(deadline) {
			return false, fmt.Errorf("%s: user %s cannot execute it within %v: a file system that does not answer, or a lease?", j.name(), posix.Escape(j.user), stageLimit)
		}
	}
}

// secondStage is the other end. It returns only if it fails.
func secondStage(talk int, args []string) (status int) {
	say := func(status int, text string) error {
		_, err := posix.FD(talk).Write(append([]byte{byte(status)}, text...))
		return err
	}
	c := &config{user: args[0], dir: args[1], argv: args[3:]}
	_, as, err := c.lookupUser()
	if err == nil {
		j := &job{config: c, as: as, cwd: args[2], command: &posix.Command{Env: os.Environ(), Files: [3]int{0, 1, 2}}}
		err = j.execute(func() error {
			if err := say(0, ""); err != nil {
				return fmt.Errorf("cannot talk to the first stage of daemonize: %w", err)
			}
			if n, err := unix.Read(talk, make([]byte, 1)); n != 1 {
				return fmt.Errorf("given up by the first stage of daemonize: %w", cmp.Or(err, error(unix.EPIPE)))
			}
			return nil
		})
	}
	status = posix.StatusFailed
	if f, ok := errors.AsType[*posix.Failure](err); ok {
		status = f.Status
	}
	say(status, err.Error())
	return status
}

// lookupUser finds the user of -u, and the identity to take on, which is nil if
// that user runs daemonize already.
func (c *config) lookupUser() (*posix.User, *posix.Identity, error) {
	if c.user == "" {
		return nil, nil, nil
	}
	name, group, hasGroup := strings.Cut(c.user, ":")
	user, err := posix.LookupUser(name)
	gid := user.GID
	if hasGroup && err == nil {
		gid, err = posix.LookupGroup(group)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w (only /etc/passwd and /etc/group count; from elsewhere: setpriv --reuid=%s --regid=%s --init-groups daemonize ...)",
			err, posix.Escape(name), posix.Escape(cmp.Or(group, "GROUP")))
	}
	if gid < 0 {
		return nil, nil, fmt.Errorf("%s: a number that is not in /etc/passwd needs its group said: -u %[1]s:%[1]s", name)
	}
	if euid := unix.Geteuid(); euid != 0 {
		if user.UID == euid && gid == unix.Getegid() {
			return &user, nil, nil
		}
		return nil, nil, fmt.Errorf("%s: only root can run a command as another user", posix.Escape(c.user))
	}
	groups, err := posix.SupplementaryGroups(user.Name, gid)
	if err != nil {
		return nil, nil, err
	}
	return &user, &posix.Identity{UID: user.UID, GID: gid, Groups: groups}, nil
}
