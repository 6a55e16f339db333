package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

const (
	// longRun is how long a run must last for the count of failures to begin anew.
	longRun = time.Minute
	// longestPause is the longest wait before a restart.
	longestPause = time.Minute
	// lastWords is how long the supervisor's end waits for its lines to be
	// read, and then for the loggers. A pidkill waits longer for both.
	lastWords = 2 * time.Second
)

// cleaning is how what a run has left of its group is ended before a restart.
var cleaning = []posix.Step{
	{Signal: unix.SIGTERM, Wait: 5 * time.Second},
	{Signal: unix.SIGKILL, Wait: 5 * time.Second},
}

// supervisor stays as the parent of the command. It has the pidfile's flock, so
// that the file stays locked across restarts, and the record lock of byte 1,
// by which pidkill finds it; that asks by SIGUSR1 for no more restarts.
type supervisor struct {
	*job
	noMore   bool            // a pidkill has asked for no more restarts
	ended    bool            // the command's process has ended
	how      unix.WaitStatus // how it ended, if it has
	failures int             // in a row

	children <-chan os.Signal // SIGCHLD
	relog    chan *logger     // loggers whose second before a restart is over
	lines    chan string      // to say
	said     chan struct{}    // closed when the last line was
}

// prepareToStay makes this process fit to be the supervisor: a subreaper that
// holds nothing of the caller's. It is called before the command starts.
func (j *job) prepareToStay() error {
	// Orphans of the command come to the supervisor, and none stays a zombie.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become a subreaper: %w", err)
	}
	j.hangups = heed(unix.SIGHUP) // one that comes before supervise is not lost
	// Whoever goes by command lines, as pkill -f does, means the command.
	heed(unix.SIGQUIT, unix.SIGUSR2)
	return posix.CloseInherited(j.keep) // or whoever reads from it would wait
}

// supervise returns when the command has ended for good, and tells whether
// that was because the supervisor was told to end.
func (j *job) supervise() bool {
	s := &supervisor{
		job: j, children: heed(unix.SIGCHLD), relog: make(chan *logger),
		lines: make(chan string, 16), said: make(chan struct{}),
	}
	j.adopt()
	go s.speak(s.lines)
	// The collector would wake up every two minutes: it is to run only when
	// many restarts have left something to collect.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(9 << 19) // 4.5 MiB
	for s.workUntil(s.hasEnded, nil) && s.judge() && s.restart() {
	}
	s.finish()
	return s.isTold()
}

// isTold tells whether the supervisor was told to end.
func (s *supervisor) isTold() bool { return s.interrupted == nil }

// workUntil goes on with the supervisor's work until over() is true or done
// delivers; nil: never. False: it was told to end, and has ended the command's
// group; or it was asked for no more restarts, and there is no group.
func (s *supervisor) workUntil(over func() bool, done <-chan time.Time) bool {
	for {
		s.reap()
		if over != nil && over() {
			return true
		}
		select {
		case <-s.children:
		case <-s.hangups:
			if err := s.reopen(); err != nil {
				s.say("%v", err)
			}
		case l := <-s.relog:
			s.restartLogger(l)
		case <-s.asked:
			s.noMore = true
			if over == nil { // between two runs
				return false
			}
		case <-done:
			return true
		case <-s.interrupted:
			s.interrupted = nil // once is enough
			s.end(ending)
			return false
		}
	}
}

func (s *supervisor) hasEnded() bool { return s.ended }

// reap takes the children that have ended.
func (s *supervisor) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		switch {
		case err != nil || pid <= 0:
			if s.group != nil && !s.ended && s.group.Leader.Exited() { // a tracer has yet to reap it, so wait4(2) does not report it
				s.how, err = s.group.Leader.Reap()
				s.ended = err == nil
			}
			return
		case s.group != nil && pid == s.group.ID:
			s.ended, s.how = true, status
		}
		for _, l := range s.loggers {
			if l.pid == pid {
				if l.pipe[0] >= 0 { // else it is to end
					s.say("%s; starting it again", l.howEnded(status))
					for _, line := range l.complaints() {
						s.say("%s", line)
					}
				}
				l.pid = 0
				s.restartLogger(l)
			}
		}
	}
}

// restartLogger starts a logger that has died again, unless it did so just now:
// then a second later.
func (s *supervisor) restartLogger(l *logger) {
	if l.pid != 0 || l.pipe[0] < 0 {
		return
	}
	if time.Since(l.began) >= time.Second {
		err := l.start()
		if err == nil {
			return
		}
		s.say("%v", err)
	}
	time.AfterFunc(time.Second, func() { s.relog <- l })
}

// end ends what there is of the group. If the supervisor is told to end
// meanwhile, workUntil has ended the group, and end returns.
func (s *supervisor) end(steps []posix.Step) {
	if s.group != nil {
		s.group.End(steps, s.waitGroup)
	}
}

// waitGroup waits at most so long until nobody in the group lives, or the
// supervisor has been told to end. It goes by SIGCHLD, so that no thread is
// blocked: the supervisor is a subreaper, and sooner or later every member is
// its child. A member's parent outside the group may reap late or never, so the
// group itself is looked at in the end.
func (s *supervisor) waitGroup(d time.Duration) (over bool) {
	return !s.workUntil(s.group.Empty, time.After(d)) || s.group.Wait(0)
}

