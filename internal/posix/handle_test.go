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
		n := poll([]unix.PollFd{{Fd: int32(r.Fd()), Events: unix.POLLIN}}, d)
		if passed := time.Since(began); n != 1 || passed < event {
			t.Errorf("%v: %d after %v", d, n, passed)
		}
		r.Close()
	}
}
