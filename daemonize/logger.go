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
// ends by itself, at the end of file: when the last writer is gone. Before
// that, daemonize is a writer too, so that an end is a failure.
type logger struct {
	script string
	pipe   [2]int
	words  int // memory file that is its standard error, or -1
	spawn  func(*posix.Command) (pid int, err error)
	pid    int
	began  time.Time
}

// feeds tells whether the argument of -o or -e is a program and not a file.
func feeds(name string) bool { return strings.HasPrefix(name, "|") }

func (l *logger) name() string { return "|" + posix.Escape(l.script) }

func (j *job) openPipe(name string) (int, error) {
	l := &logger{script: name[1:], words: -1, spawn: j.spawnLogger}
	if err := unix.Pipe2(l.pipe[:], unix.O_CLOEXEC); err != nil {
		return -1, err
	}
	if u := j.command.User; u != nil { // who may open /dev/stdout then
		if err := unix.Fchown(l.pipe[1], u.UID, u.GID); err != nil {
			return -1, err
		}
	}
	j.loggers = append(j.loggers, l)
	return l.pipe[1], nil
}

// startLoggers starts them before there is a command that could lose output.
func (j *job) startLoggers() error {
	for _, l := range j.loggers {
		if err := l.start(j.command); err != nil {
			return err
		}
	}
	for _, l := range j.loggers {
		l.settle()
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
		return errors.New(l.end(how))
	}
	return nil
}

// passOn writes what the logger has said on its standard error to daemonize's.
func (j *job) passOn(l *logger) {
	for _, line := range l.said() {
		fmt.Fprintf(j.messages, "daemonize: %s\n", line)
	}
}

func (j *job) spawnLogger(c *posix.Command) (pid int, err error) {
	if c.User != nil {
		return j.spawnAs(c, nil)
	}
	return c.Spawn()
}

// start runs the program as the command's user, in a group of its own, with
// nothing of the command's but the pipe: it must outlive it to the last byte,
// and hold none of its locks.
func (l *logger) start(command *posix.Command) error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/null: %w", err)
	}
	defer unix.Close(null)
	files := [3]int{l.pipe[0], null, null}
	unix.Close(l.words)
	if l.words, err = openWords(); err == nil {
		files[2] = l.words
	}
	defer unix.Umask(unix.Umask(0o022)) // the command's is for the command
	l.began = time.Now()
	shell := &posix.Command{
		Path:  "/bin/sh",
		Argv:  []string{"/bin/sh", "-c", l.script},
		Env:   command.Env,
		Files: files,
		User:  command.User,
	}
	if l.pid, err = l.spawn(shell); err != nil {
		return fmt.Errorf("%s: %w", l.name(), err)
	}
	return nil
}

// openWords makes a file in memory that cannot grow. A pipe would kill the
// logger by SIGPIPE when daemonize is gone, or block it.
func openWords() (fd int, err error) {
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

// said is what the logger has written to its standard error, in lines for
// messages.
func (l *logger) said() (lines []string) {
	text := make([]byte, 4096)
	n, _ := unix.Pread(l.words, text, 0)
	text, _, _ = bytes.Cut(text[:max(0, n)], []byte{0})
	for line := range strings.Lines(string(text)) {
		lines = append(lines, l.name()+": "+posix.Escape(strings.TrimSuffix(line, "\n")))
	}
	return lines
}

// settle waits until the program sleeps, as it does to read, or has ended. A
// shell that does not find it does not sleep before it ends.
func (l *logger) settle() {
	for range 100 {
		if p, err := posix.ReadStat(l.pid); err != nil || p.State == 'S' || p.Zombie() {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// end says how the logger ended.
func (l *logger) end(how unix.WaitStatus) string {
	return fmt.Sprintf("%s: pid %d ended: %s after %.1f s", l.name(), l.pid, manner(how), time.Since(l.began).Seconds())
}

// last makes sure that somebody reads what is still in the pipe, and leaves
// the pipe to the logger.
func (l *logger) last(command *posix.Command) {
	if l.pid == 0 {
		l.start(command)
	}
	unix.Close(l.pipe[0])
	l.pipe[0] = -1
}
