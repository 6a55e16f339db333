package posix

import (
	"math"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// However long a wait is, it ends with the event, and not before.
func TestPoll(t *testing.T) {
	for _, d := range []time.Duration{math.MaxInt64, 25000 * 24 * time.Hour, longestPoll + 1, longestPoll} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		const event = 20 * time.Millisecond
		began := time.Now()
		time.AfterFunc(event, func() { w.Close() })
		n := -1 // a signal ends the wait early: the runtime sends itself some
		for n < 0 {
			n = poll([]unix.PollFd{{Fd: int32(r.Fd()), Events: unix.POLLIN}}, d)
		}
		if passed := time.Since(began); n != 1 || passed < event {
			t.Errorf("%v: %d after %v", d, n, passed)
		}
		r.Close()
	}
}

// WaitEnd waits as long as it takes, and not as long as time itself.
func TestWaitEnd(t *testing.T) {
	g := startGroup(t, "echo; exec sleep 60")
	if g.Leader.Wait(time.Millisecond) {
		t.Error("ended by itself")
	}
	const event = 20 * time.Millisecond
	began := time.Now()
	time.AfterFunc(event, func() { unix.Kill(-g.ID, unix.SIGKILL) })
	if !g.Leader.WaitEnd() || time.Since(began) < event {
		t.Errorf("not waited for, after %v", time.Since(began))
	}
	if how, err := g.Leader.Reap(); err != nil || how.Signal() != unix.SIGKILL {
		t.Errorf("%#x, %v", how, err)
	}
}
