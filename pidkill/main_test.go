package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

func pidkill(args ...string) (status int, out, errs string) {
	var stdout, stderr bytes.Buffer
	status = run(args, &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func TestUsage(t *testing.T) {
	usage := (&job{}).utility().Usage
	for line, want := range map[string]string{
		"":                       "which pidfile?",
		"-g":                     "which process group?",
		"-x a.pid":               "-x: unknown option",
		"--kil a.pid":            "--kil: unknown option",
		"-t":                     "-t: needs an argument",
		"-t x a.pid":             "-t: x: not a duration (10, 0.5, 2m)",
		"-s NOPE a.pid":          "-s: NOPE: unknown signal",
		"-r TERM/1/x a.pid":      "-r: x: expected a signal (TERM/10/KILL/5)",
		"-r= a.pid":              "-r: =: expected a signal (TERM/10/KILL/5)",
		"a.pid -9":               "-9: options come before the operands",
		"-9 -t 1 a.pid":          "-t, -r and -9: choose one",
		"-r TERM/1 -t 1 a.pid":   "-t, -r and -9: choose one",
		"-S -T a.pid":            "-L, -S and -T: choose one",
		"-LS a.pid":              "-L, -S and -T: choose one",
		"-hLS":                   "-L, -S and -T: choose one",
		"-1 a.pid":               "-1: unknown option",
		"-g -L 5":                "-g and -L: choose one",
		"-a a.pid":               "-a goes with -s: without it the whole group is ended anyway",
		"-aT -s HUP a.pid":       "-a and -T: choose one",
		"1234567":                "1234567: a number: did you mean -g 1234567?",
		"-g 5 x":                 "x: not a process group ID",
		"-s HUP -9 a.pid":        "-s sends one signal: -t, -r and -9 make no sense with it",
		"-0 -s HUP a.pid":        "-0 sends nothing: -n, -r, -s, -t and -9 make no sense with it",
		"-0n a.pid":              "-0 sends nothing: -n, -r, -s, -t and -9 make no sense with it",
		"-vq a.pid":              "-v and -q: choose one",
		"--status=yes a.pid":     "--status: takes no argument",
		"--timeout":              "--timeout: needs an argument",
		"-q /nonexistent/a -m b": "-m: options come before the operands",
	} {
		status, out, errs := pidkill(strings.Fields(line)...)
		if status != posix.StatusUsage || out != "" || errs != "pidkill: "+want+"\n"+usage+"\n" {
			t.Errorf("%s: %d %q %q", line, status, out, errs)
		}
	}
	if status, out, errs := pidkill("a.pid", ""); status != 2 || out != "" || !strings.HasPrefix(errs, "pidkill: an operand is empty\n") {
		t.Errorf("an empty operand: %d %q %q", status, out, errs)
	}
	if status, out, errs := pidkill("-h", "--nonsense"); status != 2 || out != "" || errs == "" {
		t.Errorf("-h: %d %q %q", status, out, errs)
	}
	for _, word := range []string{"-h", "--help"} {
		if status, out, errs := pidkill(word); status != 0 || !strings.HasPrefix(out, usage+"\nEnd each daemon's") || errs != "" {
			t.Errorf("%s: %d %q", word, status, errs)
		}
	}
	for _, word := range []string{"-V", "--version", "-0qV"} {
		if status, out, errs := pidkill(word); status != 0 || out != "pidkill (procgroup) "+posix.Version+"\n" || errs != "" {
			t.Errorf("%s: %d %q %q", word, status, out, errs)
		}
	}
}

// victim starts a process that leads a group of its own.
func victim(t *testing.T, script string) int {
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	out.Read(make([]byte, 1)) // until it has said that it is ready
	reaped := make(chan bool)
	go func() {
		cmd.Wait()
		close(reaped)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-reaped
	})
	return cmd.Process.Pid
}

// FuzzUsage has what is wrong in a command line said in one line that a
// terminal may see, and nothing accepted that contradicts itself.
func FuzzUsage(f *testing.F) {
	for _, s := range []string{"-r\x00TERM/\x1b\x00a", "-s\x00a\nb", "-t1\x00-9\x00a", "-0n\x00a", "a\x00-\x1b", "--\x00-9", "-g\x001", "12", "-as1\x00a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		k, err := parse(strings.Split(line, "\x00"))
		switch {
		case err != nil:
			if strings.ContainsFunc(err.Error(), unicode.IsControl) || err.Error() == "" {
				t.Errorf("%q: %q", line, err)
			}
		case len(k.operands) == 0, k.status && (k.dryRun || k.signal != 0), k.verbose && k.quiet, len(k.plan.steps) == 0:
			t.Errorf("%q: %+v", line, k)
		}
	})
}

