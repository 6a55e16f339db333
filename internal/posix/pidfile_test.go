package posix

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParsePID(t *testing.T) {
	for content, want := range map[string]int{
		"2": 2, "4711\n": 4711, "4711\r\n": 4711, " \t4711 \n\n": 4711, "4194304\n": MaxPID, "007\n": 7,
		"4711" + strings.Repeat("\n", maxContent-4): 4711,
	} {
		if got, err := ParsePID([]byte(content)); got != want || err != nil {
			t.Errorf("%q: %d, %v", content, got, err)
		}
	}
	for content, want := range map[string]error{
		"": ErrEmpty, " ": ErrMalformed, "\n": ErrMalformed, "x": ErrMalformed, "12x": ErrMalformed, "12 x": ErrMalformed,
		"12 13": ErrMalformed, "12\n13\n": ErrMalformed, "0x12": ErrMalformed, "1e3": ErrMalformed, "12\x00": ErrMalformed,
		"\x0012": ErrMalformed, "\ufeff12": ErrMalformed, "12.0": ErrMalformed, "--12": ErrMalformed, "-": ErrMalformed,
		"١٢": ErrMalformed, "4711" + strings.Repeat("\n", maxContent-3): ErrMalformed,
		"0": ErrRange, "1": ErrRange, "-1": ErrRange, "-4711": ErrRange, "+12": ErrRange, "4194305": ErrRange,
		"4294967297": ErrRange, "4294968007": ErrRange, "18446744073709551616": ErrRange, strings.Repeat("9", 100): ErrRange,
	} {
		if got, err := ParsePID([]byte(content)); !errors.Is(err, want) {
			t.Errorf("%q: %d, %v, want %v", content, got, err, want)
		}
	}
}

func TestParsePIDMessage(t *testing.T) {
	for content, want := range map[string]string{
		"a\n\x1b":                `"a\n\x1b"`,
		strings.Repeat("a", 24):  `"aaaaaaaaaaaaaaaaaaaaaaaa"`,
		strings.Repeat("\n", 25): `"` + strings.Repeat(`\n`, 24) + `"...`,
	} {
		_, err := ParsePID([]byte(content))
		if _, found, _ := strings.Cut(err.Error(), ", found "); found != want {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
}

func FuzzPID(f *testing.F) {
	for _, s := range []string{"4711\n", "-1", "0", " 12 \r\n", "12\x00", "18446744073709551616", "\ufeff12"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		pid, err := ParsePID(content)
		switch {
		case err != nil && strings.ContainsAny(err.Error(), "\n\x1b\x00"):
			t.Errorf("unescaped: %q", err)
		case err == nil && (pid < 2 || pid > MaxPID):
			t.Errorf("%q is %d", content, pid)
		case err == nil && strings.Trim(string(content), "0123456789 \t\r\n") != "":
			t.Errorf("%q passes for %d", content, pid)
		}
	})
}

func pidfile(t *testing.T, content string) *Pidfile {
	path := filepath.Join(t.TempDir(), "app.pid")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := OpenPidfile(path)
	if err == nil {
		err = f.Read()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// Half a second of slack either way, and no more.
func TestIdentify(t *testing.T) {
	f := pidfile(t, "4711\n")
	self, err := Pin(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	var boot unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	booted := time.Now().Add(-time.Duration(boot.Nano()))
	started := booted.Add(ticks(self.Start))
	for _, test := range []struct {
		written time.Time
		stale   bool
	}{
		{started, false},
		{started.Add(-400 * time.Millisecond), false},
		{started.Add(-600 * time.Millisecond), true},
		{started.Add(time.Hour), false},
		{booted.Add(-time.Second), true},
	} {
		f.Written = test.written
		if err := f.Identify(self); errors.Is(err, ErrStale) != test.stale {
			t.Errorf("written %v after the start: %v", test.written.Sub(started), err)
		}
	}
	if f.Written = booted.Add(-time.Hour); !f.BeforeBoot() {
		t.Error("not before the boot")
	}
	// The lock overrides what a step of the clock made of the times.
	if err := f.TryLock(); err != nil {
		t.Fatal(err)
	}
	if err := f.Identify(self); err != nil {
		t.Errorf("with the lock: %v", err)
	}
	f.Unlock()
	if hidden := (&Handle{PID: 1 << 30}); !errors.Is(f.Identify(hidden), unix.EPERM) {
		t.Error("hidden, and judged all the same")
	}
}

func TestKeptBy(t *testing.T) {
	f := pidfile(t, "")
	if f.KeptBy(os.Getpid()) {
		t.Error("not locked")
	}
	if err := f.TryLock(); err != nil {
		t.Fatal(err)
	}
	if f.KeptBy(os.Getpid()) || !f.HeldBy(os.Getpid()) {
		t.Error("no child gets it, but so does many a daemon do it")
	}
	// A pidkill.
	if err := f.Operate(unix.F_RDLCK); err != nil {
		t.Fatal(err)
	}
	if !f.KeptBy(os.Getpid()) {
		t.Error("both locks")
	}
	f.Operate(unix.F_UNLCK)
	// A start, or a supervisor.
	w, err := os.OpenFile(f.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if !f.KeptBy(os.Getpid()) {
		t.Error("open for writing, and no child gets the lock")
	}
	if _, err := unix.FcntlInt(uintptr(f.LockFD()), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	if f.KeptBy(os.Getpid()) || !f.HeldBy(os.Getpid()) {
		t.Error("inherited")
	}
}

func FuzzFDFlags(f *testing.F) {
	f.Add(uint64(0o2504002), "lock:\t1: FLOCK  ADVISORY  WRITE 4711 fe:00:99 0 EOF\n")
	f.Add(uint64(0), "")
	f.Fuzz(func(t *testing.T, flags uint64, rest string) {
		fdFlags([]byte(rest))
		if got := fdFlags(fmt.Appendf(nil, "pos:\t0\nflags:\t0%o\nmnt_id:\t2\n%s", flags, rest)); got != flags {
			t.Errorf("%o, want %o", got, flags)
		}
	})
}
