package posix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// statLine is a line of proc_pid_stat(5).
func statLine(pid int, comm, state string, ppid, pgid, sid int) string {
	return fmt.Sprintf("%d (%s) %s %d %d %d 34816 77 4194560 1 2 3 4 150 250 7 8 20 -5 3 0 987654 1000 200 18446744073709551615\n",
		pid, comm, state, ppid, pgid, sid)
}

// fakeProc makes a process table of files, "12/stat" and so on.
func fakeProc(t *testing.T, files map[string]string) {
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old := ProcRoot
	ProcRoot = root
	t.Cleanup(func() { ProcRoot = old })
}

func TestParseStat(t *testing.T) {
	for _, comm := range []string{"sh", "", ")", "a) S 1 2 3", "((x)", "new\nline", "\x1b[2J", "\xff\x9b", " ) "} {
		var p Process
		if err := parseStat([]byte(statLine(42, comm, "S", 1, -2, 3)), &p); err != nil {
			t.Errorf("%q: %v", comm, err)
			continue
		}
		want := Process{PID: 42, TGID: 42, PPID: 1, PGID: -2, SID: 3, TTY: 34816, TPGID: 77, Threads: 3, Nice: -5,
			Flags: 4194560, State: 'S', Start: 987654, CPU: 400, Comm: comm}
		if p != want {
			t.Errorf("%q:\n%+v, want\n%+v", comm, p, want)
		}
	}
	line := statLine(42, "sh", "S", 1, 2, 3)
	cut := strings.Index(line, " 1000 200")
	for i := range cut { // all that is needed ends there
		if err := parseStat([]byte(line[:i]), new(Process)); err == nil && i < cut-len("987654") {
			t.Errorf("%q: no error", line[:i])
		}
	}
	for _, bad := range []string{
		strings.Replace(line, " 77 ", " 7x ", 1),
		strings.Replace(line, " 77 ", "  ", 1),
		strings.Replace(line, " 77 ", " 9999999999999999999 ", 1),
		strings.Replace(line, "42 ", "x ", 1),
		")42 (" + line,
		strings.Replace(line, ") ", ")x", 1),
		strings.Replace(line, "42 (", "42(", 1),
	} {
		if err := parseStat([]byte(bad), new(Process)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestZombie(t *testing.T) {
	for _, c := range []struct {
		state   byte
		threads int
		want    bool
	}{{'S', 1, false}, {'T', 1, false}, {'Z', 1, true}, {'Z', 0, true}, {'X', 0, true}, {'Z', 2, false}} {
		if p := (Process{State: c.state, Threads: c.threads}); p.Zombie() != c.want {
			t.Errorf("%c with %d threads: %v", c.state, c.threads, !c.want)
		}
	}
}

func TestPIDs(t *testing.T) {
	if all, err := PIDs(); err != nil || !slices.Contains(all, os.Getpid()) || !slices.IsSorted(all) {
		t.Errorf("PIDs: %v, %v", all, err)
	}
	fakeProc(t, map[string]string{"7/stat": "", "4194304/stat": "", "12x/stat": "", "x12/stat": "", "self/stat": "", "0/stat": ""})
	all, err := PIDs()
	slices.Sort(all)
	if err != nil || !slices.Equal(all, []int{7, 4194304}) {
		t.Errorf("made up: %v, %v", all, err)
	}
	fakeProc(t, map[string]string{"version": ""})
	if _, err := PIDs(); err == nil {
		t.Error("an empty table is no error")
	}
	ProcRoot = "/nonexistent"
	if _, err := PIDs(); !errors.Is(err, unix.ENOENT) {
		t.Errorf("no table: %v", err)
	}
}

func TestTable(t *testing.T) {
	long := strings.Repeat("x", 300<<10)
	fakeProc(t, map[string]string{
		"1/stat": statLine(1, "init", "S", 0, 1, 1), "1/cmdline": "/sbin/init\x00-x\x00", "1/statm": "100 25 3\n",
		"1/cgroup":  "0::/a\n",
		"3/cmdline": "gone before its stat was read",
		"4/stat":    statLine(4, "gone before its cmdline", "S", 0, 1, 1), "4/statm": "1 1\n", "4/cgroup": "",
		"5/stat": statLine(5, "gone before its statm", "S", 0, 1, 1), "5/cmdline": "", "5/cgroup": "",
		"6/stat": statLine(6, "long", "S", 0, 1, 1), "6/cmdline": long, "6/statm": "1 1\n", "6/cgroup": "",
		"6/task/6/stat": statLine(6, "long", "S", 0, 1, 1),
		"6/task/8/stat": statLine(8, "second", "R", 0, 1, 1),
		"6/task/9/cmd":  "a thread that has gone",
		"8/stat":        statLine(8, "second", "R", 0, 1, 1), "8/status": "Name:\tsecond\nTgid:\t6\nPid:\t8\n",
	})
	rows, denied, err := Table([]int{1, 3, 4, 5, 6, 7})
	if err != nil || denied || len(rows) != 4 || rows[0].PID != 1 || rows[0].Args != "" || rows[3].PID != 6 {
		t.Fatalf("%+v, %v, %v", rows, denied, err)
	}
	gone := rows[2] // between the two
	gone.PID = 7
	all := []*Process{&rows[0], &rows[1], &rows[2], &rows[3], &gone}
	Fill(all, Owner|Args|Memory|Cgroup)
	if p := rows[0]; p.Args != "/sbin/init\x00-x\x00" || p.RSS != 25*os.Getpagesize()/1024 || p.UID != os.Geteuid() || p.Cgroup != "0::/a\n" {
		t.Errorf("first row: %+v", p)
	}
	if n := len(rows[3].Args); n < 128<<10 || n > 256<<10 {
		t.Errorf("%d bytes kept of a long command line", n)
	}
	if got := fmt.Sprintf("%c%c%c%c%c", rows[0].State, rows[1].State, rows[2].State, rows[3].State, gone.State); got != "SXXSX" {
		t.Errorf("states %s", got)
	}
	threads := ThreadRows(&rows[3])
	if len(threads) != 1 || threads[0].PID != 8 || threads[0].TGID != 6 || threads[0].Comm != "second" || threads[0].RSS != rows[3].RSS {
		t.Errorf("threads: %+v", threads)
	}
	if threads := ThreadRows(&rows[0]); threads != nil { // it has ended
		t.Errorf("threads: %+v", threads)
	}
	if a, b := ThreadGroup(8), ThreadGroup(9); a != 6 || b != 0 {
		t.Errorf("threads of %d and %d", a, b)
	}
}

// The rows come back in order.
func TestTableOrder(t *testing.T) {
	files, pids := map[string]string{}, []int{}
	for pid := 1000; pid > 0; pid-- {
		pids = append(pids, pid)
		if pid%3 > 0 {
			files[fmt.Sprint(pid, "/stat")] = statLine(pid, "x", "S", 1, 1, 1)
		}
	}
	fakeProc(t, files)
	rows, _, err := Table(pids)
	if err != nil || len(rows) != len(files) {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if !slices.IsSortedFunc(rows, func(a, b Process) int { return b.PID - a.PID }) {
		t.Error("out of order")
	}
}

// Rows that make no sense do not keep the others from being read. The error
// says which is the first.
func TestTableMalformed(t *testing.T) {
	fakeProc(t, map[string]string{"11/stat": statLine(11, "x", "S", 1, 1, 1), "12/stat": "12 (x", "13/stat": "", "14/stat": ""})
	rows, _, err := Table([]int{11, 12, 13, 14})
	if len(rows) != 1 || !errors.Is(err, errStat) || !strings.HasSuffix(err.Error(), "/12/stat: malformed (and 2 more)") {
		t.Errorf("%+v, %v", rows, err)
	}
	if rows, _, err = Table([]int{12}); len(rows) != 0 || !strings.HasSuffix(err.Error(), "/12/stat: malformed") {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestReadStat(t *testing.T) {
	// Not of this process itself: an emulator makes that row up.
	pid, _ := start(t, nil, "sh", "-c", "echo; read line")
	p, err := ReadStat(pid)
	if err != nil || p.PID != pid || p.PPID != os.Getpid() || p.PGID != pid || p.Zombie() || p.Kernel() {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := ReadStat(MaxPID + 1); !errors.Is(err, unix.ESRCH) {
		t.Errorf("nobody: %v", err)
	}
}

// Children finds all of them where one read does not.
func TestChildren(t *testing.T) {
	const n = 300
	g := startGroup(t, fmt.Sprintf("for i in $(seq %d); do sleep 60 & done; echo; wait", n))
	list, err := Children(g.ID)
	if err != nil || len(list) != n {
		t.Fatalf("%d children, %v", len(list), err)
	}
	for _, pid := range list {
		if p, err := ReadStat(pid); err != nil || p.PPID != g.ID {
			t.Errorf("%d: %+v, %v", pid, p, err)
		}
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte(statLine(1, "a) b", "S", 1, 2, 3)))
	f.Add([]byte("1 () S"))
	f.Fuzz(func(t *testing.T, line []byte) {
		var p, q Process
		if parseStat(line, &p) == nil && !bytes.Contains(line, []byte("("+p.Comm+") ")) {
			t.Errorf("%q: name %q", line, p.Comm)
		}
		// Whatever the name, the numbers are those that stand behind it.
		made := statLine(7, string(line), "S", 1, -2, 3)
		if err := parseStat([]byte(made), &q); err != nil || q.PID != 7 || q.Comm != string(line) || q.State != 'S' ||
			q.PPID != 1 || q.PGID != -2 || q.SID != 3 {
			t.Errorf("%q: %+v, %v", made, q, err)
		}
	})
}
