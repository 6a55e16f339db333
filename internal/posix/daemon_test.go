package posix

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test's own program also plays those who are at work on a pidfile.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "hold-bytes" {
		from, _ := strconv.ParseInt(os.Args[2], 10, 64)
		fd, err := unix.Open(os.Args[3], unix.O_RDWR, 0)
		if err == nil {
			err = unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: from, Len: max(0, from)})
		}
		fmt.Println(err)
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	if len(os.Args) == 5 && os.Args[1] == "with-uids" {
		var ids [3]int
		for i := range ids {
			ids[i], _ = strconv.Atoi(os.Args[2+i])
		}
		fmt.Println(syscall.Setresuid(ids[0], ids[1], ids[2]))
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// start starts a command in a group of its own, which ends with the test, and
// returns the first line that it says.
func start(t *testing.T, files []*os.File, name string, arg ...string) (pid int, line string) {
	t.Helper()
	cmd := exec.Command(name, arg...)
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	line, _ = bufio.NewReader(out).ReadString('\n')
	return cmd.Process.Pid, strings.TrimSpace(line)
}

// scene is a pidfile, and what the rows of TestAsk do with it.
type scene struct {
	*testing.T
	path string
}

func (s scene) write(content string, written time.Time) {
	s.Helper()
	err := os.WriteFile(s.path, []byte(content), 0o644)
	if err == nil {
		err = os.Chtimes(s.path, written, written)
	}
	if err != nil {
		s.Fatal(err)
	}
}

// locked opens the file as daemonize does, and locks it; or as anybody can.
func (s scene) locked(flags int) *os.File {
	s.Helper()
	fd, err := unix.Open(s.path, unix.O_RDONLY|unix.O_CLOEXEC|flags, 0)
	if err == nil {
		err = unix.Flock(fd, unix.LOCK_EX)
	}
	if err != nil {
		s.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), s.path)
	s.Cleanup(func() { f.Close() })
	return f
}

// held has a child hold the lock, which this process has made and given up.
func (s scene) held(flags int, script string) (pid int, line string) {
	s.Helper()
	f := s.locked(flags)
	defer f.Close()
	return start(s.T, []*os.File{f}, "sh", "-c", script)
}

// inFlight locks the file by a descriptor on its way from process to process.
func (s scene) inFlight() {
	s.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() {
		unix.Close(pair[0])
		unix.Close(pair[1])
	})
	f := s.locked(unix.O_NOATIME)
	defer f.Close()
	if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(int(f.Fd())), nil, 0); err != nil {
		s.Fatal(err)
	}
}

func (s scene) bytes(from int) int {
	s.Helper()
	pid, line := start(s.T, nil, os.Args[0], "hold-bytes", strconv.Itoa(from), s.path)
	if line != "<nil>" {
		s.Fatal(line)
	}
	return pid
}

// ended waits until the process is a zombie.
func (s scene) ended(pid int) {
	s.Helper()
	h, err := Pin(pid)
	if err != nil {
		s.Fatal(err)
	}
	defer h.Close()
	if !h.Wait(10 * time.Second) {
		s.Fatal("it has not ended")
	}
}

// dead is a number that no process has.
func (s scene) dead() int {
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		s.Fatal(err)
	}
	return cmd.Process.Pid
}

// tick is what the clock cannot tell apart.
const tick = 10 * time.Millisecond

