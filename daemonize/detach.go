package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// tell has the original, which waits on the pipe fd, return with status.
func tell(fd, status int) {
	for range 100 { // the kernel may have no page for the pipe just now
		if _, err := posix.FD(fd).Write([]byte{byte(status)}); err == nil || err == unix.EPIPE {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	unix.Close(fd)
}

// interrupts are the signals that a waiting daemonize acts on. SIGHUP and SIGINT
// are left alone if the caller had them ignored, as nohup(1) does. For the others
// signal.Ignored is false even then, as the Go runtime installs its own handlers
// at the start.
var interrupts = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}

// detach has a copy of daemonize in a new session do the work, and returns the
// status that this tells. Interrupted meanwhile, it has the copy clean up, by
// SIGTERM, and then ends as the copy did, or by the signal it got.
func (c *config) detach() (status int, err error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], 0); err != nil {
		return 0, fmt.Errorf("pipe: %w", err)
	}
	unix.CloseOnExec(pipe[0])
	interrupted := make(chan os.Signal, 1)
	for _, sig := range interrupts {
		if !signal.Ignored(sig) {
			signal.Notify(interrupted, sig)
		}
	}
	copied := &posix.Command{Argv: os.Args[1:], Env: os.Environ()}
	pid, err := spawnSelf(copied, copyRole, pipe[1], copied.Detach)
	unix.Close(pipe[1])
	switch {
	case err == unix.E2BIG: // the command could not have had so much either
		return 0, execFailure(c.argv[0], err)
	case err != nil:
		return 0, fmt.Errorf("cannot start a copy of daemonize: %w", err)
	}
	told := make(chan int, 1)
	go func() {
		defer close(told)
		ours := os.NewFile(uintptr(pipe[0]), "pipe")
		defer ours.Close()
		var b [1]byte
		if n, _ := ours.Read(b[:]); n == 1 {
			told <- int(b[0])
		}
	}()
	var by os.Signal
	for {
		select {
		case sig := <-interrupted:
			by = sig
			unix.Kill(pid, unix.SIGTERM)
		case status, ok := <-told:
			if ok && c.supervised && status == posix.StatusOK && by == nil {
				return status, nil // the copy stays, as the supervisor
			}
			// When daemonize returns, the copy is to be reaped: the command has init
			// for its parent then, and an init that reaps nobody, as a container's
			// may be, gets no zombie of daemonize's.
			how, err := posix.WaitChild(pid)
			switch {
			case by != nil && how.Signaled(): // a supervisor, even after it told
				die(by.(unix.Signal))
			case ok:
				return status, nil
			case err != nil:
				return 0, fmt.Errorf("the copy of daemonize that did the work: %w", err)
			}
			return 0, fmt.Errorf("the copy of daemonize that did the work ended: %s", manner(how))
		}
	}
}

// die ends daemonize by sig, so that a shell sees why. The caller may have had
// it blocked.
func die(sig unix.Signal) {
	posix.ResetSignal(sig)
	runtime.LockOSThread()
	unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, nil)
	unix.Kill(unix.Getpid(), sig)
	select {} // until it arrives
}
