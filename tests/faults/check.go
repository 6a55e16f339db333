//go:build amd64 || arm64

package main

import (
	"cmp"
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

	"procgroup/tests/box"
)

// scenario is one way to run a program.
type scenario struct {
	name    string
	program string
	args    []string
	lead    bool // the caller leads a group: a copy in a new session does the work
	prepare func(*bench) error
	user    bool   // it runs as nobody
	status  int    // when nothing goes wrong
	looks   bool   // pidkill signals nobody
	leaves  int    // so many processes are left then
	file    bool   // and the pidfile is
	reach   string // the option by which a pidkill reaches what is left; "": none
	starts  int    // a supervisor stays, and starts the command so often at first
	becomes bool   // daemonize is the command in the end
	logger  bool   // there is one
}

const (
	pidfile = "app.pid"
	nobody  = 65534

	lockfile = "app.lock"
	logger   = "|exec cat >>" + box.Dir + "/log"
)

func scenarios() []*scenario {
	var list []*scenario
	start := func(name string, like scenario, args ...string) {
		s := &like
		s.name, s.program, s.args = "daemonize "+name, "daemonize", args
		given := func(option string) bool { return slices.Contains(args, option) }
		s.user, s.becomes, s.logger = given("-u"), given("-f"), given(logger)
		switch {
		case given("-r"):
			s.starts = 2
		case given("-s"):
			s.starts = 1
		}
		led := *s
		if led.lead = true; !s.becomes { // which leads its group only if it did before
			led.name += ", copy"
		}
		// These wait, or stay, and so start the copy in any case.
		if !given("-w") && !given("-n") && !given("-s") && !given("-f") {
			list = append(list, s)
		}
		list = append(list, &led)
	}
	start("plain", scenario{}, "sleep", "1000")
	start("-p", scenario{}, "-p", pidfile, "sleep", "1000")
	start("-p stale", scenario{prepare: stale}, "-p", pidfile, "sleep", "1000")
	start("-l", scenario{}, "-l", lockfile, "sleep", "1000")
	start("-l -o", scenario{}, "-l", lockfile, "-p", pidfile, "-to", "log", "-e", "errs", "sleep", "1000")
	start("-o |", scenario{}, "-p", pidfile, "-o", logger, "sleep", "1000")
	start("-u", scenario{}, "-u", "nobody", "-p", pidfile, "-o", "log", "sleep", "1000")
	start("-w", scenario{}, "-w", "0.02", "-p", pidfile, "sleep", "1000")
	start("-n", scenario{}, "-n", "20", "-p", pidfile, "/proc/1/exe", "-ready")
	start("-f", scenario{}, "-f", "-u", "nobody", "-p", pidfile, "sleep", "1000")
	start("-s", scenario{}, "-s", "-p", pidfile, "sleep", "1000")
	start("-s -r", scenario{}, "-s", "-r", "-p", pidfile, "sh", "-c", "test -e $0 && exec sleep 1000; >$0; exit 1", box.Dir+"/again")
	start("-p a stranger's", scenario{prepare: stranger}, "-p", pidfile, "sleep", "1000")
	running := scenario{prepare: daemon("sleep", "1000"), status: 1, leaves: 1}
	start("-p of who runs", running, "-p", pidfile, "sleep", "1000")
	left := scenario{prepare: escaped, status: 1, leaves: 1, reach: "-T"}
	start("-p of who escaped", left, "-p", pidfile, "sleep", "1000")
	stop := func(name string, prepare func(*bench) error, args ...string) *scenario {
		s := &scenario{name: "pidkill " + name, program: "pidkill", args: append(args, pidfile), prepare: prepare}
		list = append(list, s)
		return s
	}
	// A member that a failing call hides from TERM is to get KILL soon.
	stop("-t 1", daemon("sleep", "1000"), "-t", "1")
	stop("a group", daemon("sh", "-c", "sleep 1000 & sleep 1000 & wait"), "-t", "1")
	stop("no leader", daemon("sh", "-c", "sleep 1000 & sleep 1000 &"), "-t", "1")
	stop("-9", daemon("sleep", "1000"), "-9")
	stop("-S", daemon("sh", "-c", "sleep 1000 & wait"), "-S", "-t", "1").reach = "-S"
	stop("-T", daemon("sh", "-c", "setsid sleep 1000 & sleep 1000 & wait"), "-T", "-t", "1").reach = "-T"
	stop("-T of what escaped", escaped, "-T", "-t", "1").reach = "-T"
	stop("-g", daemon("sh", "-c", "sleep 1000 & wait"), "-t", "1", "-g").file = true
	s := stop("-s", daemon("sh", "-c", "sleep 1000 & wait"), "-s", "HUP")
	s.leaves, s.file = 1, true
	stop("-a -s", daemon("sh", "-c", "sleep 1000 & wait"), "-a", "-s", "HUP").file = true
	s = stop("-L", daemon("sh", "-c", "sleep 1000 & sleep 1000 & wait"), "-L", "-t", "1")
	s.leaves, s.file = 2, true
	for _, option := range []string{"-0", "-n"} {
		s = stop(option, daemon("sleep", "1000"), option)
		s.looks, s.leaves, s.file = true, 1, true
	}
	s = stop("what escaped", escaped, "-t", "1")
	s.status, s.looks, s.leaves, s.file, s.reach = 3, true, 1, true, "-T"
	s = stop("a stranger's", stranger, "-t", "1")
	s.looks, s.file = true, true
	return list
}

