package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// column is one that -o can name. Its values are those that ps(1) prints under the
// same name.
type column struct {
	name, head string
	left       bool         // text, which begins at the left; numbers end at the right
	reads      posix.Fields // what it needs of a process beyond its row
	cell       func(b []byte, p *posix.Process, n *names) []byte
}

var columns = [...]column{
	number("pid", 0, process),
	number("ppid", 0, func(p *posix.Process) int { return p.PPID }),
	number("pgid", 0, group),
	number("sid", 0, session),
	{"tty", "TTY", true, 0, func(b []byte, p *posix.Process, n *names) []byte { return append(b, n.tty(p.TTY)...) }},
	number("tpgid", 0, func(p *posix.Process) int { return p.TPGID }),
	{"stat", "STAT", true, 0, stat},
	{"uid", "UID", false, posix.Owner, func(b []byte, p *posix.Process, _ *names) []byte { return append(b, posix.IDText(p.UID)...) }},
	{"user", "USER", true, posix.Owner, func(b []byte, p *posix.Process, n *names) []byte { return append(b, n.user(p.UID)...) }},
	{"time", "TIME", false, 0, cpuTime},
	{"etime", "ELAPSED", false, 0, elapsed},
	{"start", "STARTED", false, 0, start},
	{"lstart", "STARTED", false, 0, longStart},
	number("nlwp", 0, func(p *posix.Process) int { return p.Threads }),
	number("rss", posix.Memory, func(p *posix.Process) int { return p.RSS }),
	{"cgroup", "CGROUP", true, posix.Cgroup, cgroup},
	{"comm", "COMMAND", true, 0, func(b []byte, p *posix.Process, n *names) []byte { return posix.AppendEscaped(b, p.Comm, n.utf8) }},
	{"args", "COMMAND", true, posix.Args, args},
	{"tree", "COMMAND", true, posix.Args, nil}, // the page draws it
}

func number(name string, reads posix.Fields, value func(*posix.Process) int) column {
	return column{name, strings.ToUpper(name), false, reads, func(b []byte, p *posix.Process, _ *names) []byte {
		return strconv.AppendInt(b, int64(value(p)), 10)
	}}
}

// parseColumns reads a list of -o.
func parseColumns(list string) (chosen []*column, err error) {
	for _, name := range splitList(list) {
		i := slices.IndexFunc(columns[:], func(c column) bool { return c.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-o: %s: no such column; there are%s", posix.Escape(name), columnNames())
		}
		chosen = append(chosen, &columns[i])
	}
	if chosen == nil {
		return nil, errors.New("-o: no columns")
	}
	return chosen, nil
}

// columnNames lists all columns, each after a blank.
func columnNames() (list string) {
	for _, c := range columns {
		list += " " + c.name
	}
	return list
}

// stat is the state, with the flags that ps(1) adds to it, but for L.
func stat(b []byte, p *posix.Process, _ *names) []byte {
	b = append(b, p.State)
	switch {
	case p.Nice < 0:
		b = append(b, '<')
	case p.Nice > 0:
		b = append(b, 'N')
	}
	if p.SID == p.TGID {
		b = append(b, 's')
	}
	if p.Threads > 1 {
		b = append(b, 'l')
	}
	if p.PGID == p.TPGID {
		b = append(b, '+')
	}
	return b
}

// cpuTime is minutes and seconds, as ps j has them.
func cpuTime(b []byte, p *posix.Process, _ *names) []byte {
	s := p.CPU / posix.HZ
	b = append(strconv.AppendUint(b, s/60, 10), ':')
	return append(b, byte('0'+s%60/10), byte('0'+s%10))
}

// commandLine is what ps(1) calls args: a process that has none, such as a
// zombie, shows its name.
func commandLine(p *posix.Process) string {
	if line := strings.TrimRight(p.Args, "\x00"); line != "" {
		return strings.ReplaceAll(line, "\x00", " ")
	}
	if p.State == 'Z' {
		return "[" + p.Comm + "] <defunct>"
	}
	return "[" + p.Comm + "]"
}

func args(b []byte, p *posix.Process, n *names) []byte {
	return posix.AppendEscaped(b, commandLine(p), n.utf8)
}

// names has what is the same for all processes: the clock, and the names of the
// users and terminals that were looked up so far.
type names struct {
	utf8  bool // what is beyond ASCII may be shown
	now   time.Time
	up    int64          // ticks from when the kernel started until now
	boot  int64          // when the kernel started, in seconds since the Epoch: btime in proc_stat(5)
	users map[int]string // by user ID
	ttys  map[int]string // by device number
}

func newNames() *names {
	var up unix.Timespec
	now := time.Now()
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &up)
	return &names{
		utf8:  posix.UTF8(),
		now:   now,
		up:    up.Nano() / (1e9 / posix.HZ),
		boot:  now.Add(-time.Duration(up.Nano())).Unix(),
		users: map[int]string{},
		ttys:  map[int]string{0: "?"},
	}
}

// user is the name of a user as it may be printed, or the number if it has none.
func (n *names) user(uid int) string {
	name, ok := n.users[uid]
	if !ok {
		name = posix.Escape(posix.UserName(uid))
		n.users[uid] = name
	}
	return name
}

// tty is the terminal's name without /dev, "?" for none. Pseudo terminals have one
// major number; the names of the others are in sysfs(5).
func (n *names) tty(dev int) string {
	name, ok := n.ttys[dev]
	if !ok {
		major, minor := dev>>8&0xfff, dev&0xff|dev>>12&0xfff00 // new_encode_dev() in the kernel
		name = strconv.Itoa(major) + ":" + strconv.Itoa(minor)
		if major == 136 {
			name = "pts/" + strconv.Itoa(minor)
		} else if link, err := os.Readlink("/sys/dev/char/" + name); err == nil {
			name = filepath.Base(link)
		}
		n.ttys[dev] = name
	}
	return name
}

// started is the second in which the process started.
func (n *names) started(p *posix.Process) time.Time {
	return time.Unix(n.boot+int64(p.Start/posix.HZ), 0)
}

// start is the time of day when it started, or the date if that is more than a day
// ago.
func start(b []byte, p *posix.Process, n *names) []byte {
	t := n.started(p)
	if n.now.Sub(t) < 24*time.Hour {
		return t.AppendFormat(b, time.TimeOnly)
	}
	return t.AppendFormat(b, "Jan 02")
}

// longStart is the date and time when it started, as ctime(3) has them.
func longStart(b []byte, p *posix.Process, n *names) []byte {
	return n.started(p).AppendFormat(b, time.ANSIC)
}

// elapsed is how long ago the process started: [[days-]hours:]minutes:seconds.
func elapsed(b []byte, p *posix.Process, n *names) []byte {
	s := max(0, n.up-int64(p.Start)) / posix.HZ // a thread may have started since
	days, hours, minutes := s/86400, s/3600%24, s/60%60
	switch {
	case days > 0:
		b = fmt.Appendf(b, "%d-%02d:", days, hours)
	case hours > 0:
		b = fmt.Appendf(b, "%02d:", hours)
	}
	return fmt.Appendf(b, "%02d:%02d", minutes, s%60)
}

// cgroup is the lines of cgroups(7) with commas between, but for those of a
// root.
func cgroup(b []byte, p *posix.Process, n *names) []byte {
	lines := strings.Split(strings.TrimSpace(p.Cgroup), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" || strings.HasSuffix(line, "/") })
	if len(lines) == 0 {
		return append(b, '-')
	}
	return posix.AppendEscaped(b, strings.Join(lines, ","), n.utf8)
}
