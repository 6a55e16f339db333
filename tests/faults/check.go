package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
	"procgroup/tests/box"
)

// scenario is one way to run a program.
type scenario struct {
	name    string
	program string
	args    []string
	lead    bool // the caller leads a group: a copy in a new session does the work
	prepare func(*bench) error
	keep    bool // the run is to leave a daemon as it is
	user    bool // it runs as nobody
	before  string
	stays   bool // a supervisor does
}

const (
	pidfile = "app.pid"
	nobody  = 65534
)

func scenarios() []*scenario {
	var list []*scenario
	start := func(name, before string, args ...string) {
		s := &scenario{name: "daemonize " + name, program: "daemonize", args: args, before: before}
		s.user, s.stays = slices.Contains(args, "-u"), slices.Contains(args, "-s")
		led := *s
		led.name, led.lead = s.name+", copy", true
		// These wait, or stay, and so start the copy in any case.
		if !slices.ContainsFunc(args, func(a string) bool { return a == "-w" || a == "-n" || a == "-s" }) {
			list = append(list, s)
		}
		list = append(list, &led)
	}
	start("plain", "", "sleep", "1000")
	start("-p", "", "-p", pidfile, "sleep", "1000")
	start("-p stale", "30000\n", "-p", pidfile, "sleep", "1000")
	start("-l -o", "", "-l", "app.lock", "-p", pidfile, "-to", "log", "-e", "errs", "sleep", "1000")
	start("-u", "", "-u", "nobody", "-p", pidfile, "-o", "log", "sleep", "1000")
	start("-w", "", "-w", "0.02", "-p", pidfile, "sleep", "1000")
	start("-n", "", "-n", "5", "-p", pidfile, "/proc/1/exe", "-ready")
	start("-s", "", "-s", "-p", pidfile, "sleep", "1000")
	stop := func(name string, prepare func(*bench) error, args ...string) {
		s := &scenario{name: "pidkill " + name, program: "pidkill", args: append(args, pidfile), prepare: prepare}
		s.keep = strings.Contains(name, "-0") || strings.Contains(name, "-n")
		list = append(list, s)
	}
	// A member that a failing call hides from TERM is to get KILL soon.
	stop("-t 1", daemon("sleep", "1000"), "-t", "1")
	stop("a group", daemon("sh", "-c", "sleep 1000 & sleep 1000 & wait"), "-t", "1")
	stop("no leader", daemon("sh", "-c", "sleep 1000 & sleep 1000 &"), "-t", "1")
	stop("-9", daemon("sleep", "1000"), "-9")
	stop("-S", daemon("sh", "-c", "sleep 1000 & wait"), "-S", "-t", "1")
	stop("-T", daemon("sh", "-c", "setsid sleep 1000 & sleep 1000 & wait"), "-T", "-t", "1")
	stop("-0", daemon("sleep", "1000"), "-0")
	stop("-n", daemon("sleep", "1000"), "-n")
	return list
}

// daemon starts a command for pidkill to end.
func daemon(command ...string) func(*bench) error {
	return func(b *bench) error {
		status, text := plain(b.daemonize, append([]string{"-p", pidfile}, command...)...)
		if status != 0 {
			return fmt.Errorf("cannot start a daemon: %s", text)
		}
		if command[0] == "sh" { // and have its children there
			for i := 0; len(box.Alive(b.victim)) < strings.Count(command[2], "sleep") && i < 1000; i++ {
				time.Sleep(time.Millisecond)
			}
		}
		return nil
	}
}

// bench is what one job works with.
type bench struct {
	daemonize, pidkill string
	tracers            map[string]*tracer
	victim             int // a process that nobody may signal
}

