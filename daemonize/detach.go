package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// copyName is the argv[0] that makes daemonize the copy in a new session.
// Neither the options nor, for long, the environment carry what it is to know.
const copyName = "daemonize: detached "

// handOver is the argv[0] of daemonize executed by itself, in that role. The
// number of a descriptor follows, and "=" with the GOMAXPROCS that env has, if
// it has one: it runs with another.
func handOver(role string, fd int, env []string) string {
	name := role + strconv.Itoa(fd)
	if procs, set := lookup(env, "GOMAXPROCS"); set {
		name += "=" + procs
	}
	return name
}

// handed is the other side of handOver.
func handed(role, argv0 string) (fd int, ok bool) {
	number, ok := strings.CutPrefix(argv0, role)
	number, procs, set := strings.Cut(number, "=")
	fd, err := strconv.Atoi(number)
	if !ok || err != nil {
		return -1, false
	}
	os.Unsetenv("GOMAXPROCS")
	if set {
		os.Setenv("GOMAXPROCS", procs)
	}
	unix.CloseOnExec(fd)
	setName("daemonize") // not that of the link /proc/self/exe
	return fd, true
}

// itself calls run with a path of this program.
func itself(run func(path string) error) error {
	err := run("/proc/self/exe")
	if err == unix.ENOENT { // no /proc: by the name it was called by
		var self []string
		if self, err = candidates(os.Args[0], os.Getenv("PATH")); err == nil {
			err = run(self[0])
		}
	}
	return err
}

// result is the write end of the pipe on which the original waits.
type result int

// setName sets the name that ps(1) shows as COMM: that of the first thread.
// PR_SET_NAME would set that of any.
func setName(name string) {
	if fd, err := unix.Open("/proc/self/comm", unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
		posix.FD(fd).Write([]byte(name))
		unix.Close(fd)
	}
}

// tell lets the original return with status.
func (r result) tell(status int) {
	for range 100 { // the kernel may have no page for the pipe just now
		if _, err := posix.FD(r).Write([]byte{byte(status)}); err == nil || err == unix.EPIPE {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	unix.Close(int(r))
}

// interrupts are the signals that a waiting daemonize acts on: unless the
// caller had them ignored, as nohup(1) does.
var interrupts = []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}

// detach has a copy in a new session do the work, and returns the status it
// tells. Interrupted meanwhile, it has the copy clean up and ends as the copy
// did, or by the signal.
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
	args := append([]string{handOver(copyName, pipe[1], os.Environ())}, os.Args[1:]...)
	pid := 0
	err = itself(func(path string) (err error) {
		pid, err = posix.Detach(path, args)
		return err
	})
	unix.Close(pipe[1])
	switch {
	case err == unix.E2BIG:
		return 0, execFailure(c.command[0], err) // it was not to have them either
	case err != nil:
		return 0, fmt.Errorf("cannot start a copy of daemonize: %w", err)
	}
	told := make(chan int, 1)
	go func() {
		defer close(told)
		var b [1]byte
		n, err := unix.Read(pipe[0], b[:])
		for err == unix.EINTR {
			n, err = unix.Read(pipe[0], b[:])
		}
		if n == 1 {
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
			if ok && c.supervised && by == nil {
				return status, nil
			}
			// The command is init's when daemonize returns, and a container's
			// init that reaps nobody has no zombie of daemonize.
			how, err := posix.Reap(pid)
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
