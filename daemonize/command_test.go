package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

func TestEnvironment(t *testing.T) {
	environment := func(c *config, user *posix.User, caller ...string) []string {
		t.Helper()
		old := os.Environ()
		defer func() {
			os.Clearenv()
			for _, e := range old {
				name, value, _ := strings.Cut(e, "=")
				os.Setenv(name, value)
			}
		}()
		os.Clearenv()
		for _, e := range caller {
			name, value, _ := strings.Cut(e, "=")
			os.Setenv(name, value)
		}
		env := c.environment(user)
		slices.Sort(env)
		return env
	}
	app := &posix.User{Name: "app", UID: 7, GID: 7, Home: "/srv/app", Shell: "/bin/false"}
	for _, c := range []struct {
		config *config
		user   *posix.User
		caller []string
		want   string
	}{
		{&config{}, nil, nil, "PATH=" + standardPath},
		{&config{}, nil, []string{"PATH=", "A=1"}, "A=1 PATH="},
		{&config{env: []string{"A=2", "B=3", "A=4=5"}}, nil, []string{"PATH=/bin", "A=1"}, "A=4=5 B=3 PATH=/bin"},
		{&config{env: []string{"PATH=/x"}}, nil, nil, "PATH=/x"},
		{&config{env: []string{"HOME=/own"}}, app, []string{"PATH=/bin", "HOME=/root", "MAIL=m"},
			"HOME=/own LOGNAME=app MAIL=m PATH=/bin SHELL=/bin/false USER=app"},
	} {
		if got := strings.Join(environment(c.config, c.user, c.caller...), " "); got != c.want {
			t.Errorf("%v: %s, want %s", c.caller, got, c.want)
		}
	}
}

func TestPutenv(t *testing.T) {
	env := []string{"A=1", "AB=2"}
	env = putenv(env, "A=3")
	env = putenv(env, "C=")
	if got := strings.Join(env, " "); got != "A=3 AB=2 C=" {
		t.Error(got)
	}
	if _, ok := getenv(env, "B"); ok {
		t.Error("B is set")
	}
	if v, ok := getenv(env, "C"); !ok || v != "" {
		t.Error("C is not set and empty")
	}
}