func newBench(bin string) (*bench, error) {
	if !filepath.IsAbs(bin) {
		return nil, errors.New("-bin: expected an absolute path")
	}
	b := &bench{daemonize: bin + "/daemonize", pidkill: bin + "/pidkill", tracers: map[string]*tracer{}}
	for name, program := range map[string]string{"daemonize": b.daemonize, "pidkill": b.pidkill} {
		symbols, err := loadSymbols(program)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", program, err)
		}
		b.tracers[name] = &tracer{program: program, symbols: symbols}
	}
	var err error
	// Any signal that means something to it ends it, which shows.
	b.victim, err = spawn("/bin/sleep", []string{"sleep", "100000"}, true, false)
	for _, t := range b.tracers {
		t.spare = b.victim
	}
	return b, err
}

// profile is which calls of an undisturbed run are the runtime's.
func (b *bench) profile(s *scenario) []bool {
	b.try(s, fault{}, &counts{})
	return b.tracers[s.program].profile
}

// try makes one run and looks at what it left.
func (b *bench) try(s *scenario, f fault, c *counts) hit {
	b.clear()
	if s.before != "" {
		os.WriteFile(pidfile, []byte(s.before), 0o644)
	}
	if s.prepare != nil {
		if err := s.prepare(b); err != nil {
			fmt.Fprintf(os.Stderr, "faults: %s: %v\n", s.name, err)
			os.Exit(1)
		}
	}
	o, err := b.tracers[s.program].run(append([]string{s.program}, s.args...), s.lead, s.stays, f)
	if err != nil {
		fmt.Fprintf(os.Stderr, "faults: %s: %v\n", s.name, err)
		os.Exit(1)
	}
	switch {
	case !o.hit.done, o.hit.exempt:
		c.Exempt++
	case f.kind == kill:
		c.Killed++
	case f.kind == stop:
		c.Stopped++
	case o.hit.runtime:
		c.Runtime++
	default:
		c.Failed++
	}
	if err := b.check(s, f, &o); err != nil {
		c.Broken++
		fmt.Fprintf(os.Stderr, "BROKEN %s: %v (system call %d, %x, in %s): %v\n    status %v, stderr %.300q\n",
			s.name, f, int(o.hit.nr), o.hit.args[:3], place(o.hit.stack), err, describe(o.status), o.stderr)
	}
	return o.hit
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return "killed by " + unix.SignalName(status.Signal())
	}
	return strconv.Itoa(status.ExitStatus())
}

// clear makes the next run independent of the last.
func (b *bench) clear() {
	box.KillAll(b.victim)
	b.reap()
	left, _ := filepath.Glob("/run/daemonize.*")
	for _, path := range append(left, pidfile, "log", "errs", "app.lock") {
		os.RemoveAll(path)
	}
}

func (b *bench) reap() {
	for {
		var status unix.WaitStatus
		if pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil); err != nil || pid <= 0 {
			return
		}
	}
}

// check is what must hold after any run.
func (b *bench) check(s *scenario, f fault, o *outcome) error {
	b.reap()
	if row, err := posix.ReadStat(b.victim); err != nil || row.Zombie() || row.State == 'T' {
		return errors.New("a process that is none of its business was signalled")
	}
	if o.hung {
		return errors.New("it hung")
	}
	// Whoever is killed, and crashes of the runtime are no better, may leave
	// something behind, but nothing out of reach.
	gentle := f.kind == nothing || f.kind == stop || f.kind == fail && !o.hit.runtime
	if !gentle && !(o.status.Exited() && o.status.ExitStatus() == 0) {
		return b.reachable(s, f, o)
	}
	if !o.status.Exited() {
		return errors.New("it was killed")
	}
	switch {
	case s.program == "pidkill":
		return b.stopped(s, f, o)
	case o.status.ExitStatus() == 0 && gentle:
		return b.started(s, o)
	case o.status.ExitStatus() == 0:
		return b.reachable(s, f, o)
	}
	if f.kind != fail {
		return errors.New("it failed")
	}
	return b.failed(s, o)
}

// message is the form that every message has.
var message = regexp.MustCompile(`^(daemonize|pidkill): [^:]+: .+$`)

