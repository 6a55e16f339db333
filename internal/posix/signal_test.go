package posix

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]unix.Signal{
		"TERM": 15, "SIGTERM": 15, "term": 15, "sigterm": 15, "15": 15, "1": 1, "64": 64, "KILL": 9,
		"RTMIN": 34, "RTMIN+3": 37, "sigrtmin+3": 37, "RTMAX": rtmax, "RTMAX-1": rtmax - 1, "RTMIN+30": 64, "USR1": unix.SIGUSR1,
	} {
		if got, err := ParseSignal(text); got != want || err != nil {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "0", "-1", "128", "+15", "15 ", "SIG", "SIGSIGTERM", "TERMINATE", "RTMIN-1", "RTMIN+94", "RTMAX+1", fmt.Sprint(rtmax + 1),
		"RTMIN+", "RTMIN3", "RTMIN++3", "4294967311", "SIG15",
	} {
		if got, err := ParseSignal(text); err == nil {
			t.Errorf("%q is signal %d", text, got)
		}
	}
}

func TestSignalName(t *testing.T) {
	for sig := unix.Signal(1); sig <= rtmax; sig++ {
		if got, err := ParseSignal(SignalName(sig)); got != sig || err != nil {
			t.Errorf("signal %d is %s, and that is %d, %v", sig, SignalName(sig), got, err)
		}
	}
	if name := SignalName(37); name != "RTMIN+3" {
		t.Error(name)
	}
}

func TestIgnored(t *testing.T) {
	if ignored(unix.SIGXFSZ) {
		t.Error("at first")
	}
	IgnoreFileSizeSignal()
	if !ignored(unix.SIGXFSZ) {
		t.Error("not after IgnoreFileSizeSignal")
	}
	ResetSignal(unix.SIGXFSZ)
	if ignored(unix.SIGXFSZ) {
		t.Error("still after ResetSignal")
	}
}

func FuzzSignal(f *testing.F) {
	for _, s := range []string{"TERM", "15", "RTMIN+3", "RTMAX-64", "rtmin+99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sig, err := ParseSignal(s)
		switch {
		case err != nil && strings.ContainsAny(err.Error(), "\n\x1b\x00"):
			t.Errorf("unescaped: %q", err)
		case err == nil && (sig < 1 || sig > rtmax):
			t.Errorf("%q is signal %d", s, sig)
		case err == nil:
			if again, err := ParseSignal(strings.ToLower(SignalName(sig))); err != nil || again != sig {
				t.Errorf("%q is %s, and that is %d, %v", s, SignalName(sig), again, err)
			}
		}
	})
}
