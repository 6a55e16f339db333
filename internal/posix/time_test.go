package posix

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "10": 10 * time.Second, "0.5": time.Second / 2, ".5": time.Second / 2, "5.": 5 * time.Second,
		"2s": 2 * time.Second, "2m": 2 * time.Minute, "1.5h": 90 * time.Minute, "1d": 24 * time.Hour,
		"1000000d": math.MaxInt64, "99999999999999999999": math.MaxInt64,
	} {
		if got, err := ParseDuration(text); got != want || err != nil {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "s", ".", "-1", "+1", "1e3", "0x10", "inf", "NaN", "1 s", "1ms", "1_0", "1.2.3", "five"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

var durations = regexp.MustCompile(`^([0-9]+\.?[0-9]*|\.[0-9]+)[smhd]?$`)

func FuzzDuration(f *testing.F) {
	for _, s := range []string{"10", "0.5", "2m", "1d", ".", "9999999999999999999999h", "1e3", "-1", "0x1p2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		switch {
		case (err == nil) != durations.MatchString(s):
			t.Errorf("%q: %v", s, err)
		case err != nil && strings.ContainsAny(err.Error(), "\n\x1b\x00"):
			t.Errorf("unescaped: %q", err)
		case d < 0:
			t.Errorf("%q is %v", s, d)
		case err == nil && d < time.Hour: // no digit is lost
			if again, err := ParseDuration(strconv.FormatFloat(d.Seconds(), 'f', 9, 64)); err != nil || (again-d).Abs() > 1 {
				t.Errorf("%q is %v, and that is %v, %v", s, d, again, err)
			}
		}
	})
}