// The rule of Ask, a row for each line of it.
func TestAsk(t *testing.T) {
	const sleeps = "echo; exec sleep 1000"
	const leaves = "sleep 1000 >/dev/null & echo $!" // and it ends
	var boot unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
	booted := time.Now().Add(-time.Duration(boot.Nano()))
	if time.Since(booted) < 90*time.Second {
		t.Skip("the machine has just started")
	}
	long := booted.Add(time.Second)

	for name, row := range map[string]struct {
		set  func(s scene)
		want Answer
	}{
		"1 the process holds the lock, whatever the clock says": {func(s scene) {
			pid, _ := s.held(unix.O_NOATIME, sleeps)
			s.write(fmt.Sprintln(pid), long)
		}, Running},
		"1 also one that it made itself": {func(s scene) {
			s.locked(0)
			s.write(fmt.Sprintln(os.Getpid()), long)
		}, Running},
		"2 a member of its group holds it": {func(s scene) {
			pid, _ := s.held(unix.O_NOATIME, leaves)
			s.ended(pid)
			s.write(fmt.Sprintln(pid), long)
		}, Leaderless},
		"2 a member holds it, and the process of the number has closed it": {func(s scene) {
			pid, _ := s.held(unix.O_NOATIME, "sleep 1000 >/dev/null & exec 3<&-; "+sleeps)
			s.write(fmt.Sprintln(pid), long)
		}, Running},
		"3 it has a record lock of its own": {func(s scene) {
			s.write("1\n", long)
			s.write(fmt.Sprintln(s.bytes(0)), long)
		}, Running},
		"3 somebody else is at work on byte 0": {func(s scene) {
			s.write(fmt.Sprintln(s.dead()), long)
			s.bytes(0)
		}, Starting},
		"3 on byte 1 alone": {func(s scene) {
			s.write(fmt.Sprintln(s.dead()), long)
			s.bytes(1)
		}, Between},
		"4 who holds it merely may read the file": {func(s scene) {
			if _, err := exec.LookPath("setpriv"); err != nil || os.Geteuid() != 0 {
				s.Skip("needs root and setpriv")
			}
			s.held(0, "exec setpriv --reuid=65534 --clear-groups sh -c '"+sleeps+"'")
			s.write(fmt.Sprintln(s.dead()), long)
		}, Gone},
		"5 others hold it": {func(s scene) {
			s.held(unix.O_NOATIME, sleeps)
			s.write(fmt.Sprintln(s.dead()), long)
		}, Escaped},
		"5 who made it is still there": {func(s scene) {
			s.write(fmt.Sprintln(s.dead()), long)
			s.locked(unix.O_NOATIME)
			w, err := os.OpenFile(s.path, os.O_RDWR, 0)
			if err != nil {
				s.Fatal(err)
			}
			s.Cleanup(func() { w.Close() })
		}, Starting},
		"5 who made it is still there, but cannot write": {func(s scene) {
			s.write("", long)
			s.locked(unix.O_NOATIME)
		}, Running},
		"5 empty: they are the daemon": {func(s scene) {
			s.held(unix.O_NOATIME, sleeps)
			s.write("", long)
		}, Running},
		"5 the number is outdated": {func(s scene) {
			s.held(unix.O_NOATIME, sleeps)
			s.write(fmt.Sprintln(os.Getpid()), time.Unix(0, 0))
		}, Running},
		"5 the lock is not one of daemonize's, and the process is as old as the file": {func(s scene) {
			s.held(0, sleeps)
			pid, _ := start(s.T, nil, "sh", "-c", sleeps)
			s.write(fmt.Sprintln(pid), time.Now())
		}, Running},
		"5 it is one of daemonize's: the process is a stranger": {func(s scene) {
			s.held(unix.O_NOATIME, sleeps)
			pid, _ := start(s.T, nil, "sh", "-c", sleeps)
			s.write(fmt.Sprintln(pid), time.Now())
		}, Escaped},
		"5 empty, and the lock is not one of daemonize's": {func(s scene) {
			s.held(0, sleeps)
			s.write("", long)
		}, Escaped},
		"6 nobody who could be seen: the descriptor is on its way to another process": {func(s scene) {
			s.write(fmt.Sprintln(s.dead()), long)
			s.inFlight()
		}, Unknown},
		"7 not locked, as old as the file": {func(s scene) {
			pid, _ := start(s.T, nil, "sh", "-c", sleeps)
			s.write(fmt.Sprintln(pid), time.Now())
		}, Running},
		"7 half a second of slack": {func(s scene) {
			pid, _ := start(s.T, nil, "sh", "-c", sleeps)
			s.write(fmt.Sprintln(pid), time.Now().Add(-slack+10*tick))
		}, Running},
		"7 and no more: a stranger": {func(s scene) {
			pid, _ := start(s.T, nil, "sh", "-c", sleeps)
			s.write(fmt.Sprintln(pid), time.Now().Add(-slack-10*tick))
		}, Stranger},
		"7 in the future": {func(s scene) { s.write(fmt.Sprintln(os.Getpid()), time.Now().Add(time.Minute)) }, Unknown},
		"7 a group without its leader, as old": {func(s scene) {
			pid, _ := start(s.T, nil, "sh", "-c", leaves)
			s.ended(pid)
			s.write(fmt.Sprintln(pid), time.Now())
		}, Leaderless},
		"7 nothing":  {func(s scene) { s.write(fmt.Sprintln(s.dead()), long) }, Gone},
		"7 empty":    {func(s scene) { s.write("\n", long) }, Unknown},
		"7 outdated": {func(s scene) { s.write(fmt.Sprintln(os.Getpid()), time.Unix(0, 0)) }, Gone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scene{t, filepath.Join(t.TempDir(), "app.pid")}
			s.write("", long)
			row.set(s)
			f, d, err := FindDaemon(s.path, false, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			defer d.Close()
			if d.Answer != row.want {
				t.Errorf("%v (%s), want %v", d.Answer, d, row.want)
			}
			if d.Answer == Running && d.Process == nil || d.Answer == Between && d.Supervisor == nil || d.Answer == Escaped && len(d.Kin) == 0 {
				t.Errorf("nobody: %+v", d)
			}
		})
	}
}

