package main

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"testing"

	"procgroup/internal/posix"
)

// parseTable makes rows of lines "pid ppid pgid sid name [flags]", the start
// rising from line to line. Flags: Z (state), tty (its group in the
// foreground), tgid=PID (the row is that of a thread), start=N.
func parseTable(t *testing.T, text string) []posix.Process {
	var rows []posix.Process
	for i, text := range strings.Split(strings.TrimSpace(text), "\n") {
		words := strings.Fields(text)
		p := posix.Process{State: 'S', Threads: 1, TPGID: -1, Start: uint64(i + 1), Comm: words[4]}
		fmt.Sscan(strings.Join(words[:4], " "), &p.PID, &p.PPID, &p.PGID, &p.SID)
		p.TGID = p.PID
		rows = append(rows, p)
		last := &rows[len(rows)-1]
		for _, flag := range words[5:] {
			name, value, _ := strings.Cut(flag, "=")
			switch name {
			case "Z", "T":
				last.State = name[0]
			case "tty":
				last.TTY = 136<<8 | 3
				fmt.Sscan(value, &last.TPGID)
			case "start":
				fmt.Sscan(value, &last.Start)
			case "tgid":
				fmt.Sscan(value, &last.TGID)
			default:
				t.Fatalf("flag %s", flag)
			}
		}
	}
	return rows
}

// testTable has the processes of the rows, and the threads, and shows them all.
func testTable(rows []posix.Process) *table {
	isThread := func(p posix.Process) bool { return p.TGID != p.PID }
	table := newTable(slices.DeleteFunc(slices.Clone(rows), isThread), func(int) (p posix.Process) { return p })
	for i := range table.shown {
		table.shown[i] = true
	}
	for _, p := range rows {
		if isThread(p) {
			table.threads[p.TGID] = append(table.threads[p.TGID], p)
		}
	}
	return table
}

func testPage(table *table) *page {
	tree, _ := parseColumns("tree")
	return &page{config: &config{columns: tree, short: true, art: &asciiArt}, names: newNames(), table: table, width: unlimited}
}

// everything is the view without a target.
func everything(table *table) forest {
	t := &target{kind: aPage}
	t.match(table, func(*posix.Process) bool { return true })
	return viewOf(table, t, false)
}

// printed is the text of a page.
func printed(g *page, f forest) string {
	var b strings.Builder
	out := bufio.NewWriter(&b)
	g.print(out, f)
	out.Flush()
	return b.String()
}

// drawing is how the text of a picture in a test looks: without its indentation,
// and ${q} for the backquote that a raw string cannot have.
func drawing(text string) string {
	return strings.NewReplacer("\t", "", "${q}", "`").Replace(strings.TrimPrefix(text, "\n")) + "\n"
}

func viewOf(table *table, t *target, byDescent bool) forest {
	f := make(forest, 1)
	view{table, &f, t, byDescent}.add()
	return f
}

func TestTree(t *testing.T) {
	const shell = `
		1     0     1     1     init
		23259 23192 23259 23259 bash tty=23263
		23262 23259 23262 23259 make tty=23263
		23263 23259 23263 23259 tail tty=23263
		23266 23262 23262 23259 cc1  tty=23263
		23269 1     23269 23264 nginx
		23271 23269 23269 23264 worker
		23287 23259 23263 23259 grep tty=23263`
	for _, c := range []struct{ name, rows, want string }{
		{"the view of the manual", shell, `
			init(1)
			session 23259, terminal pts/3
			|-bash(23259)
			|-make(23262)
			| ${q}-cc1(23266)
			${q}-group 23263, foreground
			  |-tail(23263)
			  ${q}-grep(23287)
			session 23264, leader gone
			${q}-nginx(23269)
			  ${q}-worker(23271)`},
		{"a session of one group needs no line", `
			1 0 1 1 init
			5 1 5 5 cron
			6 5 5 5 job`, `
			init(1)
			cron(5)
			${q}-job(6)`},
		{"unless its leader is gone", `
			6 1 5 5 job
			7 1 5 5 other`, `
			session 5, leader gone
			|-job(6)
			${q}-other(7)`},
		{"or not the only root", `
			5 1 5 5 cron
			6 1 5 5 orphan`, `
			session 5
			|-cron(5)
			${q}-orphan(6)`},
		{"a zombie leader is there", `
			5 1 5 5 cron Z
			6 1 5 5 orphan
			7 1 7 5 other Z
			8 1 7 5 orphan`, `
			session 5, leader zombie
			|-group 5, leader zombie
			| |-cron(5) <defunct>
			| ${q}-orphan(6)
			${q}-group 7, leader zombie
			  |-other(7) <defunct>
			  ${q}-orphan(8)`},
		{"a leader that moved to another group is gone from its own", `
			5 1 5 5 shell
			6 5 7 5 moved
			7 5 7 5 leader
			8 6 6 5 left`, `
			session 5
			|-shell(5)
			|-group 7
			| |-moved(6)
			| ${q}-leader(7)
			${q}-group 6, leader gone
			  ${q}-left(8)`},
		{"a leader below a member", `
			5 1 5 5 shell
			6 5 7 5 parent
			7 6 7 5 leader`, `
			session 5
			|-shell(5)
			${q}-group 7
			  ${q}-parent(6)
			    ${q}-leader(7)`},
		{"a PID namespace", `
			1 0 0 0 init
			2 0 2 2 entered
			3 0 0 0 other`, `
			session 0
			|-init(1)
			${q}-other(3)
			entered(2)`},
		{"a cycle, a parent that is younger, one of the same tick", `
			2 3 2 2 a
			3 2 2 2 b
			5 9 2 2 c start=5
			9 5 2 2 d start=5
			7 7 2 2 own`, `
			session 2
			|-a(2)
			| ${q}-b(3)
			|-c(5)
			| ${q}-d(9)
			${q}-own(7)`},
		{"PIDs that began anew", `
			300 1 300 300 old
			20 300 300 300 child
			19 20 300 300 grandchild`, `
			old(300)
			${q}-child(20)
			  ${q}-grandchild(19)`},
		{"a row from before a setsid, and one from after", `
			5 1 5 5 parent
			6 5 5 6 child`, `
			parent(5)
			session 6
			${q}-group 5
			  ${q}-child(6)`},
		{"threads", `
			5 1 5 5 server
			6 1 5 5 server tgid=5
			8 1 5 5 server tgid=5
			7 5 5 5 child`, `
			server(5)
			|-{server}(6)
			|-{server}(8)
			${q}-child(7)`},
	} {
		table := testTable(parseTable(t, c.rows))
		if got, want := printed(testPage(table), everything(table)), drawing(c.want); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, want)
		}
	}
}

