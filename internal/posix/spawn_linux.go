package posix

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command is a program to run with nothing of the caller's but what it names:
// no other descriptor, no ignored signal, no blocked signal.
type Command struct {
	Path    string
	Argv    []string
	Env     []string
	Files   [3]int    // become descriptors 0, 1 and 2
	Inherit []int     // further descriptors that stay open under their numbers
	User    *Identity // whom it is for; Spawn and Exec do not change users
}

// Spawn starts the command as the leader of a new process group in the
// caller's session and returns once execve(2) has succeeded. Its error is an
// errno of that call, or of the fork.
func (c *Command) Spawn() (pid int, err error) {
	if err := c.CloseOthers(); err != nil {
		return 0, err
	}
	if err := resetForExec(); err != nil {
		return 0, err
	}
	files, above, err := c.clearOfInherited()
	if err != nil {
		return 0, err
	}
	if above >= 0 {
		defer unix.Close(above)
	}
	pid, err = syscall.ForkExec(c.Path, c.Argv, &syscall.ProcAttr{
		Env:   c.Env,
		Files: files,
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	IgnoreFileSizeSignal() // resetForExec took that back
	for _, fd := range c.Inherit {
		unix.CloseOnExec(fd)
	}
	return pid, err
}

// clearOfInherited returns Files for ForkExec, which uses the few numbers above
// the highest of them for itself, whatever is open there. A copy above all that
// is inherited prevents that where it matters; the caller closes it.
func (c *Command) clearOfInherited() (files []uintptr, above int, err error) {
	files = []uintptr{uintptr(c.Files[0]), uintptr(c.Files[1]), uintptr(c.Files[2])}
	top := max(3, slices.Max(c.Files[:]))
	if !slices.ContainsFunc(c.Inherit, func(fd int) bool { return fd > top && fd <= top+4 }) {
		return files, -1, nil
	}
	i := slices.Index(c.Files[:], slices.Max(c.Files[:]))
	above, err = unix.FcntlInt(files[i], unix.F_DUPFD_CLOEXEC, slices.Max(c.Inherit)+1)
	if err != nil {
		return nil, -1, fmt.Errorf("descriptor %d: %w", c.Files[i], err)
	}
	files[i] = uintptr(above)
	return files, above, nil
}

// Exec makes the process become the command, with the rights of the calling
// thread. It returns only with an error. Descriptors above 2 are left as they
// are: see CloseOthers.
func (c *Command) Exec() error {
	if err := resetForExec(); err != nil {
		return err
	}
	// On failure the caller has something to say on its own standard error.
	stderr, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	defer unix.Dup3(stderr, 2, 0)
	for i, fd := range c.Files {
		// dup3(2) refuses equal numbers, and then the flag may be set.
		if err := unix.Dup3(fd, i, 0); err == unix.EINVAL {
			unix.FcntlInt(uintptr(i), unix.F_SETFD, 0)
		} else if err != nil {
			return err
		}
	}
	return syscall.Exec(c.Path, c.Argv, c.Env)
}

// CloseOthers sees to it that of the descriptors from 3 on execve(2) leaves
// those of Inherit open, and no others.
func (c *Command) CloseOthers() error {
	if err := closeOnExec(); err != nil {
		return err
	}
	for _, fd := range c.Inherit {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return nil
}

// resetForExec gives signals and the mask of this thread, which the command
// inherits, their defaults.
func resetForExec() error {
	resetSignals()
	// Tying a goroutine to its thread costs another thread: only where needed.
	var mask, none unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, nil, &mask); err != nil {
		return err
	}
	if mask == none {
		return nil
	}
	runtime.LockOSThread()
	return unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil)
}

// closeOnExec marks every descriptor from 3 on, at the same price whatever
// their number and limit are.
func closeOnExec() error {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return nil
	}
	fds, err := openFiles() // Linux before 5.11, or a filter of system calls
	for _, fd := range fds {
		unix.CloseOnExec(fd)
	}
	return err
}

// CloseInherited closes the descriptors from 3 on that the caller left open,
// but for those of keep. What the program has opened itself stays.
func CloseInherited(keep []int) error {
	fds, err := openFiles()
	for _, fd := range fds {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 && !slices.Contains(keep, fd) {
			unix.Close(fd)
		}
	}
	return err
}

// openFiles lists the open descriptors from 3 on. Its own is among them, and
// closed again.
func openFiles() ([]int, error) {
	fds, err := numbersIn(unix.AT_FDCWD, ProcRoot+"/self/fd", make([]byte, 4096))
	if err != nil {
		err = fmt.Errorf("%s/self/fd: %w", ProcRoot, err)
	}
	return slices.DeleteFunc(fds, func(fd int) bool { return fd < 3 }), err
}

// Detach runs the program path again in a new session, which the copy leads,
// with the caller's standard streams and every descriptor that it inherited.
// One processor is plenty for it, and Go spends memory on each.
func Detach(path string, argv []string) (pid int, err error) {
	return syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env:   append([]string{"GOMAXPROCS=1"}, os.Environ()...), // the first one counts
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}

// Reap waits for a child to end, and takes its exit status or signal.
func Reap(pid int) (status unix.WaitStatus, err error) {
	err = retry(func() error {
		_, err := unix.Wait4(pid, &status, 0, nil)
		return err
	})
	return status, err
}
