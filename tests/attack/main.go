// Attack has an unprivileged user do what that user can against root's starts
// and stops: in directories of its own, in one for all, and in one of root's
// where its group may make files. Meanwhile root starts and stops daemons there,
// with and without -u. It checks all the while that
//
//   - no file of root's was read, written, linked or removed, and none made
//     where only root may make files;
//   - no process of root's was signalled;
//   - the user has nothing that root's daemons said for root's eyes;
//   - no start and no stop hangs.
//
// The seed makes each worker's sequence of steps; how they interleave is up to
// the machine.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/tests/box"
)

const (
	user     = 61234 // whose number nobody else has
	said     = "for root's eyes"
	patience = 90 * time.Second // a start gives up after a minute, and a stop kills
)

func main() {
	attacker := flag.Bool("attacker", false, "be the user")
	bin := flag.String("bin", "bin", "`directory` of the programs")
	seconds := flag.Float64("seconds", 15, "how long")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what happens")
	workers := flag.Int("workers", 6, "how many")
	flag.Parse()
	if *attacker {
		attack(*seed)
	}
	box.Skip()
	box.Enter()
	fmt.Printf("seed %d\n", *seed)
	m := &model{bin: *bin, counts: map[string]int{}}
	m.init.Run()
	m.furnish()
	go func() {
		for n := *seed; ; n++ {
			m.attacker(n).Wait() // a pidfile can name it
		}
	}()
	box.Work(*workers, *seconds, *seed, func(r *rand.Rand) {
		w := &worker{m, r}
		w.step()
		m.check()
	})
	m.check()
	for _, v := range m.victims {
		if v.End() {
			m.broken("a process of root's was signalled")
		}
	}
	box.Report(m.counts)
}

type model struct {
	bin     string
	init    box.Init
	victims []*box.Victim
	before  string // see secrets

	mu     sync.Mutex
	counts map[string]int
}

// furnish makes what is attacked.
func (m *model) furnish() {
	must := func(err error) {
		if err != nil {
			m.broken("%v", err)
		}
	}
	for _, d := range []struct {
		name string
		mode uint32
		uid  int
	}{
		{"mine", 0o755, 0}, {"mine/private", 0o700, 0}, {"theirs", 0o755, user},
		{"sticky", 0o1777, 0}, {"group", 0o775, 0},
	} {
		must(os.Mkdir(d.name, 0o700))
		must(os.Chown(d.name, d.uid, user))
		must(unix.Chmod(d.name, d.mode))
	}
	// Two of root's daemons: one alone, and one that leads its group.
	for i, sys := range []*syscall.SysProcAttr{nil, {Setpgid: true}} {
		v, err := m.init.Victim(sys)
		must(err)
		m.victims = append(m.victims, v)
		must(os.WriteFile(fmt.Sprintf("mine/victim%d.pid", i), fmt.Appendln(nil, v.PID), 0o644))
	}
	must(os.WriteFile("mine/secret", []byte("precious\n"), 0o600))
	must(os.WriteFile("mine/private/secret", []byte("precious\n"), 0o644))
	long := time.Unix(1e9, 0) // so that the next reading sets the time of access (relatime)
	for _, file := range secrets {
		must(os.Chtimes(file, long, long.Add(time.Second)))
	}
	m.before = m.look()
}

var secrets = []string{"mine/secret", "mine/private/secret"}

// look is all that an attack could change about root's.
func (m *model) look() string {
	var b strings.Builder
	for _, file := range secrets {
		var st unix.Stat_t
		if err := unix.Lstat(file, &st); err != nil {
			fmt.Fprintln(&b, file, err)
		}
		fmt.Fprintln(&b, file, st.Ino, st.Nlink, st.Size, st.Uid, st.Mode, st.Atim, st.Mtim, st.Ctim)
	}
	for _, dir := range []string{"mine", "mine/private", "/run"} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "daemonize.") { // the sockets of -n
				fmt.Fprintln(&b, dir, e)
			}
		}
	}
	return b.String()
}

