package posix

import (
	"errors"
	"strings"
	"testing"
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
		"": ErrEmpty, " ": ErrEmpty, "\n\r\t": ErrEmpty, "x": ErrMalformed, "12x": ErrMalformed, "12 x": ErrMalformed,
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
		"a\n\x1b":               `"a\n\x1b"`,
		strings.Repeat("a", 24): `"aaaaaaaaaaaaaaaaaaaaaaaa"`,
		strings.Repeat("a", 25): `"` + strings.Repeat("a", 24) + `"...`,
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
