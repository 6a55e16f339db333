package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"procgroup/internal/posix"
)

// TestRun has the statuses that are known before anything is done. With -f no
// copy of the test would be started.
func TestRun(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin") // all of it readable
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("echo\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	elsewhere := func(user, group string) string {
		return " (only /etc/passwd and /etc/group count; from elsewhere: setpriv --reuid=" + user + " --regid=" + group + " --init-groups daemonize ...)"
	}
	for _, c := range []struct {
		args   string
		status int
		stderr string // its first line
	}{
		{"-h", posix.StatusOK, ""},
		{"--version", posix.StatusOK, ""},
		{"-h -w 1 -n 1", posix.StatusOK, ""}, // help whatever else was said
		{"", posix.StatusUsage, "daemonize: which command?"},
		{"--", posix.StatusUsage, "daemonize: which command?"},
		{"-x true", posix.StatusUsage, "daemonize: -x: unknown option"},
		{"--pidfile", posix.StatusUsage, "daemonize: --pidfile: needs an argument"},
		{"--append=x true", posix.StatusUsage, "daemonize: --append: takes no argument"},
		{"--pidfile= true", posix.StatusUsage, "daemonize: -p: an empty file name"},
		{"--user= true", posix.StatusUsage, "daemonize: -u: an empty user name"},
		{"-w -1 true", posix.StatusUsage, "daemonize: -w: -1: not a duration (10, 0.5, 2m)"},
		{"-n 1x true", posix.StatusUsage, "daemonize: -n: 1x: not a duration (10, 0.5, 2m)"},
		{"-m 778 true", posix.StatusUsage, "daemonize: -m: 778: expected an octal mask up to 777"},
		{"-m -1 true", posix.StatusUsage, "daemonize: -m: -1: expected an octal mask up to 777"},
		{"-k -1 true", posix.StatusUsage, "daemonize: -k: -1: expected a descriptor's number"},
		{"-k 4294967296 true", posix.StatusUsage, "daemonize: -k: 4294967296: expected a descriptor's number"},
		{"-E NAME true", posix.StatusUsage, "daemonize: -E: NAME: expected NAME=VALUE"},
		{"-E =value true", posix.StatusUsage, "daemonize: -E: =value: expected NAME=VALUE"},
		{"-ta -o x true", posix.StatusUsage, "daemonize: -t and -a: choose one"},
		{"-t true", posix.StatusUsage, "daemonize: -t: there is no -o or -e file to empty"},
		{"-qv true", posix.StatusUsage, "daemonize: -v and -q: choose one"},
		{"-w1 -n1 true", posix.StatusUsage, "daemonize: -w and -n: choose one"},
		{"-f -w1 true", posix.StatusUsage, "daemonize: -f leaves nobody to do what -w, -n and -s want"},
		{"-f -n1 true", posix.StatusUsage, "daemonize: -f leaves nobody to do what -w, -n and -s want"},
		{"-f -o |cat true", posix.StatusUsage, "daemonize: -f leaves nobody to start a program for the output"},
		{"-f -e |cat true", posix.StatusUsage, "daemonize: -f leaves nobody to start a program for the output"},
		{"-o | true", posix.StatusUsage, "daemonize: -o: |: which program?"},
		{"-r true", posix.StatusUsage, "daemonize: -r needs -s"},
		{"-s -R 2 true", posix.StatusUsage, "daemonize: -R needs -r"},
		{"-srR 0 true", posix.StatusUsage, "daemonize: -R: 0: expected a number of failures"},
		{"-f -k 999999 true", posix.StatusFailed, "daemonize: -k: descriptor 999999: not open"},
		{"-f -u no-such-user true", posix.StatusFailed, "daemonize: no-such-user: unknown user" + elsewhere("no-such-user", "GROUP")},
		{"-f -u root:no-such-group true", posix.StatusFailed, "daemonize: no-such-group: unknown group" + elsewhere("root", "no-such-group")},
		{"-f -u 4711 true", posix.StatusFailed, "daemonize: 4711: a number that is not in /etc/passwd needs its group said: -u 4711:4711"},
		{"-f " + dir, posix.StatusCannotExec, "daemonize: " + dir + ": cannot execute: is a directory"},
		{"-f " + plain, posix.StatusCannotExec, "daemonize: " + plain + ": cannot execute: permission denied"},
		{"-f " + dir + "/none", posix.StatusNotFound, "daemonize: " + dir + "/none: command not found: no such file or directory"},
		{"-f no-such-command", posix.StatusNotFound, "daemonize: no-such-command: command not found: no such file or directory"},
		{"-f A=b true", posix.StatusNotFound, "daemonize: A=b: command not found: no such file or directory (a shell's syntax? sh -c '...')"},
	} {
		var stdout, stderr bytes.Buffer
		status := run(strings.Fields(c.args), &stdout, &stderr)
		first, rest, _ := strings.Cut(stderr.String(), "\n")
		if status != c.status || first != c.stderr {
			t.Errorf("daemonize %s: status %d, %q; want %d, %q", c.args, status, first, c.status, c.stderr)
		}
		wantRest := ""
		if c.status == posix.StatusUsage {
			wantRest = (&config{}).utility().Usage + "\n"
		}
		if rest != wantRest {
			t.Errorf("daemonize %s: then %q, want %q", c.args, rest, wantRest)
		}
		if (stdout.Len() > 0) != (c.status == posix.StatusOK) {
			t.Errorf("daemonize %s: standard output %q", c.args, &stdout)
		}
	}
}