func (m *model) check() {
	if now := m.look(); now != m.before {
		m.broken("root's files before:\n%sand now:\n%s", m.before, now)
	}
	for _, v := range m.victims {
		if v.Over() {
			m.broken("a process of root's (%d) was signalled", v.PID)
		}
	}
	// A file of the user's in a directory that is root's.
	for _, file := range append(glob("sticky/*"), glob("group/*")...) {
		fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		text := make([]byte, 1<<16)
		unix.Fstat(fd, &st)
		n, _ := unix.Read(fd, text)
		unix.Close(fd)
		if st.Uid != 0 && bytes.Contains(text[:max(0, n)], []byte(said)) {
			m.broken("%s, of user %d, has root's output", file, st.Uid)
		}
	}
	for _, file := range glob("theirs/*") {
		var st unix.Stat_t
		if unix.Lstat(file, &st) == nil && st.Uid == 0 {
			m.broken("%s is root's", file)
		}
	}
}

func glob(pattern string) []string {
	names, _ := filepath.Glob(pattern)
	return names
}

// broken ends the test. With its init the whole box goes.
func (m *model) broken(format string, args ...any) {
	m.mu.Lock() // for good
	fmt.Fprintf(os.Stderr, "attack: BROKEN: %s\n", fmt.Sprintf(format, args...))
	fmt.Fprintf(os.Stderr, "attack: running: %s\n", strings.ReplaceAll(box.Names(box.Alive()...), "; ", "\n    "))
	os.Exit(1)
}

func (m *model) attacker(seed uint64) (c *box.Child) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err == nil {
		defer null.Close()
		c, err = m.init.Start([]string{"/proc/self/exe", "-attacker", "-seed", fmt.Sprint(seed)}, nil,
			[3]*os.File{null, os.Stdout, os.Stderr},
			&syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: user, Gid: user}})
	}
	if err != nil {
		m.broken("%v", err)
	}
	return c
}

type worker struct {
	*model
	*rand.Rand
}

func (w *worker) one(of ...string) string { return of[w.IntN(len(of))] }

// anywhere is a file that root names, in a directory of the user's or of all.
func (w *worker) anywhere() string {
	return w.one("theirs/", "sticky/", "group/", "theirs/dir/") + w.one(names...)
}

// step is a start or a stop by root.
func (w *worker) step() {
	pidfile := w.one("theirs/", "theirs/dir/", "sticky/") + w.one("1.pid", "2.pid")
	if w.IntN(3) == 0 {
		w.run("pidkill", w.one("-t0.2", "-sHUP", "-0", "-n", "-Tt0.2"), pidfile)
		return
	}
	args := []string{"daemonize"}
	asUser := w.IntN(4) > 0
	if asUser {
		args = append(args, "-u", fmt.Sprintf("%d:%[1]d", user))
	}
	for option, value := range map[string]string{
		"-p": pidfile, "-o": w.anywhere(), "-e": w.anywhere(), "-i": w.anywhere(), "-c": w.one("theirs/dir", "theirs"),
		"-w": "0.05", "-n": "0.1", "-t": "",
	} {
		if w.IntN(3) > 0 || option == "-n" && slices.Contains(args, "-w") || option == "-w" && slices.Contains(args, "-n") {
			continue
		}
		if option == "-c" && !asUser { // what root names without -u is root's to know
			continue
		}
		if option == "-t" && !slices.Contains(args, "-o") && !slices.Contains(args, "-e") {
			continue
		}
		if args = append(args, option); value != "" {
			args = append(args, value)
		}
	}
	if w.IntN(6) == 0 {
		args = append(args, "-s")
	}
	switch {
	case !asUser:
		args = append(args, "/bin/sh", "-c", "echo "+said+"; cat; sleep 0.2")
	case w.IntN(2) == 0:
		args = append(args, "theirs/"+w.one("run", "dir/run", "log"))
	default:
		args = append(args, "/bin/sh", "-c", "cat; exec sleep 1")
	}
	w.run(args...)
}

func (w *worker) run(args ...string) {
	t, err := w.init.Tool(nil, append([]string{filepath.Join(w.bin, args[0])}, args[1:]...)...)
	if err != nil {
		w.broken("%v", err)
	}
	for end := time.Now().Add(patience); !t.Over(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.broken("%s hangs", strings.Join(args, " "))
		}
	}
	status, output := t.Result()
	if strings.Contains(output, "goroutine ") || status == 2 {
		w.broken("%s: status %d: %s", strings.Join(args, " "), status, output)
	}
	w.mu.Lock()
	w.counts[args[0]+" "+strconv.Itoa(status)]++
	w.mu.Unlock()
}
