// Recycle has process IDs come round again for real. In a PID namespace with
// few numbers daemons start, stop and are killed, their pidfiles stay, and
// other processes come to bear their numbers: leaders of sessions, leaders of
// groups, mere processes, groups without a leader. Nobody may signal those,
// and everybody has to see that the daemon is gone.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/tests/box"
)

// numbers is the highest PID. The kernel gives out those from 300 on again.
const numbers = 900

// age is how old a pidfile has to be before its number may pass to another:
// daemons may have started half a second after their pidfile's time.
const age = 600 * time.Millisecond

func main() {
	box.Skip()
	bin := flag.String("bin", "bin", "`directory` of the programs")
	seconds := flag.Float64("seconds", 20, "how long")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what happens")
	flag.Parse()
	box.Enter()
	w := &world{bin: *bin, random: rand.New(rand.NewPCG(*seed, 0))}
	fmt.Printf("seed %d\n", *seed)
	if newer(6, 14) { // before, the limit is the whole machine's
		if err := os.WriteFile("/proc/sys/kernel/pid_max", []byte(fmt.Sprint(numbers)), 0); err != nil {
			fmt.Fprintf(os.Stderr, "recycle: %v\n", err)
			os.Exit(1)
		}
	}
	w.init.Run()
	if err := w.run(time.Duration(*seconds * float64(time.Second))); err != nil {
		fmt.Fprintf(os.Stderr, "recycle: BROKEN: %v (seed %d)\n", err, *seed)
		os.Exit(1)
	}
	fmt.Printf("%d processes as victims, %d of them on the number of a daemon: none was signalled\n", w.victims, w.recycled)
	fmt.Printf("%d starts, %d stops, %d daemons killed, %d had left one with the lock\n", w.starts, w.stops, w.kills, w.escapees)
	if w.recycled < 10 {
		fmt.Fprintln(os.Stderr, "recycle: too few to mean anything")
		os.Exit(1)
	}
}

func newer(major, minor int) bool {
	var u unix.Utsname
	unix.Uname(&u)
	var a, b int
	fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &a, &b)
	return a > major || a == major && b >= minor
}

// slot is a pidfile.
type slot struct {
	file    string
	pid     int // in the file; 0: there is none
	alive   bool
	escapee *box.Handle // of the daemon, has its lock; nil: there is none
	written time.Time
	victim  *victim // that bears the number by now
}

type victim struct {
	*box.Victim
	group bool // of its number lives, without a leader
}

type world struct {
	bin    string
	random *rand.Rand
	init   box.Init
	slots  [24]*slot
	others []*victim // alive, the oldest first

	victims, recycled, starts, stops, kills, escapees int
}

func (w *world) run(d time.Duration) error {
	for i := range w.slots {
		w.slots[i] = &slot{file: fmt.Sprintf("%s/%d.pid", box.Dir, i)}
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		s := w.slots[w.random.IntN(len(w.slots))]
		var err error
		switch {
		case s.pid == 0:
			err = w.start(s)
		case s.alive && time.Since(s.written) < age:
			err = w.another() // meanwhile
		case s.alive && w.random.IntN(3) == 0:
			err = w.stop(s)
		case s.alive:
			w.kill(s)
		case s.victim == nil:
			err = w.recycle(s)
		default:
			err = w.look(s)
		}
		if err == nil {
			err = w.check()
		}
		if err != nil {
			return err
		}
	}
	for _, v := range w.others {
		if v.End() && !v.group {
			return fmt.Errorf("victim %d was signalled", v.PID)
		}
	}
	return nil
}

// tool runs a program, and expects a status.
func (w *world) tool(want int, name string, args ...string) (string, error) {
	status, output := w.init.Do(append([]string{w.bin + "/" + name}, args...)...)
	if status != want {
		return "", fmt.Errorf("%s %s: status %d, not %d: %s", name, strings.Join(args, " "), status, want, output)
	}
	return output, nil
}

func (w *world) start(s *slot) error {
	command, leaves := []string{"sleep", "1000"}, w.random.IntN(5) == 0
	switch {
	case leaves:
		command = []string{"sh", "-c", "setsid sleep 1000 & exec sleep 1000"}
	case w.random.IntN(3) == 0:
		command = []string{"sh", "-c", "sleep 1000 & sleep 1000"}
	}
	if _, err := w.tool(0, "daemonize", append([]string{"-p", s.file}, command...)...); err != nil {
		return err
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		return err
	}
	fmt.Sscan(string(text), &s.pid)
	s.alive, s.written, s.victim = true, time.Now(), nil
	w.starts++
	p, err := box.Stat(s.pid)
	if err != nil || p.PGID != s.pid || p.Zombie() {
		return fmt.Errorf("started %d, which does not run", s.pid)
	}
	for end := time.Now().Add(box.Patience); leaves && s.escapee == nil; {
		for _, p := range box.Alive() {
			if p.PPID == s.pid && p.SID == p.PID && p.Comm == "sleep" {
				s.escapee, err = box.Pin(p.PID)
			}
		}
		if err != nil || time.Now().After(end) {
			return fmt.Errorf("nobody leaves the group of %d: %v", s.pid, err)
		}
	}
	return nil
}