func TestParse(t *testing.T) {
	c, err := parse(strings.Fields("-fvpapp.pid --umask 27 -E A=1 -EB=2=3 -k5 --keep-fd=7 -c sub -u app:www -o log -- -p x"))
	if err != nil {
		t.Fatal(err)
	}
	if !c.foreground || !c.verbose || c.pidPath != "app.pid" || c.umask != 0o27 || c.dir != "sub" ||
		c.user != "app:www" || c.stdout != "log" || c.wait >= 0 || c.ready >= 0 ||
		!slices.Equal(c.env, []string{"A=1", "B=2=3"}) || !slices.Equal(c.keep, []int{5, 7}) ||
		!slices.Equal(c.argv, []string{"-p", "x"}) {
		t.Errorf("%+v", c)
	}
	c, err = parse(strings.Fields("-w 1.5m true"))
	if err != nil || c.wait != 90*time.Second || c.dir != "/" || c.umask != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	// Old scripts name one file twice.
	c, err = parse(strings.Fields("-l app.pid -p app.pid true"))
	if err != nil || c.lockPath != "" {
		t.Errorf("-l and -p one file: %q, %v", c.lockPath, err)
	}
}

// FuzzUsage has what is wrong in a command line said in one line that a
// terminal may see, and nothing accepted that contradicts itself.
func FuzzUsage(f *testing.F) {
	for _, s := range []string{"-E\x00\x1b", "-w\x001\n", "-k-1\x00x", "-srR2\x00x", "-fs\x00x", "-o|\x00x", "-m\x000x7\x00x", "--\x00-x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := parse(strings.Split(line, "\x00"))
		switch {
		case err != nil:
			if strings.ContainsFunc(err.Error(), unicode.IsControl) || err.Error() == "" {
				t.Errorf("%q: %q", line, err)
			}
		case len(c.argv) == 0, c.foreground && c.stays(), c.respawn && !c.supervised, c.limit < 0, c.limit > 0 && !c.respawn,
			c.umask < 0, c.umask > 0o777, c.wait >= 0 && c.ready >= 0, slices.ContainsFunc(c.keep, func(fd int) bool { return fd < 0 }):
			t.Errorf("%q: %+v", line, c)
		}
	})
}

func TestInheritedFD(t *testing.T) {
	for name, want := range map[string]int{
		"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2, "/dev/fd/0": 0, "/dev/fd/17": 17, "/proc/self/fd/3": 3,
		"": -1, "stdout": -1, "/dev/fd": -1, "/dev/fd/": -1, "/dev/fd/x": -1, "/dev/fd/-1": -1, "/dev/fd/3/x": -1, "/dev/fd/99999999999": -1,
		"/fd/3": -1, "/proc/self/dev/fd/3": -1, "/proc/1/fd/3": -1, "|/dev/stdout": -1, "/dev/null": -1,
	} {
		fd, ok := inheritedFD(name)
		if !ok {
			fd = -1
		}
		if fd != want {
			t.Errorf("%s: %d, want %d", name, fd, want)
		}
	}
}
