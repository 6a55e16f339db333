package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// job is one start under way.
type job struct {
	*config
	as      *posix.Identity // whom the command is to run as; nil: the caller
	command *posix.Command
	files   []string // what the command's name may mean, in the order of PATH
	cwd     string   // the caller's directory, where relative names lead from; "": it cannot be told

	lockfile, pidfile *posix.Pidfile
	notify            *notifySocket
	loggers           []*logger

	group *posix.Group // the command's; nil: not started yet, or nothing of it is left
	began time.Time

	interrupted <-chan os.Signal // SIGTERM and SIGINT; nil: nobody stays to act on them, or one was acted on
	asked       <-chan os.Signal // SIGUSR1 from a pidkill: start the command no more; nil without -s
	hangups     <-chan os.Signal // SIGHUP: open the logs anew; nil without -s
	messages    io.Writer        // daemonize's own standard error
}

// start does the work, in the process that leads the daemon's session for as
// long as it lives. Whatever fails, it leaves neither process nor new pidfile.
func (c *config) start(stderr io.Writer, started func()) (err error) {
	j := &job{config: c, messages: stderr}
	defer func() {
		if err != nil {
			j.undo()
		}
	}()
	if err := j.plan(); err != nil {
		return err
	}
	if c.stays() { // from before there is anything to clean up
		j.interrupted = heed(unix.SIGTERM, unix.SIGINT)
		// The first timer has the Go runtime make descriptors, and end the
		// program if it cannot: a later one must not be the first.
		time.AfterFunc(0, func() {})
	}
	if c.supervised { // from before a pidkill can see it as one
		j.asked = heed(unix.SIGUSR1)
	}
	if err := j.acquire(); err != nil {
		return err
	}
	if err := j.open(); err != nil {
		return err
	}
	if c.foreground {
		return j.replace()
	}
	if sid, _ := unix.Getsid(0); sid != unix.Getpid() { // the copy leads one already
		if _, err := unix.Setsid(); err != nil {
			return fmt.Errorf("cannot make a session: %w", err)
		}
	}
	if err := j.startLoggers(); err != nil {
		return err
	}
	if err := j.launch(); err != nil {
		return err
	}
	if c.waits() {
		err := j.await()
		j.notify.close()
		j.notify = nil // nobody listens to the next run
		if err != nil {
			return err
		}
	}
	if err := j.checkLoggers(); err != nil {
		return err
	}
	for _, l := range j.loggers {
		j.passOn(l)
	}
	if c.verbose {
		fmt.Fprintf(stderr, "daemonize: %s: running (pid %d)\n", j.name(), j.group.ID)
	}
	if c.supervised {
		started()
		if j.supervise() {
			die(unix.SIGTERM)
		}
	}
	return nil
}

// heed has signals come by a channel, one at a time, from now on.
func heed(signals ...os.Signal) <-chan os.Signal {
	came := make(chan os.Signal, 1)
	signal.Notify(came, signals...)
	return came
}

// plan finds out what can be known before anything is touched.
func (j *job) plan() error {
	user, as, err := j.lookupUser()
	if err != nil {
		return err
	}
	j.cwd, _ = unix.Getwd()
	if j.supervised {
		if err := j.rememberNames(); err != nil {
			return err
		}
	}
	j.as, j.command = as, &posix.Command{Argv: j.argv, Env: j.environment(user)}
	if as != nil {
		return nil // the command is looked for as that user
	}
	return j.find()
}

// rememberNames makes the names absolute that are looked for anew later, when
// the supervisor is not in the caller's directory any more.
func (j *job) rememberNames() (err error) {
	names := []*string{&j.dir, &j.stdout, &j.stderr}
	if strings.Contains(j.argv[0], "/") { // else it is looked for along PATH
		names = append(names, &j.argv[0])
	}
	for _, name := range names {
		if *name != "" && !isPipe(*name) && err == nil {
			*name, err = absolute(j.cwd, *name)
		}
	}
	return err
}

// acquire takes the locks, which the command inherits.
func (j *job) acquire() (err error) {
	j.command.Inherit = slices.Clone(j.keep)
	if j.lockPath != "" {
		if j.lockfile, err = j.obtain(j.lockPath, j.takeLockfile); err != nil {
			return err
		}
		if j.pidPath != "" && j.lockfile.IsAt(j.pidPath) { // old scripts do that
			j.lockfile.Close()
			j.lockfile = nil
		} else {
			j.command.Inherit = append(j.command.Inherit, j.lockfile.LockFD())
		}
	}
	if j.pidPath != "" {
		if j.pidfile, err = j.obtain(j.pidPath, j.takePidfile); err != nil {
			return err
		}
		j.command.Inherit = append(j.command.Inherit, j.pidfile.LockFD())
		return about(j.pidfile.Entry.Path, j.pidfile.Reserve())
	}
	return nil
}