// daemon starts a command for pidkill to end.
func daemon(command ...string) func(*bench) error {
	return func(b *bench) error {
		status, text := plain(b.daemonize, append([]string{"-p", pidfile}, command...)...)
		if status != 0 {
			return fmt.Errorf("cannot start a daemon: %s", text)
		}
		return patiently(func() error { // until all of its children run, and the shell has ended
			sleeping, all := strings.Count(strings.Join(command, " "), "sleep"), box.Alive(b.victim)
			others := slices.DeleteFunc(slices.Clone(all), func(p box.Process) bool { return p.Comm == "sleep" })
			if len(all)-len(others) != sleeping || (len(others) > 0) != strings.HasSuffix(command[len(command)-1], "wait") {
				return fmt.Errorf("not what was started: %s", box.Names(all...))
			}
			return nil
		})
	}
}

// stale is a pidfile whose number nobody bears.
func stale(*bench) error { return os.WriteFile(pidfile, []byte("4194303\n"), 0o644) }

// escaped is a pidfile whose daemon has ended, but for one that left its group.
func escaped(b *bench) error { return daemon("sh", "-c", "setsid sleep 1000 & exit")(b) }

// stranger is a pidfile whose number has gone to somebody else since.
func stranger(b *bench) error {
	os.WriteFile(pidfile, []byte(fmt.Sprintf("%d\n", b.victim)), 0o644)
	before := b.began.Add(-2 * time.Second)
	return os.Chtimes(pidfile, before, before)
}

// patiently waits for what takes a moment, and long on a machine under load.
func patiently(ready func() error) error {
	err := ready()
	for began := time.Now(); err != nil && time.Since(began) < box.Patience/3; err = ready() {
		time.Sleep(time.Millisecond)
	}
	return err
}

// bench is what one job works with.
type bench struct {
	daemonize, pidkill string
	tracers            map[string]*tracer
	victim             int // a process that nobody may signal
	began              time.Time
	before             string // what the pidfile says
}

