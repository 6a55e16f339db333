package posix

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

var testOptions = []Option{
	Opt("-f, --force", "", nil),
	Opt("-p, --pidfile FILE", "", nil),
	Opt("-v, --verbose", "", nil),
}

func TestGetopt(t *testing.T) {
	for _, test := range []struct {
		args     string // separated by blanks, "''" is an empty word
		given    string
		operands string
		guarded  bool
		err      string
	}{
		{args: ""},
		{args: "a b", operands: "a b"},
		{args: "-fv a", given: "f v", operands: "a"},
		{args: "-fvpx a", given: "f v p=x", operands: "a"},
		{args: "-p x a", given: "p=x", operands: "a"},
		{args: "-p -- a", given: "p=--", operands: "a"},
		{args: "-p '' a", given: "p=", operands: "a"},
		{args: "--pidfile=x --force", given: "p=x f"},
		{args: "--pidfile x --force", given: "p=x f"},
		{args: "--pidfile= a", given: "p=", operands: "a"},
		{args: "--pidfile=a=b", given: "p=a=b"},
		{args: "-f -- -v", given: "f", operands: "-v", guarded: true},
		{args: "a -f", operands: "a -f"},
		{args: "- -f", operands: "- -f"},
		{args: "'' -f", operands: "'' -f"},
		{args: "-x", err: "-x: unknown option"},
		{args: "-fx", err: "-x: unknown option"},
		{args: "-é", err: "-\\xe9: unknown option"},
		{args: "--nope=1", err: "--nope: unknown option"},
		{args: "--forc", err: "--forc: unknown option"},
		{args: "--force=1", err: "--force: takes no argument"},
		{args: "-p", err: "-p: needs an argument"},
		{args: "--pidfile", err: "--pidfile: needs an argument"},
	} {
		args := strings.Fields(test.args)
		for i, a := range args {
			if a == "''" {
				args[i] = ""
			}
		}
		given, operands, guarded, err := getopt(testOptions, args)
		if err != nil {
			// The letter beyond ASCII is shown as the locale has it.
			if msg := strings.Replace(err.Error(), "é", "\\xe9", 1); msg != test.err && !strings.Contains(test.args, "é") {
				t.Errorf("%q: error %q, want %q", test.args, msg, test.err)
			}
			continue
		}
		var words []string
		for _, g := range given {
			word := g.short[1:]
			if g.arg != "" {
				word += "=" + g.value
			}
			words = append(words, word)
		}
		got := strings.Join(words, " ")
		rest := strings.ReplaceAll(test.operands, "''", "")
		if test.err != "" || got != test.given || strings.Join(operands, " ") != rest || guarded != test.guarded {
			t.Errorf("%q: %q %q %v, want %+v", test.args, got, operands, guarded, test)
		}
	}
}

// made is what the options of a made-up program say.
type made struct {
	force bool
	wait  time.Duration
	size  string
}

func (m *made) utility() *Utility {
	return &Utility{
		Name:    "make-up",
		Usage:   "usage: make-up file ...\n       make-up -f",
		Purpose: "Makes\nup.",
		Options: []Option{
			Opt("-w, --wait TIME", "so long", Value(&m.wait, ParseDuration)),
			Opt("-f, --force", "at once,\nor sooner", Flag(&m.force)),
			Opt("-s, --some-size WIDTHxHEIGHT", "this large,\nor larger", func(option, arg string) error {
				m.size = option + arg
				if arg == "0" {
					return errors.New("too small")
				}
				return nil
			}),
		},
		Operands: "the files",
	}
}

func TestParse(t *testing.T) {
	const help = `usage: make-up file ...
       make-up -f
Makes
up.

  -w, --wait TIME        so long
  -f, --force            at once,
                         or sooner
  -s, --some-size WIDTHxHEIGHT  this large,
                         or larger
  -h, --help             print this
  -V, --version          print the version
`
	version := "make-up (procgroup) " + Version + "\n"
	for _, test := range []struct {
		args     string
		set      made
		operands string
		stdout   string
		err      string
	}{
		{args: "a b", operands: "a b"},
		{args: "-fw 2m --some-size=1x1 a", set: made{true, 2 * time.Minute, "-s1x1"}, operands: "a"},
		{args: "-w1 -w2 -s1 -s2", set: made{wait: 2 * time.Second, size: "-s2"}},
		{args: "-f -- -a -b", set: made{force: true}, operands: "-a -b"},
		{args: "a - b", operands: "a - b"},
		{args: "-fh a -a", set: made{force: true}, stdout: help},
		{args: "--help a -b", stdout: help},
		{args: "--version a -b", stdout: version},
		{args: "-Vh", stdout: help},
		{args: "a -f -b", err: "-f: options come before the files"},
		{args: "-hw x", err: "-w: x: not a duration (10, 0.5, 2m)"},
		{args: "--wait=x -h", err: "-w: x: not a duration (10, 0.5, 2m)"},
		{args: "-s0 -wx", set: made{size: "-s0"}, err: "too small"},
		{args: "-wx -h -x", err: "-x: unknown option"}, // before any argument is looked at
	} {
		var set made
		var stdout, stderr bytes.Buffer
		operands, err := set.utility().Parse(strings.Fields(test.args))
		if strings.Join(operands, " ") != test.operands || set != test.set {
			t.Errorf("%s: %q, %+v, %v", test.args, operands, set, err)
		}
		if (err != nil) != (test.stdout+test.err != "") {
			t.Errorf("%s: error %v", test.args, err)
		}
		if err == nil {
			continue
		}
		wantStatus, wantErrors := StatusOK, ""
		if test.err != "" {
			wantStatus, wantErrors = StatusUsage, "make-up: "+test.err+"\nusage: make-up file ...\n       make-up -f\n"
		}
		status := set.utility().Answer(err, &stdout, &stderr)
		if status != wantStatus || stdout.String() != test.stdout || stderr.String() != wantErrors {
			t.Errorf("%s: status %d\n%s%s", test.args, status, &stdout, &stderr)
		}
	}

	// Words that look like options may be the operands' own.
	u := (&made{}).utility()
	u.Operands = ""
	if operands, err := u.Parse([]string{"a", "-f"}); err != nil || !slices.Equal(operands, []string{"a", "-f"}) {
		t.Errorf("%q, %v", operands, err)
	}
}

func FuzzGetopt(f *testing.F) {
	for _, s := range []string{"-fv\x00a", "-p\x00x", "--pidfile=x\x00--\x00-f", "-\x00--", "-fp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x00")
		given, operands, guarded, err := getopt(testOptions, args)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("unescaped: %q", err)
			}
			return
		}
		if !slices.Equal(operands, args[len(args)-len(operands):]) {
			t.Errorf("%q: the operands %q are no tail", args, operands)
		}
		if len(operands) > 0 && !guarded && len(operands[0]) > 1 && operands[0][0] == '-' {
			t.Errorf("%q: stopped at %q", args, operands[0])
		}
		for _, g := range given {
			if !slices.ContainsFunc(testOptions, func(o Option) bool { return o.names == g.names }) {
				t.Errorf("%q: option %q", args, g.names)
			}
		}
	})
}