func (o *outcome) messages() error {
	if o.hit.nr == unix.SYS_WRITE && o.hit.args[0] == 2 {
		return nil // this is what failed
	}
	lines := strings.Split(strings.TrimSuffix(o.stderr, "\n"), "\n")
	for _, line := range lines {
		if !message.MatchString(line) {
			return errors.New("no message that names an object")
		}
	}
	if len(lines) > 1 {
		return errors.New("more than one message")
	}
	return nil
}

// failed is for a daemonize that has said so.
func (b *bench) failed(s *scenario, o *outcome) error {
	if !slices.Contains([]int{3, 124, 125, 126, 127}, o.status.ExitStatus()) {
		return errors.New("not a status for that")
	}
	if err := o.messages(); err != nil {
		return err
	}
	if left := box.Nothing(b.victim); left != nil {
		return fmt.Errorf("left running: %s", box.Names(left))
	}
	if _, err := os.Lstat(pidfile); err == nil && s.before == "" {
		return errors.New("left a pidfile")
	}
	return b.nothingElse(o)
}

// nothingElse looks for what daemonize -n made, unless its removal failed.
func (b *bench) nothingElse(o *outcome) error {
	if o.hit.nr == unix.SYS_UNLINKAT {
		return nil
	}
	if left, _ := filepath.Glob("/run/daemonize.*"); len(left) > 0 {
		return fmt.Errorf("left %s", left[0])
	}
	return nil
}

// started is for a daemonize whose status is 0.
func (b *bench) started(s *scenario, o *outcome) error {
	running := box.Alive(b.victim)
	parent := 1
	if s.stays {
		i := slices.IndexFunc(running, func(p posix.Process) bool { return p.Comm == "daemonize" || p.Comm == "exe" })
		if i < 0 || running[i].PPID != 1 || running[i].SID != running[i].PID {
			return fmt.Errorf("no supervisor in %s", box.Names(running))
		}
		parent = running[i].PID
		running = slices.Delete(running, i, i+1)
	}
	if len(running) != 1 {
		return fmt.Errorf("status 0, and there run: %s", box.Names(running))
	}
	p := running[0]
	if p.PPID != parent || p.PGID != p.PID || p.SID == p.PID || p.SID == 1 || p.TTY != 0 {
		return fmt.Errorf("not a daemon: %s", box.Names(running))
	}
	want := []int{0, 0, 0}
	if s.user {
		want = []int{nobody, nobody, nobody}
	}
	if got := identity(p.PID); !slices.Equal(got, want) {
		return fmt.Errorf("user, group, groups are %v", got)
	}
	err := clean(p.PID)
	for i := 0; err != nil && i < 20; i++ {
		time.Sleep(time.Millisecond) // the dynamic linker still has its files
		err = clean(p.PID)
	}
	if err != nil {
		return err
	}
	if slices.Contains(s.args, pidfile) {
		if err := locked(p.PID); err != nil {
			return err
		}
		if status, text := plain(b.pidkill, pidfile); status != 0 {
			return fmt.Errorf("then pidkill: status %d: %s", status, text)
		}
		if left := box.Nothing(b.victim); left != nil {
			return fmt.Errorf("left by pidkill: %s", box.Names(left))
		}
		if _, err := os.Lstat(pidfile); err == nil {
			return errors.New("pidkill left the pidfile")
		}
	}
	return b.nothingElse(o)
}

// identity is the user, the group and the first further group, else the group
// again. Where the IDs of a kind differ, it is -1.
func identity(pid int) []int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	ids := []int{-1, -1, -1}
	for _, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		kind := slices.Index([]string{"Uid:", "Gid:", "Groups:"}, words[0])
		if kind < 0 {
			continue
		}
		if values := slices.Compact(words[1:]); len(values) == 1 {
			ids[kind], _ = strconv.Atoi(values[0])
		} else if len(values) == 0 {
			ids[kind] = ids[1]
		}
	}
	return ids
}

