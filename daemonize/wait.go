package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// ending is how a command that must not go on is ended.
var ending = []posix.Step{
	{Signal: unix.SIGTERM, Wait: 10 * time.Second},
	{Signal: unix.SIGKILL, Wait: 5 * time.Second},
}

// errInterrupted is the error of what a signal ended.
var errInterrupted = errors.New("interrupted")

// await watches the command for as long as -w or -n says. On an error nothing
// of the command's group is left.
func (j *job) await() error {
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	defer signal.Stop(children)
	children <- unix.SIGCHLD // one may have come before
	var notifications chan notification
	limit := j.wait
	if j.notify != nil {
		limit, notifications = j.ready, make(chan notification)
		go j.notify.receive(notifications)
		defer func() {
			j.notify.end()
			for range notifications { // until receive has returned
			}
		}()
	}
	began, timer := time.Now(), time.NewTimer(limit)
	for {
		select {
		case <-children:
			if err := j.checkLoggers(); err != nil { // first: the command may have ended by SIGPIPE
				return err
			}
			if !j.group.Leader.Exited() {
				continue
			}
			if j.notify == nil {
				return j.tooEarly()
			}
			children = nil
			j.notify.end() // what it has said before counts
		case <-j.interrupted:
			j.group.End(ending, j.group.Wait)
			return errInterrupted
		case m, more := <-notifications:
			if m.status != "" && j.verbose {
				fmt.Fprintf(j.messages, "daemonize: %s: %s\n", j.name(), posix.Escape(m.status))
			}
			switch {
			case !more:
				return j.tooEarly()
			case m.errno != 0:
				j.group.End(ending, j.group.Wait)
				return posix.Failf(posix.StatusEnded, "%s: pid %d says that it failed: %w (errno %d)", j.name(), j.group.ID, m.errno, int(m.errno))
			case m.ready:
				return nil
			}
			if longer := time.Since(began) + m.extend; longer > limit {
				limit = longer.Round(time.Millisecond)
				timer.Reset(m.extend)
			}
		case <-timer.C:
			if j.group.Leader.Exited() {
				continue // SIGCHLD says so in a moment
			}
			if j.notify == nil {
				return nil
			}
			if !j.group.End(ending, j.group.Wait) {
				return posix.Failf(posix.StatusTimeout, "%s: not ready after %v, and pid %d could not be ended", j.name(), limit, j.group.ID)
			}
			return posix.Failf(posix.StatusTimeout, "%s: not ready after %v", j.name(), limit)
		}
	}
}

// tooEarly is the Failure of a command that has ended. It ends what is left of
// the group, before the leader's number is given back.
func (j *job) tooEarly() error {
	after := time.Since(j.began)
	j.group.End(ending, j.group.Wait)
	how, err := j.group.Leader.Reap()
	if err != nil {
		return about(j.argv[0], err)
	}
	return posix.Failf(posix.StatusEnded, "%s: pid %d ended: %s after %.1f s", j.name(), j.group.ID, manner(how), after.Seconds())
}

// manner says how a process ended.
func manner(how unix.WaitStatus) string {
	switch {
	case how.CoreDump():
		return fmt.Sprintf("killed by SIG%s (core dumped)", posix.SignalName(how.Signal()))
	case how.Signaled():
		return fmt.Sprintf("killed by SIG%s", posix.SignalName(how.Signal()))
	}
	return fmt.Sprintf("exit status %d", how.ExitStatus())
}
