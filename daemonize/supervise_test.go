package main

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

func TestPauseAfter(t *testing.T) {
	for failures, seconds := range []time.Duration{0, 0, 1, 2, 4, 8, 16, 32, 60, 60} {
		if got := pauseAfter(failures); got != seconds*time.Second {
			t.Errorf("after %d failures: %v, want %d s", failures, got, seconds)
		}
	}
	if got := pauseAfter(1 << 30); got != longestPause {
		t.Errorf("in the end: %v", got)
	}
}

func TestManner(t *testing.T) {
	for how, text := range map[unix.WaitStatus]string{
		0:        "exit status 0",
		3 << 8:   "exit status 3",
		255 << 8: "exit status 255",
		9:        "killed by SIGKILL",
		34:       "killed by SIGRTMIN",
		63:       "killed by SIGRTMIN+29",
		11 | 128: "killed by SIGSEGV (core dumped)",
	} {
		if got := manner(how); got != text {
			t.Errorf("%#x: %s, want %s", uint32(how), got, text)
		}
	}
}

// TestJudge is about what the supervisor says and decides after a run.
func TestJudge(t *testing.T) {
	const nobody = 1 << 30 // no process, and no group
	failed := unix.WaitStatus(3 << 8)
	for _, c := range []struct {
		respawn  bool
		how      unix.WaitStatus
		ran      time.Duration
		before   int // failures
		limit    int
		again    bool
		failures int
		text     string
	}{
		{false, failed, 12400 * time.Millisecond, 0, 0, false, 0, "exit status 3 after 12.4 s"},
		{true, 0, time.Second, 0, 0, false, 0, "exit status 0 after 1.0 s"},
		{true, failed, time.Second, 0, 0, true, 1, "exit status 3 after 1.0 s; starting it again"},
		{true, failed, 0, 1, 0, true, 2, "exit status 3 after 0.0 s; starting it again in 1 s"},
		{true, failed, 0, 7, 0, true, 8, "exit status 3 after 0.0 s; starting it again in 60 s"},
		{true, failed, 59900 * time.Millisecond, 7, 0, true, 8, "exit status 3 after 59.9 s; starting it again in 60 s"},
		{true, failed, 60 * time.Second, 7, 0, true, 1, "exit status 3 after 60.0 s; starting it again"},
		{true, failed, 60 * time.Second, 7, 8, true, 1, "exit status 3 after 60.0 s; starting it again"},
		{true, failed, 0, 1, 3, true, 2, "exit status 3 after 0.0 s; starting it again in 1 s"},
		{true, failed, 0, 2, 3, false, 3, "exit status 3 after 0.0 s; giving up"},
		{true, unix.WaitStatus(15), 0, 0, 1, false, 1, "killed by SIGTERM after 0.0 s; giving up"},
	} {
		s := &supervisor{
			job: &job{
				config: &config{respawn: c.respawn, limit: c.limit, argv: []string{"a\tb"}},
				group:  &posix.Group{ID: nobody},
				began:  time.Now().Add(-c.ran),
			},
			failures: c.before,
			ended:    true,
			how:      c.how,
			lines:    make(chan string, 1),
		}
		if again := s.judge(); again != c.again || s.failures != c.failures {
			t.Errorf("%+v: again %v, %d failures", c, again, s.failures)
		}
		want := `daemonize: a\tb: pid 1073741824 ended: ` + c.text + "\n"
		if line := <-s.lines; line != want {
			t.Errorf("%+v: %q", c, line)
		}
	}
}

// TestSay is about a log that nobody reads: the supervisor goes on.
func TestSay(t *testing.T) {
	s := &supervisor{lines: make(chan string, 2)}
	for range 5 {
		s.say("%s", "100 %")
	}
	if line := <-s.lines; line != "daemonize: 100 %\n" {
		t.Errorf("%q", line)
	}
}