// A start that took long, and whose file then went, is no reason not to answer.
func TestFindDaemonMoved(t *testing.T) {
	t.Parallel()
	s := scene{t, filepath.Join(t.TempDir(), "app.pid")}
	s.write(fmt.Sprintln(s.dead()), time.Now())
	if err := os.Link(s.path, s.path+".new"); err != nil {
		t.Fatal(err)
	}
	os.Remove(s.path)
	s.write("", time.Now())
	s.inFlight()
	atWork := s.bytes(0)
	time.AfterFunc(1200*time.Millisecond, func() { syscall.Kill(atWork, syscall.SIGKILL) })
	time.AfterFunc(1500*time.Millisecond, func() { os.Rename(s.path+".new", s.path) })
	f, d, err := FindDaemon(s.path, false, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer d.Close()
	if d.Answer != Gone {
		t.Errorf("%v (%s), want Gone", d.Answer, d)
	}
}

// Whoever asks whose a file is has it locked for a moment.
func TestRemoveLocked(t *testing.T) {
	s := scene{t, filepath.Join(t.TempDir(), "app.pid")}
	err := ErrBusy
	for try := 0; try < 10 && err == ErrBusy; try++ { // on a slow machine a moment is long
		s.write(fmt.Sprintln(s.dead()), time.Now())
		f, d, findErr := FindDaemon(s.path, false, 0)
		if findErr != nil {
			t.Fatal(findErr)
		}
		other, openErr := os.Open(s.path)
		if openErr != nil {
			t.Fatal(openErr)
		}
		if err := flock(int(other.Fd()), unix.LOCK_SH); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(5*time.Millisecond, func() { other.Close() })
		err = f.Remove(d)
		d.Close()
		f.Close()
	}
	if err != nil {
		t.Errorf("not removed: %v", err)
	}
}

func TestSame(t *testing.T) {
	// Two outdated numbers: number and time are 0 in both answers.
	a := &Daemon{content: []byte("201\n"), written: time.Unix(0, 0)}
	b := &Daemon{content: []byte("305\n"), written: time.Unix(0, 0)}
	if !a.Same(a) || a.Same(b) {
		t.Errorf("the same file: %v, another start's: %v", a.Same(a), a.Same(b))
	}
}

// A file from before the boot is of no process that is there, unless its file
// system is not as old as that.
func TestBeforeBoot(t *testing.T) {
	for dir, want := range map[string]Answer{"/dev/shm": Unknown, t.TempDir(): Gone} {
		var fs unix.Statfs_t
		if unix.Statfs(dir, &fs) != nil || (fs.Type == unix.TMPFS_MAGIC) != (want == Unknown) {
			continue
		}
		f, err := os.CreateTemp(dir, "pid")
		if err != nil {
			t.Fatal(err)
		}
		defer os.Remove(f.Name())
		defer f.Close()
		scene{t, f.Name()}.write(fmt.Sprintln(os.Getppid()), time.Unix(1e9, 0))
		open, d, err := FindDaemon(f.Name(), false, 0)
		if err != nil {
			t.Fatal(err)
		}
		if d.Answer != want {
			t.Errorf("%s: %v (%s), want %v", dir, d.Answer, d, want)
		}
		d.Close()
		open.Close()
	}
}

// Also where stat(2) has 32 bits for a time, which end in 2038.
func TestWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.pid")
	scene{t, path}.write("4711\n", time.Now())
	f, err := OpenPidfile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, want := range []string{"0", "1700000000", "2147483648", "4102444800"} {
		// Utimensat(2) has 32 bits as well: another program has to set it.
		if out, err := exec.Command("touch", "-d", "@"+want, path).CombinedOutput(); err != nil {
			t.Logf("%s: not to be set here: %s", want, out)
			continue
		}
		if err := f.read(); err != nil || fmt.Sprint(f.written.Unix()) != want {
			t.Errorf("%s: %v, %v", want, f.written, err)
		}
	}
}

func TestParseLocks(t *testing.T) {
	const table = `1: POSIX  ADVISORY  WRITE 812 fe:00:99 0 EOF
2: FLOCK  ADVISORY  WRITE 4711 fe:00:99 0 EOF
2: -> FLOCK  ADVISORY  WRITE 4712 fe:00:99 0 EOF
3: FLOCK  ADVISORY  READ  0 00:1c:18446744073709551615 0 EOF
4: FLOCK  ADVISORY  WRITE -1 00:1c:5 0 EOF
5: FLOCK  ADVISORY  WRITE 7 00:1c 0
6: FLOCK`
	got := fmt.Sprint(parseLocks([]byte(table), ""))
	if want := "[{POSIX true 812 fe:00 99} {FLOCK true 4711 fe:00 99} {FLOCK false 0 00:1c 18446744073709551615}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzParseLocks(f *testing.F) {
	f.Add([]byte("pos:\t0\nflags:\t02504002\nlock:\t1: FLOCK  ADVISORY  WRITE 4711 fe:00:99 0 EOF\n"))
	f.Add([]byte("lock:\t1: -> FLOCK  ADVISORY  READ 1 :99 0 EOF\nlock:\t"))
	f.Fuzz(func(t *testing.T, info []byte) {
		for _, l := range parseLocks(info, "lock:\t") {
			if l.maker < 0 || strings.ContainsAny(l.device, " \t\n") || !strings.Contains(string(info), strconv.FormatUint(l.inode, 10)) {
				t.Errorf("%q: %v", info, l)
			}
		}
		if v := fdField(info, "flags:"); v != strings.TrimSpace(v) {
			t.Errorf("%q: %q", info, v)
		}
	})
}
