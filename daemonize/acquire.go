package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

const (
	// settle is how long a state may last that two system calls of another
	// start leave in between: the flock held, the record lock not yet.
	settle = 100 * time.Millisecond
	// patience is how long to wait for a pidkill or a start at work.
	patience = time.Minute
)

// errAgain says that the file is in a state that passes.
var errAgain = errors.New("in use by another start or stop")

// obtain opens or creates a file and takes its locks, again and again while
// its state is one that passes. Settled tells take, which tries once, that what
// lies between two system calls of another start must be over.
func (j *job) obtain(path string, take func(f *posix.Pidfile, settled bool) error) (*posix.Pidfile, error) {
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		f, err := posix.CreatePidfile(path, j.trust)
		if err == nil {
			if err = take(f, time.Since(began) > settle); err == nil {
				return f, nil
			}
			if f.Created && err != errAgain && err != posix.ErrMoved {
				f.Discard()
			}
			f.Close()
		}
		switch {
		case err == posix.ErrMoved:
		case err != errAgain:
			return nil, about(path, err)
		case time.Since(began) > patience:
			return nil, about(path, fmt.Errorf("%w for a minute", err))
		default:
			select {
			case sig := <-j.interrupted:
				return nil, interruption{sig}
			case <-time.After(pause):
			}
		}
	}
}

// takeLockfile takes the flock of a file of any content.
func (j *job) takeLockfile(f *posix.Pidfile, _ bool) error {
	switch err := f.TryLock(); err {
	case nil:
		f.MoveLock(j.keep)
	case posix.ErrLocked:
		return held(f)
	default:
		return err
	}
	if !f.Current() {
		return posix.ErrMoved
	}
	return nil
}

// takePidfile takes both locks (see posix.Pidfile) of a file that holds no
// daemon's PID, or fails with who runs.
func (j *job) takePidfile(f *posix.Pidfile, settled bool) error {
	switch err := f.TryLock(); err {
	case nil:
		f.MoveLock(j.keep)
	case posix.ErrLocked:
		return whose(f, settled)
	default:
		return err
	}
	if err := f.Operate(unix.F_WRLCK); err == unix.EAGAIN {
		return errAgain // a pidkill is about to remove the file
	} else if err != nil {
		return err
	}
	if !f.Current() {
		return posix.ErrMoved
	}
	return vacant(f, false) // the daemon may have closed the lock's descriptor
}

// trust refuses, for root, a pidfile that someone could plant or rewrite. The
// user of the command may: pidkill then signals only that user's processes.
func (j *job) trust(c *posix.Control) error {
	uid, gid := 0, 0
	if user := j.command.User; user != nil {
		uid, gid = user.UID, user.GID
	}
	switch {
	case unix.Geteuid() != 0:
		return nil
	case c.Link != "":
		return fmt.Errorf("refused: %s is another user's symbolic link", posix.Escape(c.Link))
	case !c.Only(uid, gid):
		return fmt.Errorf("refused: %s", c)
	}
	return nil
}

// whose finds out who holds the lock.
func whose(f *posix.Pidfile, settled bool) error {
	if err := vacant(f, true); err != nil {
		return err
	}
	// Nobody of that number: a start or a stop is under way, or else a
	// process that inherited the lock has outlived the daemon.
	by := f.Operator(unix.F_RDLCK) // a writer: no pidkill
	switch _, err := f.PID(); {
	case settled && err == nil && by > 1 && f.HeldBy(by):
		return posix.Failf(posix.StatusRunning, "already running (its supervisor, pid %d, is about to start it again)", by)
	case !settled || f.Operator(unix.F_WRLCK) != 0:
		return errAgain
	}
	return held(f)
}

// held is the Failure that names the holders of the lock.
func held(f *posix.Pidfile) error {
	holders, _, _ := f.Holders() // whoever it is, it runs
	if len(holders) == 0 && f.TryLock() == nil {
		return posix.ErrMoved // or has ended meanwhile: once more
	}
	var names []string
	for _, pid := range holders {
		names = append(names, posix.Describe(pid))
	}
	if len(names) == 0 {
		names = []string{"a process that cannot be seen"}
	}
	return posix.Failf(posix.StatusRunning, "already running (the lock is held by %s)", strings.Join(names, ", "))
}

// vacant reads the file, and fails if that is no pidfile, or names a process
// that is its daemon and lives. A process that proc(5) hides (hidepid) is that
// if somebody holds the lock.
func vacant(f *posix.Pidfile, locked bool) error {
	if err := f.Read(); err != nil {
		return err
	}
	pid, err := f.PID()
	if err == posix.ErrEmpty || errors.Is(err, posix.ErrRange) {
		return nil
	}
	if err != nil {
		return err
	}
	h, err := posix.Pin(pid)
	if err == unix.ESRCH {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.Close()
	err = f.Identify(h)
	if h.Exited() || errors.Is(err, posix.ErrStale) || err != nil && !locked {
		return nil
	}
	return posix.Failf(posix.StatusRunning, "already running (pid %d)", pid)
}
