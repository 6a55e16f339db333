package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// names are what there is in a directory, to be swapped.
var names = []string{"log", "in", "run", "1.pid", "2.pid"}

// attack is the user, for as long as the box lasts.
func attack(seed uint64) {
	unix.Umask(0)
	signal.Ignore(unix.SIGIO) // of a lease that somebody wants
	for i, act := range []func(*rand.Rand){swap, swap, swap, moveDir, lock, hit, hit, trace, lease} {
		go func() {
			r := rand.New(rand.NewPCG(seed, uint64(1000+i)))
			for {
				act(r)
				time.Sleep(time.Duration(r.IntN(2000)) * time.Microsecond)
			}
		}()
	}
	select {}
}

// swap puts something else in the place of a file.
func swap(r *rand.Rand) {
	dir := [...]string{"theirs", "theirs/dir", "sticky", "group"}[r.IntN(4)]
	name := filepath.Join(dir, names[r.IntN(len(names))])
	made := fmt.Sprintf("%s/.%d", dir, r.Uint64())
	os.Remove(made)
	victims := [...]string{"mine/secret", "mine/private/secret", "mine/victim1.pid", "mine/new", "mine", "theirs/log"}
	target, _ := filepath.Abs(victims[r.IntN(len(victims))])
	var err error
	switch r.IntN(9) {
	case 0:
		err = os.Symlink(target, made)
	case 1:
		err = os.Symlink([...]string{
			"/proc/self/cwd/mine/secret", "/proc/self/root/run/box/mine/secret", "/proc/self/fd/3", "/proc/thread-self/cwd/mine/new",
			"/dev/tty", "/proc/self/exe",
		}[r.IntN(6)], made)
	case 2:
		err = unix.Mkfifo(made, 0o666)
	case 3:
		err = os.Link(target, made) // where the kernel lets it
	case 4:
		err = os.WriteFile(made, nil, 0o666)
	case 5:
		err = os.WriteFile(made, []byte("exec sleep 1\n"), 0o777)
	case 6:
		err = os.Symlink("/bin/sleep", made)
	case 7: // a number of somebody's
		pids, _ := filepath.Glob("/proc/[0-9]*")
		if len(pids) > 0 {
			err = os.WriteFile(made, []byte(filepath.Base(pids[r.IntN(len(pids))])+"\n"), 0o644)
		}
	case 8:
		os.Remove(name)
	}
	if err == nil {
		os.Rename(made, name)
	}
	os.Remove(made)
}

// moveDir swaps a directory on the way for a link, and back.
func moveDir(r *rand.Rand) {
	os.Mkdir("theirs/dir", 0o755)
	target, _ := filepath.Abs([...]string{"mine", "mine/private", "sticky", "theirs"}[r.IntN(4)])
	if os.Symlink(target, "theirs/.link") == nil {
		unix.Renameat2(unix.AT_FDCWD, "theirs/.link", unix.AT_FDCWD, "theirs/dir", unix.RENAME_EXCHANGE)
		time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
		unix.Renameat2(unix.AT_FDCWD, "theirs/.link", unix.AT_FDCWD, "theirs/dir", unix.RENAME_EXCHANGE)
	}
	os.Remove("theirs/.link")
}

// lock takes the locks of a pidfile.
func lock(r *rand.Rand) {
	f, err := os.OpenFile([...]string{"theirs/1.pid", "sticky/1.pid", "sticky/2.pid"}[r.IntN(3)], os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if r.IntN(2) == 0 {
		unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if r.IntN(2) == 0 {
		unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: int16(r.IntN(2)), Start: int64(r.IntN(2)), Len: int64(1 + r.IntN(2))})
	}
	time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
}

// hit signals all that it may, and each thread that it may.
func hit(r *rand.Rand) {
	sig := [...]unix.Signal{unix.SIGSTOP, unix.SIGKILL, unix.SIGCONT, unix.SIGTERM}[r.IntN(4)]
	if r.IntN(4) == 0 {
		unix.Kill(-1, sig)
		return
	}
	threads, _ := filepath.Glob("/proc/[0-9]*/task/*")
	for _, t := range threads {
		tid, _ := strconv.Atoi(filepath.Base(t))
		tgid, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(t))))
		if tgid != os.Getpid() && r.IntN(3) == 0 {
			unix.Tgkill(tgid, tid, sig)
		}
	}
}

// trace keeps a process from being reaped, or from going on.
func trace(r *rand.Rand) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pids, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range pids {
		pid, _ := strconv.Atoi(filepath.Base(p))
		if pid == os.Getpid() || r.IntN(4) > 0 || unix.PtraceSeize(pid) != nil {
			continue
		}
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
		if unix.PtraceInterrupt(pid) == nil {
			unix.Wait4(pid, nil, unix.WALL, nil)
			unix.PtraceDetach(pid)
		}
	}
}

// lease makes whoever opens a program wait.
func lease(r *rand.Rand) {
	f, err := os.Open("theirs/run")
	if err != nil {
		return
	}
	defer f.Close()
	unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
}