// What belongs to a target stands under its own heading, or under one that
// says whom it comes from.
func TestViews(t *testing.T) {
	table := testTable(parseTable(t, `
		1  0 1 1 init
		5  1 5 5 shell tty=7
		7  5 7 5 tail tty=7
		8  5 7 5 grep tty=7
		9  7 9 9 escaped
		10 9 7 5 deep tty=7
		11 9 11 9 more
		12 1 12 4 orphan
		13 12 12 4 child Z
		14 5 14 5 job
		15 9 15 15 shell`))
	for _, c := range []struct {
		name    string
		word    string
		parents bool
		want    string
	}{
		{"a session", "5", false, `
			session 5, terminal pts/3
			|-shell(5)
			|-group 7, foreground
			| |-tail(7)
			| |-grep(8)
			| ${q}-deep(10)
			${q}-job(14)
			session 9, from 7 (tail)
			|-escaped(9)
			${q}-more(11)
			session 15, from 9 (escaped)
			${q}-shell(15)`},
		{"a session without its leader, by number", "4", false, `
			session 4, leader gone
			${q}-orphan(12)
			  ${q}-child(13) <defunct>`},
		{"a group", "7", false, `
			group 7 of session 5, terminal pts/3, foreground
			|-tail(7)
			|-grep(8)
			${q}-deep(10)
			session 9, from 7 (tail)
			|-escaped(9)
			${q}-more(11)
			session 15, from 9 (escaped)
			${q}-shell(15)`},
		{"a group of one led by it: the process", "14", false, `
			job(14)`},
		{"a process, its descendants in a session of it", "12", false, `
			group 12 of session 4
			${q}-orphan(12)
			  ${q}-child(13) <defunct>`},
		{"two of a name, one below the other", "shell", false, `
			shell(5)
			group 7, from 5 (shell), foreground
			|-tail(7)
			|-grep(8)
			${q}-deep(10)
			session 9, from 7 (tail)
			|-escaped(9)
			${q}-more(11)
			group 14, from 5 (shell)
			${q}-job(14)
			session 15, from 9 (escaped)
			${q}-shell(15)`},
		{"by parents: ancestors and descendants, no headings", "9", true, `
			init(1)
			${q}-shell(5)
			  ${q}-tail(7)
			    ${q}-escaped(9)
			      |-deep(10)
			      |-more(11)
			      ${q}-shell(15)`},
		{"a session of one group that is led", "15", true, `
			init(1)
			${q}-shell(5)
			  ${q}-tail(7)
			    ${q}-escaped(9)
			      ${q}-shell(15)`},
	} {
		target, err := parseTarget(c.word)
		if err == nil {
			err = target.find(table, newNames(), func() {})
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		target.complete(table, c.parents)
		if got, want := printed(testPage(table), viewOf(table, target, c.parents)), drawing(c.want); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, want)
		}
	}
}

// A chain as long as the table: no recursion, and no more output per row.
func TestDeep(t *testing.T) {
	const n = 100000
	rows := make([]posix.Process, n)
	for i := range rows {
		rows[i] = posix.Process{PID: i + 1, TGID: i + 1, PPID: i, PGID: 1, SID: 1, State: 'S', Threads: 1, Start: uint64(i), Comm: "x"}
	}
	table := testTable(rows)
	text := printed(testPage(table), everything(table))
	if last := fmt.Sprintf("%s(%d) x(%d)\n", strings.Repeat("  ", 48), n-1, n); !strings.HasSuffix(text, last) || len(text) > 120*n {
		t.Errorf("%d bytes, at the end %q", len(text), text[max(0, len(text)-150):])
	}
	var json strings.Builder
	d := document{names: newNames(), table: table, out: bufio.NewWriter(&json)}
	d.print(everything(table))
	d.out.Flush()
	if strings.Count(json.String(), `"pid"`) != n || !strings.Contains(json.String(), fmt.Sprintf(`"depth":%d,`, n-1)) {
		t.Error("JSON is not complete")
	}
}