func TestGroupIDs(t *testing.T) {
	child := victim(t, "sleep 60 & echo $! >/proc/self/fd/1; wait")
	pids, err := posix.Children(child)
	if err != nil || len(pids) != 1 {
		t.Fatal(pids, err)
	}
	member := strconv.Itoa(pids[0])
	for operand, want := range map[string]string{
		"1":       "1: refused: no process group that may be ended",
		"4194305": "4194305: refused: no process group that may be ended",
		member:    fmt.Sprintf("%s: process %s leads no group: it is in group %d", member, member, child),
	} {
		status, _, errs := pidkill("-g", "-0", operand)
		if want = "pidkill: " + want + "\n"; errs != want {
			t.Errorf("-g %s: %d %q, want %q", operand, status, errs, want)
		}
	}
	unix.Kill(-child, unix.SIGKILL)
}

// One row for each status in the contract.
func TestStatuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const obedient, stubborn = "echo; exec sleep 60", "trap '' TERM; echo; exec sleep 60"
	gone := victim(t, "exit 0")
	for deadline := time.Now().Add(5 * time.Second); unix.Kill(gone, 0) == nil && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	stale := strconv.Itoa(gone) + "\n"
	missing := filepath.Join(dir, "missing")
	for _, test := range []struct {
		options string
		content string // "": no file; "+": of an obedient victim, "!": of a stubborn one
		status  int
		removed bool
	}{
		{"", "+", 0, true},
		{"-9", "!", 0, true},
		{"-t 0.1", "!", 0, true},
		{"-m", "+", 0, true},
		{"-n", "+", 0, false},
		{"-s CONT", "+", 0, false},
		{"-0", "+", 0, false},
		{"-m", stale, 1, true},
		{"-m", "", 1, false},
		{"-s HUP", stale, 1, false},
		{"-s HUP", "", 1, false},
		{"-0", stale, 1, false},
		{"", stale, 0, true},
		{"-n", stale, 0, false},
		{"", "", 0, false},
		{"-r TERM/0.1", "!", 3, false},
		{"-0", "", 3, false},
		{"", "rubbish", 4, false},
		{"-f", "rubbish", 4, false},
		{"-0", "rubbish", 4, false},
		{"-s HUP", "0\n", 4, false},
		{"-f", "1\n", 4, false},
	} {
		path := missing
		switch test.content {
		case "":
		case "+":
			path = file("a.pid", strconv.Itoa(victim(t, obedient))+"\n")
		case "!":
			path = file("a.pid", strconv.Itoa(victim(t, stubborn))+"\n")
		default:
			path = file("a.pid", test.content)
		}
		status, out, errs := pidkill(append(strings.Fields(test.options), path)...)
		if status != test.status {
			t.Errorf("%s %q: status %d %q %q, want %d", test.options, test.content, status, out, errs, test.status)
		}
		if _, err := os.Stat(path); test.content != "" && os.IsNotExist(err) != test.removed {
			t.Errorf("%s %q: %v", test.options, test.content, err)
		}
		if status, out, errs := pidkill(append([]string{"-q"}, append(strings.Fields(test.options), missing)...)...); out+errs != "" {
			t.Errorf("-q %s: %d %q %q", test.options, status, out, errs)
		}
	}
}

// Without CONFIG_PROC_CHILDREN the kernel does not tell a process's children
// (proc_pid_task(5)): the table of processes does, however few are asked for.
func TestChildren(t *testing.T) {
	defer func(root string) { posix.ProcRoot = root }(posix.ProcRoot)
	posix.ProcRoot = t.TempDir()
	c := &listing{pids: []int{10, 20, 30, os.Getpid()}}
	for _, pid := range c.pids {
		dir := fmt.Sprintf("%s/%d", posix.ProcRoot, pid)
		row := fmt.Sprintf("%d (x) S 10 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5\n", pid)
		if err := cmp.Or(os.MkdirAll(fmt.Sprintf("%s/task/%d", dir, pid), 0o755), os.WriteFile(dir+"/stat", []byte(row), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(c.pids)
	of, err := c.children([]int{10})
	if err != nil || !slices.Contains(of(10), 20) || len(of(20)) > 0 {
		t.Errorf("%v, %v", of(10), err)
	}
}