func newBench(bin string) (*bench, error) {
	if !filepath.IsAbs(bin) {
		return nil, errors.New("-bin: expected an absolute path")
	}
	b := &bench{daemonize: bin + "/daemonize", pidkill: bin + "/pidkill", tracers: map[string]*tracer{}, began: time.Now()}
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

// profile is the calls of an undisturbed run.
func (b *bench) profile(s *scenario, c *counts) []call {
	b.try(s, fault{}, c)
	return b.tracers[s.program].profile
}

// try makes one run and looks at what it left.
func (b *bench) try(s *scenario, f fault, c *counts) hit {
	b.clear()
	if s.prepare != nil {
		if err := s.prepare(b); err != nil {
			fmt.Fprintf(os.Stderr, "faults: %s: %v\n", s.name, err)
			os.Exit(1)
		}
	}
	text, _ := os.ReadFile(pidfile)
	b.before = string(text)
	args := slices.Clone(s.args)
	if slices.Contains(args, "-g") {
		args[len(args)-1] = strings.TrimSpace(b.before)
	}
	o, err := b.tracers[s.program].run(append([]string{s.program}, args...), s.lead, s.starts, f)
	if err != nil {
		fmt.Fprintf(os.Stderr, "faults: %s: %v\n", s.name, err)
		os.Exit(1)
	}
	switch {
	case !o.hit.done, o.hit.exempt:
		c.Passed++
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
		report := fmt.Sprintf("BROKEN %s: %v (system call %d, %x, in %s): %v\n    status %v, stderr %.300q\n",
			s.name, f, int(o.hit.nr), o.hit.args[:3], place(o.hit.stack), err, describe(o.status), o.stderr)
		c.Broken = append(c.Broken, report)
		fmt.Fprint(os.Stderr, report)
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
	reap()
	left, _ := filepath.Glob("/run/daemonize.*")
	for _, path := range append(left, pidfile, lockfile, "log", "errs", "again") {
		os.RemoveAll(path)
	}
}

// reap takes the status of all that have ended: children, and orphans, as this is
// their init.
func reap() {
	for pid := 1; pid > 0; {
		pid, _ = unix.Wait4(-1, nil, unix.WNOHANG, nil) // 0: none has ended, -1: there is none
	}
}

// check is what must hold after any run.
func (b *bench) check(s *scenario, f fault, o *outcome) error {
	reap()
	if row, err := box.Stat(b.victim); err != nil || row.Zombie() || row.State == 'T' {
		return errors.New("a process that is none of its business was signalled")
	}
	if o.hung {
		return errors.New("it hung")
	}
	if s.status == 1 {
		if err := b.untouched(s); err != nil {
			return err
		}
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
	case s.status == 0 && o.status.ExitStatus() == 0 && gentle:
		return b.started(s, f, o)
	case o.status.ExitStatus() == s.status:
		return b.reachable(s, f, o)
	}
	if f.kind != fail {
		return errors.New("it failed")
	}
	return b.failed(s, o)
}

// untouched is for a start that has met a daemon: whatever happens to the start,
// the daemon is as it was.
func (b *bench) untouched(s *scenario) error {
	return patiently(func() error { // the copy of one that was killed goes on
		if all := box.Alive(b.victim); len(all) != s.leaves || slices.ContainsFunc(all, starter) {
			return fmt.Errorf("a daemon was there, and now there run: %s", box.Names(all...))
		}
		return locked(pidfile, b.before)
	})
}

// starter tells daemonize, and its copy before that has its name.
func starter(p box.Process) bool { return p.Comm == "daemonize" || p.Comm == "exe" }

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
	if s.status == 1 {
		return nil // untouched
	}
	if left := box.Nothing(b.victim); left != nil {
		return fmt.Errorf("left running: %s", box.Names(left...))
	}
	for _, name := range []string{pidfile, lockfile} {
		if _, err := os.Lstat(name); err == nil && b.before == "" {
			return fmt.Errorf("left %s", name)
		}
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
func (b *bench) started(s *scenario, f fault, o *outcome) error {
	p, err := b.daemon(s)
	if s.starts > 1 && err != nil { // it may take one more start, or be given up
		err = patiently(func() error {
			_, missing := os.Lstat(pidfile)
			if p, err = b.daemon(s); f.kind == fail && missing != nil && len(box.Alive(b.victim)) == 0 {
				p, err = box.Process{}, nil
			}
			return err
		})
		if err == nil && p.PID == 0 {
			return nil
		}
	}
	if err != nil {
		return err
	}
	want := []int{0, 0, 0}
	if s.user {
		want = []int{nobody, nobody, nobody}
	}
	if got := identity(p.PID); !slices.Equal(got, want) {
		return fmt.Errorf("user, group, groups are %v", got)
	}
	// The dynamic linker still has its files for a moment.
	if err := patiently(func() error { return clean(p.PID, slices.Contains(s.args, "-ready")) }); err != nil {
		return err
	}
	if slices.Contains(s.args, lockfile) {
		if err := locked(lockfile, ""); err != nil {
			return err
		}
	}
	if slices.Contains(s.args, pidfile) {
		if status, text := plain(b.pidkill, pidfile); status != 0 {
			return fmt.Errorf("then pidkill: status %d: %s", status, text)
		}
		if left := box.Nothing(b.victim); left != nil {
			return fmt.Errorf("left by pidkill: %s", box.Names(left...))
		}
		if _, err := os.Lstat(pidfile); err == nil {
			return errors.New("pidkill left the pidfile")
		}
	}
	return b.nothingElse(o)
}

// daemon is the only process there, besides those that belong to it.
func (b *bench) daemon(s *scenario) (p box.Process, err error) {
	running := b.alive(s)
	parent := 1
	if s.starts > 0 {
		i := slices.IndexFunc(running, starter)
		if i < 0 || running[i].PPID != 1 || running[i].SID != running[i].PID {
			return p, fmt.Errorf("no supervisor in %s", box.Names(running...))
		}
		parent = running[i].PID
		running = slices.Delete(running, i, i+1)
	}
	if len(running) != 1 {
		return p, fmt.Errorf("status 0, and there run: %s", box.Names(running...))
	}
	p = running[0]
	if p.PPID != parent || p.PGID != p.PID || p.SID == p.PID || (p.SID == 1) != s.becomes || p.TTY != 0 {
		return p, fmt.Errorf("not a daemon: %s", box.Names(running...))
	}
	if slices.Contains(s.args, pidfile) {
		err = locked(pidfile, fmt.Sprintf("%d\n", p.PID))
	}
	return p, err
}

// alive is what runs, but for a logger, which ends when it has read all.
func (b *bench) alive(s *scenario) []box.Process {
	return slices.DeleteFunc(box.Alive(b.victim), func(p box.Process) bool {
		return s.logger && (p.Comm == "sh" || p.Comm == "cat")
	})
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

// clean checks what a command gets besides its user. Ready: it is our own.
func clean(pid int, ready bool) error {
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
		if n > 2 && !lock && !(ready && opens(target)) {
			return fmt.Errorf("descriptor %d is %s", n, target)
		}
	}
	return nil
}

// opens tells what the command of daemonize -n opens itself, or its runtime.
func opens(target string) bool {
	return strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/sys/fs/cgroup/")
}

// locked checks the file of a daemon that runs.
func locked(name, want string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if string(text) != want {
		return fmt.Errorf("%s says %q and not %q", name, text, want)
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Mode() != 0o644 {
		return fmt.Errorf("the mode of %s is %v", name, st.Mode())
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != unix.EWOULDBLOCK {
		return fmt.Errorf("%s is not locked", name)
	}
	return nil
}

// stopped is for a pidkill that has ended by itself.
func (b *bench) stopped(s *scenario, f fault, o *outcome) error {
	status := o.status.ExitStatus()
	if status != s.status {
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
	if status == s.status || s.looks {
		left := func() error {
			if all := box.Alive(b.victim); len(all) != s.leaves {
				return fmt.Errorf("status %d, and there run: %s", status, box.Names(all...))
			}
			return nil
		}
		err := left()
		if err != nil && slices.Contains(s.args, "-s") { // which waits for nobody
			err = patiently(left)
		}
		if err != nil {
			return err
		}
		// A file that stays is said so, and no reason to say the daemon did.
		_, err = os.Lstat(pidfile)
		if (err == nil) != s.file && !strings.Contains(o.stderr, ": cannot remove the pidfile: ") {
			return fmt.Errorf("status %d, and of the pidfile: %v", status, err)
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
	left := b.alive(s)
	status, text := plain(b.pidkill, cmp.Or(s.reach, "-v"), pidfile)
	still := box.Nothing(b.victim)
	// A command whose first run ends by itself may have done so before pidkill looked.
	byItself := s.starts > 1 && still == nil && !strings.Contains(text, " sent to ")
	if status != 0 && !(status == 4 && (len(left) == 0 || byItself)) {
		return fmt.Errorf("then pidkill: status %d: %s", status, text)
	}
	if still != nil {
		return fmt.Errorf("out of pidkill's reach: %s (it said %q)", box.Names(still...), text)
	}
	if _, err := os.Lstat(pidfile); errors.Is(err, os.ErrNotExist) {
		return nil // a start meets nothing then: scenario "-p"
	}
	if status, text := plain(b.daemonize, "-p", pidfile, "sleep", "1000"); status != 0 {
		return fmt.Errorf("then daemonize: status %d: %s", status, text)
	}
	if status, text := plain(b.pidkill, pidfile); status != 0 {
		return fmt.Errorf("at last pidkill: status %d: %s", status, text)
	}
	return nil
}