// open opens the streams and, unless that is the user's to do, enters the
// directory.
func (j *job) open() (err error) {
	if err := j.openStreams(); err != nil {
		return err
	}
	if j.ready >= 0 {
		if j.notify, err = listen(j.as); err != nil {
			return fmt.Errorf("cannot make a socket for readiness: %w", err)
		}
	}
	if j.as == nil {
		if err := j.enter(); err != nil {
			return err
		}
	}
	unix.Umask(j.umask)
	if j.supervised {
		return j.prepareToStay()
	}
	return nil
}

// launch starts the command, and writes the pidfile.
func (j *job) launch() error {
	env := j.command.Env
	if j.notify != nil {
		j.command.Env = putenv(slices.Clone(env), "NOTIFY_SOCKET="+j.notify.path)
	}
	began := time.Now()
	pid, err := j.spawn()
	j.command.Env = env
	if err != nil {
		return err
	}
	group := &posix.Group{ID: pid}
	if j.stays() {
		if group.Leader, err = posix.Pin(pid); err != nil {
			group.End(ending, group.Wait)
			return fmt.Errorf("process %d: %w", pid, err)
		}
		if j.as != nil {
			if h, err := posix.Pin(pid); err == nil {
				go tellEnd(h)
			}
		}
	}
	if j.pidfile != nil {
		if err := j.pidfile.Write(pid); err != nil {
			group.End(ending, group.Wait)
			return about(j.pidfile.Entry.Path, err)
		}
		j.pidfile.EndStart()
	}
	j.group, j.began = group, began
	return nil
}

// tellEnd tells daemonize of the command's end, as SIGCHLD does unless the user
// traces the command (ptrace(2)): then the tracer is told, and may say nothing.
func tellEnd(h *posix.Handle) {
	if h.WaitEnd() {
		unix.Kill(unix.Getpid(), unix.SIGCHLD)
	}
	h.Close()
}

// spawn starts the command, once the logs have been emptied.
func (j *job) spawn() (pid int, err error) {
	if j.as != nil {
		return j.spawnAs(j.command, j.empty)
	}
	if err := j.empty(); err != nil {
		return 0, err
	}
	err = j.execvp(func() (err error) {
		pid, err = j.command.Spawn()
		return err
	})
	return pid, err
}

// replace is -f. It returns only with an error.
func (j *job) replace() error {
	if j.pidfile != nil {
		if err := j.pidfile.Write(unix.Getpid()); err != nil {
			return about(j.pidfile.Entry.Path, err)
		}
	}
	if j.verbose {
		fmt.Fprintf(j.messages, "daemonize: %s: running (pid %d)\n", j.name(), unix.Getpid())
	}
	if err := j.command.CloseOthers(); err != nil {
		return err
	}
	return j.execute(j.empty)
}

// execute turns daemonize into the command, as its user. Ready is called when
// only execve(2) can still fail. It returns only with an error.
func (j *job) execute(ready func() error) error {
	return j.as.Become(func() error {
		if j.as != nil {
			if err := j.locate(); err != nil {
				return err
			}
		}
		if err := ready(); err != nil {
			return err
		}
		return j.execvp(j.command.Exec)
	})
}

// resolveAgain finds out what the names of the logs, of the command and of its
// directory lead to by now, for the next run.
func (j *job) resolveAgain() error {
	err := j.reopen()
	if err == nil && j.as == nil { // else the second stage does the rest
		err = j.locate()
	}
	return err
}

// undo removes what a start that failed has made. Unflock, at the end, takes the
// locks also from a command that could not be ended and has them open.
func (j *job) undo() {
	j.notify.close()
	if j.pidfile != nil && !j.staysLocked(j.pidfile, ": pidkill -T "+posix.Escape(j.pidfile.Entry.Path)) {
		j.pidfile.RemoveOwn()
		j.pidfile.Unflock()
	}
	if j.lockfile != nil && !j.staysLocked(j.lockfile, "") {
		if j.lockfile.Created {
			j.lockfile.RemoveOwn()
		}
		j.lockfile.Unflock()
	}
}

// staysLocked tells whether a command that ran has left processes outside its
// group that have the file locked, and says which.
func (j *job) staysLocked(f *posix.Pidfile, remedy string) bool {
	if j.group == nil {
		return false
	}
	heirs, _ := f.Kin(0)
	if len(heirs) > 0 {
		fmt.Fprintf(j.messages, "daemonize: %s: stays, as it is locked by %s%s\n", posix.Escape(f.Entry.Path), posix.DescribeAll(heirs), remedy)
	}
	return len(heirs) > 0
}
