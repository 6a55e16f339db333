package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// logger is a program that a stream of the command feeds through a pipe. It
// ends by itself, at the end of file: when the last writer is gone. Until
// daemonize returns it is a writer too, so a logger that has ended has failed.
type logger struct {
	job    *job
	script string
	pipe   [2]int // its standard input, or -1 once leave has given it up, and what is written to
	stderr int    // a file in memory that is the logger's, or -1
	pid    int    // 0: it does not run
	began  time.Time
}

// isPipe tells whether the argument of -o or -e is a program and not a file.
func isPipe(name string) bool { return strings.HasPrefix(name, "|") }

func (l *logger) name() string { return "|" + posix.Escape(l.script) }

func (j *job) openPipe(name string) (int, error) {
	l := &logger{job: j, script: name[1:], stderr: -1}
	if err := unix.Pipe2(l.pipe[:], unix.O_CLOEXEC); err != nil {
		return -1, err
	}
	if j.as != nil { // so that the user may open /dev/stdout
		if err := unix.Fchown(l.pipe[1], j.as.UID, j.as.GID); err != nil {
			return -1, err
		}
	}
	j.loggers = append(j.loggers, l)
	return l.pipe[1], nil
}

// startLoggers starts them before there is a command that could lose output.
func (j *job) startLoggers() error {
	for _, l := range j.loggers {
		if err := l.start(); err != nil {
			return err
		}
	}
	for _, l := range j.loggers {
		l.awaitReading()
	}
	return j.checkLoggers()
}

// checkLoggers fails, and ends the command, if a logger has ended.
func (j *job) checkLoggers() error {
	for _, l := range j.loggers {
		var how unix.WaitStatus
		if pid, err := unix.Wait4(l.pid, &how, unix.WNOHANG, nil); err != nil || pid != l.pid {
			continue
		}
		j.passOn(l)
		if j.group != nil {
			j.group.End(ending, j.group.Wait)
		}
		return errors.New(l.howEnded(how))
	}
	return nil
}

// passOn writes what the logger has written to its standard error to daemonize's.
func (j *job) passOn(l *logger) {
	for _, line := range l.complaints() {
		fmt.Fprintf(j.messages, "daemonize: %s\n", line)
	}
}

// start runs the program as the command's user, in a group of its own, with
// nothing of the command's but the pipe: it must outlive it to the last byte,
// and hold none of its locks.
func (l *logger) start() error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/null: %w", err)
	}
	defer unix.Close(null)
	shell := &posix.Command{
		Path:  "/bin/sh",
		Argv:  []string{"/bin/sh", "-c", l.script},
		Env:   l.job.command.Env,
		Files: [3]int{l.pipe[0], null, null},
	}
	unix.Close(l.stderr)
	if l.stderr, err = memoryFile(); err == nil {
		shell.Files[2] = l.stderr
	}
	defer unix.Umask(unix.Umask(0o022)) // the command's is for the command
	l.began = time.Now()
	if l.job.as != nil {
		l.pid, err = l.job.spawnAs(shell, func() error { return nil })
	} else {
		l.pid, err = shell.Spawn()
	}
	if err != nil { // also a 126 or 127 of the second stage's: those are for the command
		return posix.Failf(posix.StatusFailed, "%s: %w", l.name(), err)
	}
	return nil
}

// memoryFile makes a file in memory, of 4096 zeros, that cannot grow. As the
// standard error of a logger a pipe would block it, or kill it by SIGPIPE when
// daemonize is gone.
func memoryFile() (fd int, err error) {
	fd, err = unix.MemfdCreate("stderr", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	if err = unix.Ftruncate(fd, 4096); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_GROW|unix.F_SEAL_SHRINK)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// complaints are the lines that the logger has written to its standard error,
// as daemonize's messages have them.
func (l *logger) complaints() (lines []string) {
	text := make([]byte, 4096)
	n, _ := unix.Pread(l.stderr, text, 0)
	text, _, _ = bytes.Cut(text[:max(0, n)], []byte{0})
	for line := range strings.Lines(string(text)) {
		lines = append(lines, l.name()+": "+posix.Escape(strings.TrimSuffix(line, "\n")))
	}
	return lines
}

// awaitReading waits until the program sleeps, as it does to read, or has
// ended. A shell that does not find the program ends without having slept.
func (l *logger) awaitReading() {
	for range 100 {
		if p, err := posix.ReadStat(l.pid); err != nil || p.State == 'S' || p.Zombie() {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func (l *logger) howEnded(how unix.WaitStatus) string {
	return fmt.Sprintf("%s: pid %d ended: %s after %.1f s", l.name(), l.pid, manner(how), time.Since(l.began).Seconds())
}

// leave makes sure that somebody reads what is still in the pipe, and leaves
// the pipe to the logger, which ends when all is read and the writers are gone.
func (l *logger) leave() {
	if l.pid == 0 {
		l.start()
	}
	unix.Close(l.pipe[0])
	l.pipe[0] = -1
}