// forget makes sure that the daemon's escapee, if it has one, is gone or still
// there, and ends it.
func (w *world) forget(s *slot, gone bool) error {
	if s.pid = 0; s.escapee == nil {
		return nil
	}
	defer s.escapee.Close()
	who := s.escapee
	s.escapee = nil
	w.escapees++
	if over := who.Wait(0); over != gone {
		return fmt.Errorf("the escapee %d has ended: %v, not %v", who.PID, over, gone)
	}
	who.Signal(unix.SIGKILL)
	who.Wait(box.Patience)
	return nil
}

func (w *world) stop(s *slot) error {
	if _, err := w.tool(0, "pidkill", s.file); err != nil {
		return err
	}
	// No victim can have come to its number yet.
	for _, p := range box.Alive() {
		if p.PGID == s.pid {
			return fmt.Errorf("pidkill says %d is gone, and there is %s", s.pid, box.Names(p))
		}
	}
	w.stops++
	return w.forget(s, false)
}

// kill ends a daemon without a word to anybody. Its pidfile stays.
func (w *world) kill(s *slot) {
	unix.Kill(-s.pid, unix.SIGKILL) // its number is its own until init reaps it
	s.alive = false
	w.kills++
	for !empty(s.pid) {
		time.Sleep(100 * time.Microsecond)
	}
}

// empty tells whether no process is in a group, nor a zombie.
func empty(pgid int) bool { return unix.Kill(-pgid, 0) == unix.ESRCH }

// recycle has somebody bear the number of a daemon that was killed: by and by,
// or at once.
func (w *world) recycle(s *slot) error {
	if v := w.bearer(s.pid); v != nil {
		s.victim = v
		w.recycled++
		return nil
	}
	if w.random.IntN(2) == 0 {
		os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(fmt.Sprint(s.pid-1)), 0)
	}
	return w.another()
}

func (w *world) bearer(pid int) *victim {
	for _, v := range w.others {
		if v.PID == pid {
			return v
		}
	}
	return nil
}

// another starts a victim; the oldest one goes.
func (w *world) another() error {
	v := &victim{}
	var sys *syscall.SysProcAttr
	var shell []string
	switch w.random.IntN(6) {
	case 0, 1:
		sys = &syscall.SysProcAttr{Setsid: true}
	case 2:
		sys = &syscall.SysProcAttr{Setpgid: true}
	case 3: // a group whose leader is gone, in a session that is led
		sys, v.group, shell = &syscall.SysProcAttr{Setpgid: true}, true, orphan
	case 4: // the same in a session whose leader is gone as well
		sys, v.group, shell = &syscall.SysProcAttr{Setsid: true}, true, orphan
	}
	var err error
	if v.Victim, err = w.init.Victim(sys, shell...); err != nil {
		return err
	}
	if v.group {
		v.Wait()
	}
	w.victims++
	w.others = append(w.others, v)
	if len(w.others) < 100 {
		return nil
	}
	old := w.others[0]
	w.others = w.others[1:]
	for _, s := range w.slots {
		if s.victim == old {
			s.victim = nil
		}
	}
	if old.End() && !old.group {
		return fmt.Errorf("victim %d was signalled", old.PID)
	}
	return nil
}

// orphan leaves a process in the shell's group, and its leader ends. Standard
// input has to be said, as a shell gives others none.
var orphan = []string{"exec 3<&0; cat <&3 & exit 0"}

// check looks whether everybody is there.
func (w *world) check() error {
	for _, v := range w.others {
		if !v.group && v.Over() {
			return fmt.Errorf("victim %d was signalled", v.PID)
		}
		if v.group && empty(v.PID) {
			return fmt.Errorf("the group of victim %d was signalled", v.PID)
		}
	}
	return nil
}

// look has a program look at the pidfile of a daemon whose number another
// process bears.
func (w *world) look(s *slot) (err error) {
	// The answer is stranger: the file stays, and the next start takes it over.
	asked, signalled, shown, stopped, all, started := 1, 1, 1, 0, 0, 0
	switch {
	case s.escapee != nil: // which has the lock
		asked, signalled, shown, stopped, all, started = 0, 4, 0, 3, 0, 1
	case s.victim.group: // whose that is nobody can tell when its leader is gone
		asked, signalled, shown, stopped, all, started = 4, 4, 4, 4, 4, 125
	}
	switch w.random.IntN(6) {
	case 0:
		_, err = w.tool(asked, "pidkill", "-0", s.file)
	case 1:
		_, err = w.tool(signalled, "pidkill", "-s", "USR1", s.file)
	case 2:
		_, err = w.tool(shown, "pgtree", s.file)
	case 3:
		_, err = w.tool(stopped, "pidkill", "-9", s.file)
	case 4:
		_, err = w.tool(all, "pidkill", [...]string{"-S", "-T"}[w.random.IntN(2)], s.file)
		if err == nil && s.escapee != nil {
			if _, err := os.Lstat(s.file); err == nil {
				return fmt.Errorf("pidkill left %s", s.file)
			}
			return w.forget(s, true)
		}
	default:
		if started == 0 {
			return w.start(s)
		}
		_, err = w.tool(started, "daemonize", "-p", s.file, "sleep", "1000")
	}
	if err == nil {
		_, err = os.Lstat(s.file) // nobody has removed it
	}
	return err
}
