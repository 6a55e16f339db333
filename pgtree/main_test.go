package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// row is one process of a made-up /proc.
type row struct {
	pid, ppid, pgid, sid int
	comm, args           string
}

func (r row) stat(start int) []byte {
	return fmt.Appendf(nil, "%d (%s) S %d %d %d 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0\n", r.pid, r.comm, r.ppid, r.pgid, r.sid, start)
}

func fakeProc(t testing.TB, rows []row) {
	old := posix.ProcRoot
	posix.ProcRoot = t.TempDir()
	t.Cleanup(func() { posix.ProcRoot = old })
	for i, r := range rows {
		dir := filepath.Join(posix.ProcRoot, fmt.Sprint(r.pid))
		err := os.Mkdir(dir, 0o755)
		for name, content := range map[string]string{"stat": string(r.stat(i)), "cmdline": r.args, "statm": "9 3 2"} {
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func try(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(args, &out, &err)
	return status, out.String(), err.String()
}

func TestStatus(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	fakeProc(t, []row{
		{1, 0, 1, 1, "init", "init\x00"},
		{5, 1, 5, 5, "a-very-long-nam", "/bin/a-very-long-name\x00x\x00"},
		{6, 5, 5, 5, "a-very-long-nam", "a-very-long-namesake\x00"},
		{7, 5, 5, 5, "worker", "x\x00"},
		{8, 1, 8, 8, "work", "work-horse\x00"},                  // not cut
		{9, 8, 8, 8, "fifteen-letters", "/bin/interpreter\x00"}, // a script
	})
	for _, c := range []struct {
		args   string
		status int
		stdout string // of -ns
		stderr string
	}{
		{"-no pid,rss,comm 7", 0, fmt.Sprintf("  7 %3d worker\n", 3*os.Getpagesize()/1024), ""},
		{"-ns", 0, "init(1)\na-very-long-nam(5)\n|-a-very-long-nam(6)\n`-worker(7)\nwork(8)\n`-fifteen-letters(9)\n", ""},
		{"-ns 5", 0, "a-very-long-nam(5)\n|-a-very-long-nam(6)\n`-worker(7)\n", ""},
		{"-ns 7", 0, "worker(7)\n", ""},
		{"-ns 0007", 0, "worker(7)\n", ""},
		{"-ns worker init", 0, "worker(7)\ninit(1)\na-very-long-nam(5)\n|-a-very-long-nam(6)\n`-worker(7)\nwork(8)\n`-fifteen-letters(9)\n", ""},
		{"-ps worker", 0, "init(1)\n`-a-very-long-nam(5)\n  `-worker(7)\n", ""},
		{"-ps", 0, "init(1)\n|-a-very-long-nam(5)\n| |-a-very-long-nam(6)\n| `-worker(7)\n`-work(8)\n  `-fifteen-letters(9)\n", ""},
		{"-ns a-very-long-namesake", 0, "a-very-long-nam(6)\n", ""},
		{"-ns a-very-long-nam", 0, "a-very-long-nam(5)\n|-a-very-long-nam(6)\n`-worker(7)\n", ""},
		{"-ns a-very-long-n", 0, "a-very-long-nam(5)\n|-a-very-long-nam(6)\n`-worker(7)\n", ""}, // a beginning
		{"-ns work-horse interpreter", 0, "work(8)\n`-fifteen-letters(9)\nfifteen-letters(9)\n", ""},
		{"-ns pts/9 /dev/tty9 tty9", 1, "", "pgtree: pts/9: no session on that terminal\n" +
			"pgtree: /dev/tty9: no session on that terminal\npgtree: tty9: no process of that name\n"},
		{"-ns 10 7 nobody", 1, "worker(7)\n", "pgtree: 10: no such session, group or process\npgtree: nobody: no process of that name\n"},
		{"-ns 4194304", 1, "", "pgtree: 4194304: no such session, group or process\n"},
		{"-ns ./none", 1, "", "pgtree: ./none: no such file or directory\n"},
		{"-ns none.pid", 1, "", "pgtree: none.pid: no such file or directory\n"},
		{"0", 2, "", "pgtree: 0: a process ID is from 1 to 4194304\n"},
		{"-- -1", 2, "", "pgtree: -1: a process ID is from 1 to 4194304\n"},
		{"4294967297", 2, "", "pgtree: 4294967297: a process ID is from 1 to 4194304\n"},
		{"18446744073709551616", 2, "", "pgtree: 18446744073709551616: a process ID is from 1 to 4194304\n"},
		{"7 -s", 2, "", "pgtree: -s: options come before the first target\n"},
		{"-1", 2, "", "pgtree: -1: unknown option\n"},
		{"-o pid,nope", 2, "", "pgtree: -o: nope: no such column; there are pid ppid pgid sid tty tpgid stat uid user time etime start lstart nlwp rss cgroup comm args tree\n"},
		{"-o ,", 2, "", "pgtree: -o: no columns\n"},
		{"-C sometimes", 2, "", "pgtree: -C: sometimes: not one of auto, always, never\n"},
		{"-u no:such", 2, "", "pgtree: no:such: unknown user\n"},
		{"-hu no:such", 2, "", "pgtree: no:such: unknown user\n"}, // the help is for options that are right
		{"-u ,", 2, "", "pgtree: -u: no users\n"},
		{"-Js", 2, "", "pgtree: -J and -s exclude each other\n"},
		{"-Jopid", 2, "", "pgtree: -J and -o exclude each other\n"},
		{"-sopid", 2, "", "pgtree: -s and -o exclude each other\n"},
		{"-V", 0, "pgtree (procgroup) " + posix.Version + "\n", ""},
	} {
		status, stdout, stderr := try(strings.Fields(c.args)...)
		if c.status == posix.StatusUsage {
			c.stderr += "usage: pgtree [options] [target ...]\n"
		}
		if status != c.status || stdout != c.stdout || stderr != c.stderr {
			t.Errorf("%s: status %d\n%s%s\nwant %d\n%s%s", c.args, status, stdout, stderr, c.status, c.stdout, c.stderr)
		}
	}
	if status, stdout, stderr := try("-h"); status != 0 || !strings.HasPrefix(stdout, "usage: pgtree [options] [target ...]\nPrint processes ") || stderr != "" {
		t.Errorf("-h: %d, %s%s", status, stdout, stderr)
	}
	if status, _, stderr := try(""); status != 2 || !strings.HasPrefix(stderr, "pgtree: an empty target\n") {
		t.Errorf("empty target: %d, %s", status, stderr)
	}
	if status, stdout, _ := try("-u", "4294967294"); status != 0 || stdout != "" {
		t.Errorf("a user without processes: %d, %q", status, stdout)
	}
	if status, _, stderr := try("-u", "4294967294", "7"); status != 1 || stderr != "pgtree: 7: exists, but belongs to none of the users of -u\n" {
		t.Errorf("not this user's: %d, %q", status, stderr)
	}
	posix.ProcRoot = "/nonexistent"
	if status, stdout, stderr := try(); status != 4 || stdout != "" || stderr != "pgtree: open /nonexistent: no such file or directory\n" {
		t.Errorf("no table: %d %q %q", status, stdout, stderr)
	}
}

// broken is an output that fails.
type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestOutputFails(t *testing.T) {
	fakeProc(t, []row{{1, 0, 1, 1, "init", ""}})
	for _, option := range []string{"-n", "-J"} {
		var stderr bytes.Buffer
		if status := run([]string{option}, broken{unix.ENOSPC}, &stderr); status != 4 || stderr.String() != "pgtree: standard output: no space left on device\n" {
			t.Errorf("%s, full: %d, %q", option, status, stderr.String())
		}
		stderr.Reset()
		if status := run([]string{option}, broken{unix.EPIPE}, &stderr); status != 0 || stderr.Len() > 0 {
			t.Errorf("%s, pipe: %d, %q", option, status, stderr.String())
		}
		if status := run([]string{option, "9"}, broken{unix.EPIPE}, broken{unix.EPIPE}); status != 1 {
			t.Errorf("%s, all closed: %d", option, status)
		}
	}
}

func TestHidden(t *testing.T) {
	fakeProc(t, []row{{5, 1, 5, 5, "mine", ""}})
	const want = ": the view is partial: processes are hidden (hidepid)\n"
	if status, stdout, stderr := try("-ns"); status != 0 || stdout != "mine(5)\n" || !strings.HasSuffix(stderr, want) {
		t.Errorf("%d %q %q", status, stdout, stderr)
	}
}

var hostile = []string{
	"a) S 1 2 3", "(", ")", "with space", "new\nline", "tab\t", "esc\x1b[2J", "raw\x9bC1", "enc\u009bC1",
	"bidi\u202etxt", "e\u0301combined", "日本語", "caf\xe9", "cut\xe6\x97", "back\\slash", "zwj\u200d", `quo"te`,
	"\u0301first", "flag\U0001f1e6\U0001f1e8", "nul",
}

// Nothing reaches the output that a terminal obeys; what follows a name stands
// where it should; and JSON has every name as it is.
func TestHostileNames(t *testing.T) {
	rows := []row{{1, 0, 1, 1, "init", ""}}
	for i, name := range hostile {
		rows = append(rows, row{i + 2, 1, 1, 1, name, name + "\x00--option\x00" + name + "\x00"})
	}
	fakeProc(t, rows)
	for _, locale := range []string{"C", "C.UTF-8"} {
		t.Setenv("LC_ALL", locale)
		for _, options := range []string{"-o comm,args,tree,pid", "-s", "-J", "-C always"} {
			status, stdout, stderr := try(strings.Fields(options)...)
			if status != 0 || stderr != "" {
				t.Fatalf("%s: %d, %s", options, status, stderr)
			}
			colored := regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(stdout, "")
			for _, r := range strings.ReplaceAll(colored, "\n", "") {
				if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) || r == unicode.ReplacementChar || locale == "C" && r > '~' {
					t.Errorf("%s in %s: %x got through", options, locale, r)
				}
			}
		}
		_, stdout, _ := try("-o", "comm,args,tree,pid")
		lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
		if len(lines) != len(rows)+1 {
			t.Errorf("%d lines of %d rows", len(lines), len(rows))
		}
		for _, line := range lines { // the PID ends where the header does
			if got, want := posix.Width([]byte(line)), posix.Width([]byte(lines[0])); got != want {
				t.Errorf("%d cells, not %d: %s", got, want, line)
			}
		}
		_, stdout, _ = try("-J")
		var doc struct {
			Sessions []struct {
				Processes []struct {
					PID        int
					Comm, Args string
				}
			}
		}
		if err := json.Unmarshal([]byte(stdout), &doc); err != nil || len(doc.Sessions) != 1 {
			t.Fatalf("JSON: %v\n%s", err, stdout)
		}
		for _, p := range doc.Sessions[0].Processes[1:] {
			name := hostile[p.PID-2]
			switch name {
			case "raw\x9bC1":
				name = `raw\x9bC1`
			case "caf\xe9":
				name = `caf\xe9`
			case "cut\xe6\x97":
				name = `cut\xe6\x97`
			}
			if p.Comm != name || p.Args != name+" --option "+name {
				t.Errorf("JSON of %q: %q, %q", name, p.Comm, p.Args)
			}
		}
	}
}

// A row of /proc that makes no sense is left out, and said so; if all are, the
// table cannot be read.
func TestMalformed(t *testing.T) {
	fakeProc(t, []row{{1, 0, 1, 1, "init", ""}, {7, 1, 7, 7, "good", ""}, {8, 1, 8, 8, "bad", ""}, {9, 1, 9, 9, "other", ""}})
	spoil := func(pids ...string) {
		for _, pid := range pids {
			if err := os.WriteFile(filepath.Join(posix.ProcRoot, pid, "stat"), []byte(pid+" (x"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(status int, stdout, stderr string) {
		gotStatus, gotStdout, gotStderr := try("-ns")
		if gotStatus != status || gotStdout != stdout || !regexp.MustCompile("^pgtree: read "+posix.ProcRoot+stderr+"\n$").MatchString(gotStderr) {
			t.Errorf("%d %q %q, want %d %q %q", gotStatus, gotStdout, gotStderr, status, stdout, stderr)
		}
	}
	spoil("8")
	check(0, "init(1)\ngood(7)\nother(9)\n", `/8/stat: malformed: left out`)
	spoil("9")
	check(0, "init(1)\ngood(7)\n", `/[89]/stat: malformed \(and 1 more\): left out`)
	spoil("1", "7")
	check(4, "", `/[1789]/stat: malformed \(and 3 more\)`)
}

// Who ends between the two looks at /proc is not there, and leads nobody.
func TestVanished(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	fakeProc(t, []row{{1, 0, 1, 1, "init", "init\x00"}, {7, 1, 7, 7, "gone", ""}, {8, 7, 7, 7, "left", "left\x00"}})
	if err := os.Remove(filepath.Join(posix.ProcRoot, "7", "cmdline")); err != nil {
		t.Fatal(err)
	}
	const want = "PID COMMAND\n  1 init\n    session 7, leader gone\n  8 `-left\n"
	if status, stdout, stderr := try("-o", "pid,tree"); status != 0 || stdout != want || stderr != "" {
		t.Errorf("%d %s%s", status, stdout, stderr)
	}
	if status, _, stderr := try("-o", "args", "gone"); status != 0 || stderr != "" { // its child is there
		t.Errorf("%d %s", status, stderr)
	}
	if err := os.RemoveAll(filepath.Join(posix.ProcRoot, "8")); err != nil {
		t.Fatal(err)
	}
	if status, stdout, stderr := try("-no", "args", "gone"); status != 1 || stdout != "" || stderr != "pgtree: gone: no such process\n" {
		t.Errorf("%d %s%s", status, stdout, stderr)
	}
}

// What a process is called by, other than its name for the kernel.
func TestNames(t *testing.T) {
	for _, c := range []struct{ comm, args, title, script string }{
		{"nginx", "nginx: master process /usr/sbin/nginx", "nginx", ""},
		{"tmux: server", "tmux\x00new\x00", "tmux", ""},
		{"php-fpm8.2", "php-fpm: pool www\x00\x00\x00", "php-fpm", ""},
		{"sshd", "sshd: root@pts/0", "sshd", ""},
		{"a", "/opt/a/b", "b", ""},
		{"python3", "/usr/bin/python3.11\x00-u\x00/srv/app.py\x00-x\x00", "python3.11", "app.py"},
		{"python3", "python3\x00-m\x00http.server\x00", "python3", "http.server"},
		{"python3", "python3\x00-V\x00", "python3", ""},
		{"backup-runner.s", "/bin/sh\x00/usr/bin/backup-runner.sh\x00", "sh", "backup-runner.sh"},
		{"backup-runner.s", "/opt/own\x00-f\x00/usr/bin/backup-runner.sh\x00", "own", "backup-runner.sh"},
		{"sh", "sh\x00-c\x00sleep 5; app\x00", "sh", ""},
		{"sh", "sh\x00\x00app\x00", "sh", "app"},
		{"vim", "vim\x00app.py\x00", "vim", ""},
		{"kthread", "", "", ""},
		{"odd", " x", "", ""},
		{"odd", "/\x00/\x00", "", ""},
	} {
		p := &posix.Process{Comm: c.comm, Args: c.args}
		if title(p) != c.title || script(p) != c.script {
			t.Errorf("%q: %q and %q, want %q and %q", c.args, title(p), script(p), c.title, c.script)
		}
	}
}

// Who has just that name hides those who only are called so on their command
// lines, the earlier rule the later one.
func TestFindName(t *testing.T) {
	rows := parseTable(t, "1 0 1 1 web\n2 0 2 2 x\n3 0 3 3 python3\n4 0 4 4 webber\n5 0 5 5 other")
	rows[1].Args, rows[2].Args = "web: master", "python3\x00web\x00"
	for want := 1; want <= 4; want++ {
		target, read := &target{word: "web"}, 0
		err := target.findName(testTable(slices.Clone(rows[want-1:])), func() { read++ })
		if err != nil || !target.in[0] || slices.Contains(target.in[1:], true) || (read > 0) != (want > 1) {
			t.Errorf("from %d: %v, %v; %d", want, err, target.in, read)
		}
	}
	if err := (&target{word: "web"}).findName(testTable(rows[4:]), func() {}); err == nil {
		t.Error("found")
	}
}

// A narrow terminal costs columns, in the end all but the PID, then art, but
// neither the name of a command nor a word of a heading.
func TestNarrow(t *testing.T) {
	const deep = 30
	text := "4194301 1 4194301 4194300 shell\n4194302 4194301 4194302 4194300 child\n4194303 4194302 4194302 4194300 deeper"
	for i := range deep {
		text += fmt.Sprintf("\n%d %d 4194302 4194300 deep", 4194304+i, 4194303+i)
	}
	rows := parseTable(t, text)
	for i := range rows {
		rows[i].Args = "/usr/lib/a/directory/with/a-long-name/" + rows[i].Comm + strings.Repeat("\x00日本 text", 20)
	}
	for _, c := range []struct{ rows, width, pids int }{
		{3, 40, 1}, {3, 60, 2}, {3, 80, 4}, {3, 81, 4}, {3, 120, 4}, {3, 400, 4},
		{len(rows), 40, 1}, {len(rows), 80, 1}, {len(rows), 90, 1}, {len(rows), 120, 4}, {len(rows), 400, 4},
	} {
		table := testTable(rows[:c.rows])
		columns, _ := parseColumns(defaultColumns)
		g := &page{config: &config{columns: columns, shrink: true, art: &utf8Art}, names: newNames(), table: table, width: c.width}
		g.utf8 = true
		for i, line := range strings.Split(strings.TrimSuffix(printed(g, everything(table)), "\n"), "\n") {
			if got := posix.Width([]byte(line)); got > c.width {
				t.Errorf("at %d: %d cells: %s", c.width, got, line)
			}
			if i == 1 && !strings.HasSuffix(line, " session 4194300, leader gone") {
				t.Errorf("at %d: %q", c.width, line)
			}
			if i < 2 {
				continue
			}
			p := rows[i-2]
			var want string
			for _, n := range map[int][]int{1: {p.PID}, 2: {p.PID, p.PGID}, 4: {p.PPID, p.PID, p.PGID, p.SID}}[c.pids] {
				want += fmt.Sprintf("%7d ", n)
			}
			if !strings.HasPrefix(line, want) || !strings.Contains(line, p.Comm) {
				t.Errorf("at %d: %q, want %q and %s", c.width, line, want, p.Comm)
			}
			if c.width < 400 && !strings.HasSuffix(line, "…") {
				t.Errorf("at %d: no mark: %s", c.width, line)
			}
		}
	}
}

// A heading that does not fit behind the columns begins earlier.
func TestWideHeading(t *testing.T) {
	rows := parseTable(t, "4194301 1 4194301 4194301 a-command-name-\n4194303 4194301 4194303 4194302 child tty=5")
	table := testTable(rows)
	columns, _ := parseColumns(defaultColumns)
	g := &page{config: &config{columns: columns, shrink: true, art: &asciiArt}, names: newNames(), table: table, width: 80}
	target := &target{number: 4194301, kind: aSession, id: 4194301, in: []bool{true, false}}
	target.complete(table, false)
	text := printed(g, viewOf(table, target, false))
	const want = " session 4194302, from 4194301 (a-command-name-), terminal pts/3, leader gone\n"
	if line := strings.SplitAfter(text, "\n")[3]; !strings.HasSuffix(line, want) || len(line) != 81 {
		t.Errorf("%d: %q\n%s", len(line), line, text)
	}
}

func TestColors(t *testing.T) {
	rows := parseTable(t, "5 1 5 5 shell\n6 5 6 5 zombie Z\n7 5 7 5 stopped T\n8 5 8 5 front tty=8\n9 8 8 5 more tty=8")
	table := testTable(rows)
	g := testPage(table)
	g.colored = true
	const want = "\x1b[1msession 5\x1b[m\n" +
		"\x1b[2m|-\x1b[m\x1b[1mshell(5)\x1b[m\n" +
		"\x1b[2m|-\x1b[m\x1b[31mzombie(6) <defunct>\x1b[m\n" +
		"\x1b[2m|-\x1b[m\x1b[35mstopped(7)\x1b[m\n" +
		"\x1b[2m`-\x1b[m\x1b[32mfront(8)\x1b[m\n" +
		"\x1b[2m  `-\x1b[m\x1b[32mmore(9)\x1b[m\n"
	if got := printed(g, everything(table)); got != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

// Memory grows in step with the table, however large.
func TestLarge(t *testing.T) {
	const n = 100000
	fakeProc(t, nil)
	dir, err := os.MkdirTemp("/dev/shm", "pgtree")
	if err != nil {
		t.Skip("needs a file system in memory: ", err)
	}
	defer os.RemoveAll(dir)
	posix.ProcRoot = dir
	for i := range n {
		dir := filepath.Join(dir, fmt.Sprint(i+1))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		r := row{i + 1, i / 2, i/50 + 1, i/100 + 1, "x", ""}
		if err := os.WriteFile(filepath.Join(dir, "stat"), r.stat(i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pids, err := posix.PIDs()
	if err != nil || len(pids) != n {
		t.Fatalf("%d processes, %v", len(pids), err)
	}
	allocated := func(part int) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rows, _, err := posix.Table(pids[:part])
		if err != nil || len(rows) != part {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		table := testTable(rows)
		testPage(table).print(bufio.NewWriter(io.Discard), everything(table))
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if small, large := allocated(n/10), allocated(n); large > 13*small {
		t.Errorf("%d bytes for %d rows, %d for %d", small, n/10, large, n)
	}
}

func TestCells(t *testing.T) {
	for want, p := range map[string]posix.Process{
		"S":     {State: 'S', PID: 5, TGID: 5, SID: 4, TPGID: -1, PGID: 5, Threads: 1},
		"R<s":   {State: 'R', PID: 5, TGID: 5, SID: 5, TPGID: -1, PGID: 5, Threads: 1, Nice: -1},
		"DNl+":  {State: 'D', PID: 5, TGID: 5, SID: 4, TPGID: 9, PGID: 9, Threads: 2, Nice: 1},
		"S<sl+": {State: 'S', PID: 6, TGID: 5, SID: 5, TPGID: 5, PGID: 5, Threads: 2, Nice: -20}, // a thread
	} {
		if got := string(stat(nil, &p, nil)); got != want {
			t.Errorf("stat %s, want %s", got, want)
		}
	}
	for ticks, want := range map[uint64]string{0: "0:00", 99: "0:00", 100: "0:01", 6000: "1:00", 360000 * 100: "6000:00"} {
		if got := string(cpuTime(nil, &posix.Process{CPU: ticks}, nil)); got != want {
			t.Errorf("time of %d: %s, want %s", ticks, got, want)
		}
	}
	for dev, want := range map[int]string{0: "?", 136<<8 | 7: "pts/7", 136<<8 | 44 | 1<<20: "pts/300"} {
		if got := newNames().tty(dev); got != want {
			t.Errorf("tty %x: %s, want %s", dev, got, want)
		}
	}
	n := &names{boot: 1e9, now: time.Unix(1e9+200000, 0)}
	for ticks, want := range map[uint64]string{
		0: time.Unix(1e9, 0).Format("Jan 02"), 113599 * posix.HZ: time.Unix(1e9+113599, 0).Format("Jan 02"),
		113601 * posix.HZ: time.Unix(1e9+113601, 0).Format("15:04:05"),
	} {
		if got := string(start(nil, &posix.Process{Start: ticks}, n)); got != want {
			t.Errorf("start %d: %s, want %s", ticks, got, want)
		}
	}
	for want, p := range map[string]posix.Process{
		"[sh]":           {Comm: "sh", State: 'S', Args: "\x00\x00"},
		"[sh] <defunct>": {Comm: "sh", State: 'Z'},
		"a  b":           {Comm: "sh", State: 'Z', Args: "a\x00\x00b\x00\x00"}, // its other threads live
	} {
		if got := commandLine(&p); got != want {
			t.Errorf("args %q, want %q", got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	n := &names{boot: 1e9, now: time.Unix(1e9+200000, 0), up: 200000 * posix.HZ}
	for ticks, want := range map[uint64]string{
		200001 * posix.HZ: "00:00", 199999*posix.HZ + 1: "00:00", 199999 * posix.HZ: "00:01", 196401 * posix.HZ: "59:59", 196400 * posix.HZ: "01:00:00",
		113601 * posix.HZ: "23:59:59", 113600 * posix.HZ: "1-00:00:00", 0: "2-07:33:20",
	} {
		if got := string(elapsed(nil, &posix.Process{Start: ticks}, n)); got != want {
			t.Errorf("elapsed since %d: %s, want %s", ticks, got, want)
		}
	}
	if got, want := string(longStart(nil, &posix.Process{}, n)), time.Unix(1e9, 0).Format("Mon Jan _2 15:04:05 2006"); got != want {
		t.Errorf("lstart %s, want %s", got, want)
	}
	for lines, want := range map[string]string{
		"": "-", "0::/\n": "-", "0::/a.slice/b\n": "0::/a.slice/b", "2:cpu:/x\n1:pids:/\n0::/y\x1b\n": `2:cpu:/x,0::/y\x1b`,
	} {
		if got := string(cgroup(nil, &posix.Process{Cgroup: lines}, n)); got != want {
			t.Errorf("cgroup of %q: %q, want %q", lines, got, want)
		}
	}
}

// FuzzUsage has what is wrong in a command line said in one line that a
// terminal may see.
func FuzzUsage(f *testing.F) {
	for _, s := range []string{"-o\x00pid,\x1b", "-C\x00a\nb", "--user=\x00", "-J\x00-s", "4194305", "--\x00-1", "1\x00-x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c, err := parse(strings.Split(line, "\x00"))
		if err != nil {
			if strings.ContainsFunc(err.Error(), unicode.IsControl) || err.Error() == "" {
				t.Errorf("%q: %q", line, err)
			}
			return
		}
		for _, target := range c.targets {
			if target.number < 0 || target.number > posix.MaxPID {
				t.Errorf("%q: target %+v", line, target)
			}
		}
	})
}

func FuzzCommandLine(f *testing.F) {
	f.Add("a\x00b\x00\x00", "name", "Z")
	f.Add("", "a\nb", "S")
	f.Add("sh\x00/\x00", "sh", "S")
	f.Fuzz(func(t *testing.T, args, comm, state string) {
		p := &posix.Process{Args: args, Comm: comm, State: (state + "S")[0]}
		if dir, name := program(args); !strings.HasPrefix(args, dir+name) || strings.ContainsAny(name, "\x00 :/") {
			t.Errorf("%q: program %q, %q", args, dir, name)
		}
		if name := script(p); strings.ContainsAny(name, "\x00/ \n") || !strings.Contains(args, name) {
			t.Errorf("%q: script %q", args, name)
		}
		if strings.Contains(commandLine(p), "\x00") && !strings.Contains(comm, "\x00") {
			t.Errorf("%q: a NUL is left", commandLine(p))
		}
		d := &document{names: &names{utf8: true}}
		var back string
		if err := json.Unmarshal([]byte(d.quote(args)), &back); err != nil || utf8.ValidString(args) && back != args {
			t.Errorf("%q: %q, %v", args, back, err)
		}
	})
}
