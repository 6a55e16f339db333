package main

import (
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

const (
	// longRun is how long a run must last to count as a success.
	longRun = time.Minute
	// longestPause is the most there is between two starts.
	longestPause = time.Minute
)

// rest is how what is left of a command's group is ended before a restart.
var rest = []posix.Step{
	{Signal: unix.SIGTERM, Wait: 5 * time.Second},
	{Signal: unix.SIGKILL, Wait: 5 * time.Second},
}

// supervisor stays as the parent of the command. It needs no protocol with
// pidkill: it holds the pidfile's lock, so that the file stays locked across
// restarts; and while no command runs it holds the record lock too, or learns
// by not getting it that a pidkill is at work, and ends.
type supervisor struct {
	*job
	group    *posix.Group
	began    time.Time
	failures int // in a row

	told     <-chan os.Signal // to end
	children chan os.Signal
	relog    chan *logger
	ended    bool // the command has, and how
	how      unix.WaitStatus
}

// supervise returns when the command has ended for good.
func (j *job) supervise(group *posix.Group, told <-chan os.Signal) {
	s := &supervisor{
		job: j, group: group, began: time.Now(), told: told,
		children: make(chan os.Signal, 1), relog: make(chan *logger),
	}
	signal.Notify(s.children, unix.SIGCHLD)
	// Orphans of the command come to the supervisor, and none stays a zombie.
	unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	j.adopt()
	for s.wait(nil, nil) && s.judge() {
		if !s.restart() {
			break
		}
	}
	if j.pidfile != nil && j.pidfile.Operate(unix.F_WRLCK) == nil {
		j.pidfile.Unlink() // else the pidkill at work does it
	}
}

// wait goes on with the supervisor's work until the command has ended, or done
// is closed, or the time has come. False: it was told to end, and has ended
// the command's group.
func (s *supervisor) wait(done <-chan struct{}, until <-chan time.Time) bool {
	for {
		s.reap()
		if s.ended && done == nil && until == nil {
			return true
		}
		select {
		case <-s.children:
		case l := <-s.relog:
			s.startLogger(l)
		case <-done:
			return true
		case <-until:
			return true
		case <-s.told:
			s.told = nil // once is enough
			s.end(ending)
			return false
		}
	}
}

// reap takes the children that have ended.
func (s *supervisor) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || pid <= 0:
			return
		case pid == s.group.ID:
			s.ended, s.how = true, status
		}
		for _, l := range s.loggers {
			if l.pid == pid {
				s.startLogger(l)
			}
		}
	}
}

// startLogger starts a logger that has died again, unless it did so just now:
// then a second later.
func (s *supervisor) startLogger(l *logger) {
	if pause := time.Second - time.Since(l.began); pause > 0 {
		time.AfterFunc(pause, func() { s.relog <- l })
	} else if err := l.start(s.command); err != nil {
		s.say("%v", err)
		time.AfterFunc(time.Second, func() { s.relog <- l })
	}
}

// end ends what there is of the group, and goes on reaping meanwhile.
func (s *supervisor) end(steps []posix.Step) bool {
	return s.during(func() { s.group.End(steps...) })
}

// drain waits until the group is empty.
func (s *supervisor) drain() bool {
	return s.during(func() {
		w := s.group.Watch()
		for !w.Gone && w.Err == nil {
			posix.Await(time.Now().Add(time.Hour), w)
		}
	})
}

func (s *supervisor) during(work func()) bool {
	done := make(chan struct{})
	go func() {
		work()
		close(done)
	}()
	return s.wait(done, nil)
}

// judge says how the command ended, and tells whether to start it again. If
// so, the record lock is held until it runs; if not, its group is empty.
func (s *supervisor) judge() bool {
	ran := time.Since(s.began)
	text := fmt.Sprintf("pid %d ended: %s after %.1f s", s.group.ID, manner(s.how), ran.Seconds())
	if !s.respawn || s.how.Exited() && s.how.ExitStatus() == 0 {
		s.say("%s", text)
		s.drain()
		return false
	}
	if s.pidfile != nil && s.pidfile.Operate(unix.F_WRLCK) != nil {
		s.say("%s; not started again, as it is being stopped", text)
		s.drain()
		return false
	}
	if ran >= longRun {
		s.failures = 0
	}
	s.failures++
	return s.next(text)
}

// next tells whether there is to be another start after so many failures.
func (s *supervisor) next(text string) bool {
	switch pause := s.pause(); {
	case s.limit > 0 && s.failures >= s.limit:
		s.say("%s; giving up", text)
		s.end(rest)
		return false
	case pause == 0:
		s.say("%s; starting it again", text)
	default:
		s.say("%s; starting it again in %.0f s", text, pause.Seconds())
	}
	return true
}

// pause is how long to wait before the next start: not at all after the first
// failure, then 1, 2, 4 ... seconds.
func (s *supervisor) pause() time.Duration {
	if s.failures < 2 {
		return 0
	}
	return min(time.Second<<min(s.failures-2, 10), longestPause)
}

// restart ends what is left of the group and starts the command again, until
// that succeeds. False: it was told to end, or gives up.
func (s *supervisor) restart() bool {
	if !s.end(rest) {
		return false
	}
	for {
		if pause := s.pause(); pause > 0 && !s.wait(nil, time.After(pause)) {
			return false
		}
		s.group.Leader.Close()
		group, err := s.launch()
		if err == nil {
			s.group, s.began, s.ended = group, time.Now(), false
			return true
		}
		s.failures++
		if !s.next(err.Error()) {
			return false
		}
	}
}

// say writes a line to the daemon's standard error.
func (s *supervisor) say(format string, args ...any) {
	fmt.Fprintf(s.messages, "daemonize: %s: %s\n", posix.Escape(s.config.command[0]), fmt.Sprintf(format, args...))
}

// adopt makes the command's streams the supervisor's own, so that nobody waits
// for the end of the caller's.
func (j *job) adopt() {
	files := &j.command.Files
	for i, fd := range files {
		if fd != i {
			unix.Dup3(fd, i, 0)
		}
	}
	for i, fd := range files {
		if fd > 2 {
			unix.Close(fd)
		}
		files[i] = i
	}
}