// judge says how the command ended, and tells whether to start it again. If
// not, its group is empty.
func (s *supervisor) judge() bool {
	ran := time.Since(s.began)
	text := fmt.Sprintf("%s: pid %d ended: %s after %.1f s", s.name(), s.group.ID, manner(s.how), ran.Seconds())
	switch {
	case s.how.Exited() && s.how.ExitStatus() == 0:
		if !s.quiet {
			s.say("%s", text)
		}
	case !s.respawn:
		s.say("%s", text)
	case s.askedMeanwhile():
		s.say("%s; not starting it again, as it is being stopped", text)
	case s.pidfile != nil && s.pidfile.Current() == posix.ErrMoved:
		// Whoever starts it by that name again must not meet this one.
		s.say("%s; not starting it again, as the pidfile is gone", text)
	default:
		if ran >= longRun {
			s.failures = 0
		}
		return s.failed(text)
	}
	// What the command has left in its group goes on for as long as it likes.
	for limit := time.Second; !s.waitGroup(limit); limit = time.Minute {
	}
	return false
}

// failed counts a failure, says it, and tells whether there is to be another
// start. If not, nothing is left.
func (s *supervisor) failed(text string) bool {
	s.failures++
	switch pause := pauseAfter(s.failures); {
	case s.limit > 0 && s.failures >= s.limit:
		s.say("%s; giving up", text)
		s.end(cleaning)
		return false
	case pause == 0:
		s.say("%s; starting it again", text)
	default:
		s.say("%s; starting it again in %.0f s", text, pause.Seconds())
	}
	return true
}

// pauseAfter is how long to wait after so many failures in a row: not at all
// after the first, then 1, 2, 4 ... seconds.
func pauseAfter(failures int) time.Duration {
	if failures < 2 {
		return 0
	}
	return min(time.Second<<min(failures-2, 10), longestPause)
}

// restart ends what is left of the group and starts the command again, until
// that succeeds. False: it was told to end, or gives up.
func (s *supervisor) restart() bool {
	s.end(cleaning)
	if s.isTold() || s.noMore {
		return false
	}
	s.group.Leader.Close()
	s.group = nil
	for {
		if pause := pauseAfter(s.failures); pause > 0 && !s.workUntil(nil, time.After(pause)) {
			return false
		}
		if s.stdin != "" {
			unix.Seek(0, 0, 0) // a file, from its beginning
		}
		err := s.begin()
		switch {
		case err == nil && !s.askedMeanwhile():
			s.ended = false
			return true
		case err == nil:
			s.end(ending)
			return false
		case errors.Is(err, errInterrupted): // the signal is still there
			return s.workUntil(nil, nil)
		case err == posix.ErrMoved, err == posix.ErrBusy:
			s.say("%s: not starting it again: its pidfile is %v", s.name(), err)
			return false
		}
		if !s.failed(err.Error()) {
			return false
		}
	}
}

// begin starts another run.
func (s *supervisor) begin() error {
	if err := s.resolveAgain(); err != nil {
		return err
	}
	if s.pidfile != nil {
		if err := s.pidfile.Restart(); err != nil {
			return err
		}
	}
	err := s.launch()
	if err != nil && s.pidfile != nil {
		s.pidfile.EndStart() // gives byte 0 back: this start is over, and the file reads "between runs"
	}
	return err
}

// askedMeanwhile tells whether a pidkill has asked for no more restarts.
func (s *supervisor) askedMeanwhile() bool {
	select {
	case <-s.asked:
		s.noMore = true
	default:
	}
	return s.noMore
}

// finish lets the loggers read all there is, and removes the pidfile.
func (s *supervisor) finish() {
	s.group = nil
	close(s.lines)
	s.lines = nil
	for _, l := range s.loggers {
		l.leave()
	}
	select {
	case <-s.said:
	case <-time.After(lastWords):
	}
	for fd := range 3 { // which adopt has made the command's streams
		unix.Close(fd)
	}
	s.workUntil(s.loggersEnded, time.After(lastWords))
	if s.pidfile != nil {
		s.pidfile.RemoveOwn()
	}
}

func (s *supervisor) loggersEnded() bool {
	return !slices.ContainsFunc(s.loggers, func(l *logger) bool { return l.pid != 0 })
}

// say writes a line to the daemon's standard error. Not itself: that may be a
// pipe which is full as long as its logger is not started again.
func (s *supervisor) say(format string, args ...any) {
	select {
	case s.lines <- fmt.Sprintf("daemonize: "+format+"\n", args...):
	default: // nobody reads for long
	}
}

func (s *supervisor) speak(lines <-chan string) {
	for line := range lines {
		io.WriteString(s.messages, line)
	}
	close(s.said)
}

// adopt makes the command's streams the supervisor's own, so that nobody waits
// for the end of the caller's, and leaves the caller's directory, if it is not
// in the command's already.
func (j *job) adopt() {
	if j.as != nil {
		unix.Chdir("/")
	}
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
