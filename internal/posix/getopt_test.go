package posix

import (
	"slices"
	"strings"
	"testing"
)

var testOptions = []Option{
	{Letter: 'f', Long: "force"},
	{Letter: 'p', Long: "pidfile", Arg: true},
	{Letter: 'v', Long: "verbose"},
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
		given, operands, guarded, err := Getopt(testOptions, args)
		if err != nil {
			// The letter beyond ASCII is shown as the locale has it.
			if msg := strings.Replace(err.Error(), "é", "\\xe9", 1); msg != test.err && !strings.Contains(test.args, "é") {
				t.Errorf("%q: error %q, want %q", test.args, msg, test.err)
			}
			continue
		}
		var words []string
		for _, g := range given {
			word := string(g.Letter)
			if g.Letter == 'p' {
				word += "=" + g.Arg
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

func TestStray(t *testing.T) {
	if w, found := Stray([]string{"a", "-", "-9"}, false); !found || w != "-9" {
		t.Errorf("got %q %v", w, found)
	}
	if w, found := Stray([]string{"a", "-9"}, true); found {
		t.Errorf("got %q behind --", w)
	}
}

func FuzzGetopt(f *testing.F) {
	for _, s := range []string{"-fv\x00a", "-p\x00x", "--pidfile=x\x00--\x00-f", "-\x00--", "-fp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x00")
		given, operands, guarded, err := Getopt(testOptions, args)
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
			if !slices.ContainsFunc(testOptions, func(o Option) bool { return o.Letter == g.Letter }) {
				t.Errorf("%q: option %q", args, g.Letter)
			}
		}
	})
}
