package posix

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command is a program to run with nothing of the caller's but what it names:
// no other descriptor, no ignored signal, no blocked signal.
type Command struct {
	Path    string
	Argv    []string // with argv[0]
	Env     []string // all of it
	Files   [3]int   // become descriptors 0, 1 and 2; each is that number itself, or above 2
	Inherit []int    // further descriptors that stay open under their numbers
}

// Spawn starts the command as the leader of a new process group in the
// caller's session and returns once execve(2) has succeeded. An error that is a
// bare errno is that of execve(2), the fork or the signal mask; any other says
// which descriptor could not be made ready.
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
	IgnoreFileSizeSignal()         // as before resetForExec
	for _, fd := range c.Inherit { // so that nothing started later gets one by accident
		unix.CloseOnExec(fd)
	}
	return pid, err
}

// clearOfInherited returns Files for ForkExec. Its child puts a pipe, and files that
// are in each other's way, on the numbers just above max(3, Files), and would
// overwrite an inherited descriptor there. Then the file with the highest number is
// duplicated above all that is inherited; the caller closes that, above, unless it
// is -1. (To do so always would be slow: from 64 on the kernel makes room for more.)
func (c *Command) clearOfInherited() (files []uintptr, above int, err error) {
	files = []uintptr{uintptr(c.Files[0]), uintptr(c.Files[1]), uintptr(c.Files[2])}
	highest := slices.Max(c.Files[:])
	top := max(3, highest)
	if !slices.ContainsFunc(c.Inherit, func(fd int) bool { return fd > top && fd <= top+4 }) {
		return files, -1, nil
	}
	i := slices.Index(c.Files[:], highest)
	above, err = unix.FcntlInt(files[i], unix.F_DUPFD_CLOEXEC, slices.Max(c.Inherit)+1)
	if err != nil {
		return nil, -1, fmt.Errorf("descriptor %d: %w", c.Files[i], err)
	}
	files[i] = uintptr(above)
	return files, above, nil
}

// Detach starts the command as the leader of a new session, as a copy of the
// caller: with its standard streams, signals and mask, and every descriptor
// that the caller has not marked to be closed. Files and Inherit do not count.
// Its error is the errno of execve(2) or of the fork.
func (c *Command) Detach() (pid int, err error) {
	return syscall.ForkExec(c.Path, c.Argv, &syscall.ProcAttr{
		Env:   c.Env,
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
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
		// dup3(2) refuses equal numbers: it is in its place, and only has to stay open.
		if err := unix.Dup3(fd, i, 0); err == unix.EINVAL {
			unix.FcntlInt(uintptr(i), unix.F_SETFD, 0)
		} else if err != nil {
			return err
		}
	}
	return syscall.Exec(c.Path, c.Argv, c.Env)
}

// CloseOthers sees to it that of the descriptors from 3 on execve(2) leaves
// those of Inherit open, and no others, at the same price whatever their number
// and limit are.
func (c *Command) CloseOthers() error {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) != nil {
		fds, err := openFiles() // Linux before 5.11, or a filter of system calls
		if err != nil {
			return err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
		}
	}
	for _, fd := range c.Inherit {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return nil
}

// resetForExec gives the dispositions of signals and this thread's mask, which
// the command inherits, their defaults.
func resetForExec() error {
	resetSignals()
	// To tie a goroutine to its thread has the runtime start another one: that
	// is done only where it is needed. It stays tied, as the mask is the thread's.
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

// CloseInherited closes the descriptors from 3 on that the caller left open,
// but for those of keep. What the program has opened itself stays.
func CloseInherited(keep []int) error {
	fds, err := openFiles()
	for _, fd := range fds {
		if Inherited(fd) && !slices.Contains(keep, fd) {
			unix.Close(fd)
		}
	}
	return err
}

// Inherited tells whether a descriptor is open and the caller's: those that the
// program or its runtime has opened are closed by execve(2), as no inherited
// one is at first.
func Inherited(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}

// openFiles lists the open descriptors from 3 on. Its own is among them, and
// closed again.
func openFiles() ([]int, error) {
	fds, err := idsIn(ProcRoot + "/self/fd")
	if err != nil {
		err = fmt.Errorf("%s/self/fd: %w", ProcRoot, err)
	}
	return slices.DeleteFunc(fds, func(fd int) bool { return fd < 3 }), err
}

// WaitChild waits for a child to end, and takes its exit status or signal.
func WaitChild(pid int) (status unix.WaitStatus, err error) {
	err = retry(func() error {
		_, err := unix.Wait4(pid, &status, 0, nil)
		return err
	})
	return status, err
}