// clean checks what a command gets besides its user.
func clean(pid int) error {
	dir := fmt.Sprintf("/proc/%d/", pid)
	text, err := os.ReadFile(dir + "status")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(text), "\n") {
		name, value, _ := strings.Cut(line, ":\t")
		switch name {
		case "SigBlk", "SigIgn":
			if strings.Trim(value, "0") != "" {
				return fmt.Errorf("%s is %s", name, value)
			}
		case "Umask":
			if value != "0000" {
				return fmt.Errorf("umask is %s", value)
			}
		}
	}
	if cwd, _ := os.Readlink(dir + "cwd"); cwd != "/" {
		return fmt.Errorf("working directory is %s", cwd)
	}
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		return err
	}
	for _, fd := range fds {
		n, _ := strconv.Atoi(fd.Name())
		target, _ := os.Readlink(dir + "fd/" + fd.Name())
		lock := strings.HasPrefix(target, box.Dir+"/app.") && n >= 3
		if n > 2 && !lock && !ready(target) {
			return fmt.Errorf("descriptor %d is %s", n, target)
		}
	}
	return nil
}

// ready tells what the command of daemonize -n opens itself.
func ready(target string) bool {
	return strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "anon_inode:")
}

// locked checks the pidfile of a daemon that runs.
func locked(pid int) error {
	text, err := os.ReadFile(pidfile)
	if err != nil {
		return err
	}
	if string(text) != fmt.Sprintf("%d\n", pid) {
		return fmt.Errorf("the pidfile of %d says %q", pid, text)
	}
	f, err := os.Open(pidfile)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Mode() != 0o644 {
		return fmt.Errorf("the pidfile's mode is %v", st.Mode())
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != unix.EWOULDBLOCK {
		return errors.New("the pidfile is not locked")
	}
	return nil
}

// stopped is for a pidkill that has ended by itself.
func (b *bench) stopped(s *scenario, f fault, o *outcome) error {
	status := o.status.ExitStatus()
	if status != 0 {
		if f.kind != fail {
			return errors.New("it failed")
		}
		if !slices.Contains([]int{3, 4}, status) {
			return errors.New("not a status for that")
		}
		if err := o.messages(); err != nil && !o.hit.runtime {
			return err
		}
	}
	if s.keep {
		if left := box.Alive(b.victim); len(left) != 1 {
			return fmt.Errorf("nothing was to happen, and there run: %s", box.Names(left))
		}
		return b.reachable(s, f, o)
	}
	if status == 0 {
		if left := box.Alive(b.victim); len(left) > 0 {
			return fmt.Errorf("status 0, and there run: %s", box.Names(left))
		}
		// A file that stays is said so, and no reason to say the daemon did.
		if _, err := os.Lstat(pidfile); err == nil && !strings.Contains(o.stderr, ": cannot remove the pidfile: ") {
			return errors.New("status 0, and the pidfile is there")
		}
	}
	return b.reachable(s, f, o)
}

// reachable checks that a pidkill ends whatever is left, and that a start
// finds nothing in its way then.
func (b *bench) reachable(s *scenario, f fault, o *outcome) error {
	if s.program == "daemonize" && !slices.Contains(s.args, pidfile) {
		return nil // nothing could lead to it
	}
	left := box.Alive(b.victim)
	option := "-v"
	if s.name == "pidkill -T" || s.name == "pidkill -S" {
		option = s.args[0]
	}
	status, text := plain(b.pidkill, option, pidfile)
	if status != 0 && !(status == 4 && len(left) == 0) {
		return fmt.Errorf("then pidkill: status %d: %s", status, text)
	}
	if still := box.Nothing(b.victim); still != nil {
		// The tree's links went with the first pidkill.
		if s.name != "pidkill -T" {
			return fmt.Errorf("out of pidkill's reach: %s (it said %q)", box.Names(still), text)
		}
	}
	if status, text := plain(b.daemonize, "-p", pidfile, "sleep", "1000"); status != 0 {
		return fmt.Errorf("then daemonize: status %d: %s", status, text)
	}
	if status, text := plain(b.pidkill, pidfile); status != 0 {
		return fmt.Errorf("at last pidkill: status %d: %s", status, text)
	}
	return nil
}