func TestCandidates(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for name, mode := range map[string]os.FileMode{"a/run": 0o755, "b/run": 0o755, "c/run": 0o644, "a/plain": 0o644, "here": 0o755} {
		os.MkdirAll(filepath.Dir(name), 0o755)
		if err := os.WriteFile(name, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	os.Mkdir("a/dir", 0o755)
	t.Chdir("/") // relative names are those of the directory that is given
	for _, c := range []struct {
		name, path string
		want       string // in dir
		status     int
	}{
		{"run", dir + "/a:" + dir + "/b", "/a/run /b/run", 0},
		{"run", "b/:a", "/b/run /a/run", 0}, // relative parts too
		{"run", dir + "/c:/none:" + dir + "/here:" + dir + "/a", "/a/run", 0},
		{"here", ":/none", "/here", 0},
		{"here", "/none:", "/here", 0},
		{"here", "", "/here", 0},
		{"./here", "/none", "/here", 0},
		{"a/run", "", "/a/run", 0},
		{dir + "/a/run", "", "/a/run", 0},
		{"run", dir + "/c", "", posix.StatusCannotExec},
		{"dir", dir + "/a", "", posix.StatusCannotExec},
		{"plain", dir + "/a:" + dir + "/b", "", posix.StatusCannotExec},
		{"./a", "", "", posix.StatusCannotExec},
		{"run", "/none", "", posix.StatusNotFound},
		{"here", "/none", "", posix.StatusNotFound},
		{"", dir, "", posix.StatusNotFound},
		{"here/x", "", "", posix.StatusNotFound},
		{strings.Repeat("x", 300), dir, "", posix.StatusCannotExec}, // ENAMETOOLONG
	} {
		files, err := candidates(c.name, c.path, dir)
		got := strings.ReplaceAll(strings.Join(files, " "), dir, "")
		status := 0
		if f, ok := errors.AsType[*posix.Failure](err); ok {
			status = f.Status
		} else if err != nil {
			status = -1
		}
		if got != c.want || status != c.status {
			t.Errorf("%q along %q: %q, %v; want %q, status %d", c.name, c.path, got, err, c.want, c.status)
		}
	}
}

func TestExecvp(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("exit\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		answers map[string]error
		ran     string
		status  int
	}{
		{map[string]error{"1": nil}, "1", 0},
		{map[string]error{"1": unix.EACCES, "2": nil}, "1 2", 0},
		{map[string]error{"1": unix.ENOENT, "2": nil}, "1 2", 0},
		{map[string]error{"1": unix.ETXTBSY}, "1", posix.StatusCannotExec},
		{map[string]error{"1": unix.E2BIG}, "1", posix.StatusCannotExec},
		{map[string]error{"1": unix.ENOEXEC}, "1", posix.StatusCannotExec}, // not to be read
		{map[string]error{"1": unix.EAGAIN}, "1", posix.StatusFailed},
		{map[string]error{"1": unix.ENOMEM}, "1", posix.StatusFailed},
		{map[string]error{"1": unix.ENOENT, "2": unix.EACCES, script: unix.ENOEXEC, "/bin/sh": nil}, "1 2 " + script + " /bin/sh", 0},
	} {
		j := &job{config: &config{}, files: []string{"1", "2", script}, command: &posix.Command{Argv: []string{"name", "argument"}}}
		var ran []string
		err := j.execvp(func() error {
			ran = append(ran, j.command.Path)
			return c.answers[j.command.Path]
		})
		status := posix.Report(new(bytes.Buffer), "", err, posix.StatusFailed)
		if got := strings.Join(ran, " "); got != c.ran || status != c.status {
			t.Errorf("%v: ran %s, status %d", c.answers, got, status)
		}
		if ran[len(ran)-1] == "/bin/sh" && !slices.Equal(j.command.Argv, []string{"/bin/sh", script, "argument"}) {
			t.Errorf("the shell got %q", j.command.Argv)
		}
	}
}

func TestIsText(t *testing.T) {
	for text, want := range map[string]bool{
		"":                     true,
		"echo hello\n":         true,
		"\xc3\xa4\xff latin\n": true,
		"exit\n\x00payload":    true, // a self-extracting archive
		"\x7fELF":              false,
		"\x7fELF\n":            false,
		"MZ\x00\n":             false,
		"no newline \x00":      false,
	} {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := isText(head(file)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if isText(head("/nonexistent")) || isText(head("/")) {
		t.Error("what cannot be read is text")
	}
}

func TestInterpreter(t *testing.T) {
	for line, want := range map[string]string{
		"":                       "",
		"echo":                   "",
		"\x7fELF":                "",
		"#!/bin/none":            " /bin/none",
		"#!/bin/sh\r":            " /bin/sh\\r",
		"#! \t/bin/none -x":      " /bin/none",
		"#!/bin/none\t-x y":      " /bin/none",
		"#!none ":                " none",
		"#!/bin/\x1b[1mnone\x00": " /bin/\\x1b[1mnone\\x00",
	} {
		if got := interpreter([]byte(line)); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func FuzzInterpreter(f *testing.F) {
	f.Add([]byte("#!/bin/sh\r"))
	f.Fuzz(func(t *testing.T, line []byte) {
		got := interpreter(line)
		if strings.ContainsFunc(got, unicode.IsControl) || (got != "") != bytes.HasPrefix(line, []byte("#!")) {
			t.Errorf("%q: %q", line, got)
		}
		if isText(line) && bytes.IndexByte(line, 0) >= 0 {
			t.Error("text with a NUL")
		}
	})
}
