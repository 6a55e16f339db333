package main

import (
	"errors"
	"fmt"
	"time"

	"procgroup/internal/posix"
)

// patience is how long to wait for a start or a pidkill that is at work.
const patience = time.Minute

// obtain opens or creates a file and takes its locks. It tries again while the
// path comes to lead to other files, or take says that what is in its way
// passes.
func (j *job) obtain(path string, take func(f *posix.Pidfile) (passes bool, err error)) (*posix.Pidfile, error) {
	began, told := time.Now(), j.quiet
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		f, err := posix.CreatePidfile(path, j.trust)
		passes := false
		if err == nil {
			if passes, err = take(f); err == nil {
				return f, nil
			}
			if !passes {
				f.Discard()
			}
			f.Close()
		}
		waited := time.Since(began)
		switch {
		case !passes && err != posix.ErrMoved:
			return nil, about(path, err)
		case waited > patience:
			return nil, about(path, fmt.Errorf("%w, for a minute by now", err))
		case waited > time.Second && !told:
			told = true
			fmt.Fprintf(j.messages, "daemonize: %v; waiting\n", about(path, err))
		}
		select {
		case <-j.interrupted:
			return nil, errInterrupted
		case <-time.After(pause):
		}
	}
}

// takeLockfile takes the flock of a file, whatever its content is.
func (j *job) takeLockfile(f *posix.Pidfile) (passes bool, err error) {
	err = f.Flock(j.keep)
	if err == posix.ErrLocked {
		return false, running("its lock is held by " + f.Holders())
	}
	if err == nil {
		err = f.Current()
	}
	if err == nil && f.Created {
		err = f.Share()
	}
	return false, err
}

// takePidfile takes both locks (see posix.Pidfile) of a file that has no
// daemon. Else its error says who runs.
func (j *job) takePidfile(f *posix.Pidfile) (passes bool, err error) {
	locking := f.Lock(j.supervised, j.keep)
	taken := locking == posix.ErrLocked || locking == posix.ErrBusy
	if !taken && locking != nil && locking != posix.ErrRead {
		return false, locking
	}
	d, err := f.Ask(false)
	if err != nil {
		return false, err
	}
	defer d.Close()
	switch {
	case d.Lives(), d.Answer == posix.Unknown && d.Locked:
		return false, running(d.String())
	case d.Reader != 0:
		return false, posix.Failf(posix.StatusRunning, "locked by %s, who may only read it: end that, or remove the file", posix.Describe(d.Reader))
	case d.Answer == posix.Unknown && !taken:
		return false, errors.New(d.Why + ": remove the file by hand if it is not")
	case taken: // a start or pidkill is at work, or has let go since
		return true, running(d.String())
	case locking == posix.ErrRead:
		// Another file has no such lock, and nobody can read that yet.
		by := f.ReadBy()
		if err := f.RemoveOwn(); err != nil && err != posix.ErrMoved {
			return false, fmt.Errorf("%w by %s, and cannot be replaced: %w", locking, by, err)
		}
		return true, locking
	}
	return false, nil
}

// running is the Failure of a start that comes second.
func running(who string) error {
	return posix.Failf(posix.StatusRunning, "already running (%s)", who)
}

// trust refuses a pidfile that another user than that of the command controls:
// with the rights of that one pidkill could not end the command.
func (j *job) trust(file *posix.Entry) error {
	if !j.anothers(file) {
		return nil
	}
	return fmt.Errorf("refused: %s, and pidkill may end only processes of that user then", file)
}

// anothers tells whether a user controls the file who is neither the caller, nor
// root, nor the command's.
func (j *job) anothers(file *posix.Entry) bool {
	return file.Rights != nil && (j.as == nil || file.Rights.UID != j.as.UID)
}
