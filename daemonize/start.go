package main

import (
	"cmp"
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
	files   []string // what the command's name may mean
	argv    []string
	command *posix.Command

	lockfile, pidfile *posix.Pidfile
	notify            *notifySocket
	loggers           []*logger

	group *posix.Group // the command's; nil: nothing of it is left
	began time.Time

	interrupted <-chan os.Signal // nil: nobody stays to be, or was once
	asked       <-chan os.Signal // by pidkill, to start the command no more
	messages    io.Writer
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
	if err := j.prepare(); err != nil {
		return err
	}
	if c.stays() { // from before there is anything to clean up
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, unix.SIGTERM, unix.SIGINT)
		j.interrupted = interrupted
	}
	if c.supervised { // from before a pidkill can see it as one
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, unix.SIGUSR1)
		j.asked = asked
	}
	if err := j.acquire(); err != nil {
		return err
	}
	if err := j.open(); err != nil {
		return err
	}
	if c.foreground {
		return j.become()
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

// prepare finds out what can be known before anything is touched.
func (j *job) prepare() error {
	user, id, err := j.lookupUser()
	if err != nil {
		return err
	}
	env := j.environment(user)
	path, _ := lookup(env, "PATH")
	j.files, err = candidates(j.config.command[0], path)
	if err != nil {
		return err
	}
	j.argv = j.config.command
	if strings.Contains(j.argv[0], "/") {
		j.argv = append(j.files[:1:1], j.argv[1:]...) // true also in another directory
	}
	j.command = &posix.Command{Env: env, User: id}
	return nil
}

// acquire takes the locks, which the command inherits.
func (j *job) acquire() (err error) {
	j.command.Inherit = slices.Clone(j.keep)
	if j.config.lockfile != "" {
		if j.lockfile, err = j.obtain(j.config.lockfile, j.takeLockfile); err != nil {
			return err
		}
		if j.config.pidfile != "" && j.lockfile.IsAt(j.config.pidfile) { // old scripts do that
			j.lockfile.Close()
			j.lockfile = nil
		} else {
			j.command.Inherit = append(j.command.Inherit, j.lockfile.LockFD())
		}
	}
	if j.config.pidfile != "" {
		if j.pidfile, err = j.obtain(j.config.pidfile, j.takePidfile); err != nil {
			return err
		}
		j.command.Inherit = append(j.command.Inherit, j.pidfile.LockFD())
		return about(j.pidfile.Path, j.pidfile.Reserve())
	}
	return nil
}

// open opens the streams and enters the directory, and only then, when only
// execve(2) can fail, empties the logs.
func (j *job) open() (err error) {
	if err := j.openStreams(); err != nil {
		return err
	}
	if j.ready >= 0 {
		if j.notify, err = listen(j.command.User); err != nil {
			return fmt.Errorf("cannot make a socket for readiness: %w", err)
		}
	}
	if j.command.Env, err = j.enter(j.command.Env); err != nil {
		return err
	}
	if j.truncate {
		if err := j.empty(j.command.Files); err != nil {
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
		j.command.Env = set(slices.Clone(env), "NOTIFY_SOCKET", j.notify.path)
	}
	began, pid := time.Now(), 0
	err := j.try(func() (err error) {
		pid, err = j.command.Spawn()
		return err
	})
	j.command.Env = env
	if err != nil {
		return err
	}
	group := &posix.Group{ID: pid}
	if j.stays() {
		if group.Leader, err = posix.Pin(pid); err != nil {
			group.End(ending...)
			return fmt.Errorf("process %d: %w", pid, err)
		}
	}
	if j.pidfile != nil {
		if err := j.pidfile.Write(pid); err != nil {
			group.End(ending...)
			return about(j.pidfile.Path, err)
		}
		j.pidfile.Publish()
	}
	j.group, j.began = group, began
	return nil
}

// become turns daemonize into the command. It returns only with an error.
func (j *job) become() error {
	if j.pidfile != nil {
		if err := j.pidfile.Write(unix.Getpid()); err != nil {
			return about(j.pidfile.Path, err)
		}
	}
	if j.verbose {
		fmt.Fprintf(j.messages, "daemonize: %s: running (pid %d)\n", j.name(), unix.Getpid())
	}
	return j.try(j.command.Exec)
}

// undo removes what a start that failed has made. The command is gone, and
// the locks keep everybody else off the files until daemonize ends.
func (j *job) undo() {
	j.notify.close()
	if j.pidfile != nil {
		j.pidfile.RemoveOwn()
	}
	if j.lockfile != nil && j.lockfile.Created {
		j.lockfile.RemoveOwn()
	}
}

// lookupUser finds the user of -u, and whom to become: nobody, if that is
// who runs daemonize already.
func (c *config) lookupUser() (*posix.User, *posix.Identity, error) {
	if c.user == "" {
		return nil, nil, nil
	}
	name, group, hasGroup := strings.Cut(c.user, ":")
	user, err := posix.LookupUser(name)
	gid := user.GID
	if hasGroup && err == nil {
		gid, err = posix.LookupGroup(group)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w (only /etc/passwd and /etc/group count; from elsewhere: setpriv --reuid=%s --regid=%s --init-groups daemonize ...)",
			err, posix.Escape(name), posix.Escape(cmp.Or(group, "GROUP")))
	}
	if gid < 0 {
		return nil, nil, fmt.Errorf("%s: a number that is not in /etc/passwd needs its group said: -u %[1]s:%[1]s", name)
	}
	if euid := unix.Geteuid(); euid != 0 {
		if user.UID == euid && gid == unix.Getegid() {
			return &user, nil, nil
		}
		return nil, nil, fmt.Errorf("%s: only root can run a command as another user", posix.Escape(c.user))
	}
	groups, err := posix.SupplementaryGroups(user.Name, gid)
	if err != nil {
		return nil, nil, err
	}
	return &user, &posix.Identity{UID: user.UID, GID: gid, Groups: groups}, nil
}

// enter changes to the command's directory, as the caller's user: the other
// files were opened as that one too. PWD follows, where it is set.
func (c *config) enter(env []string) ([]string, error) {
	err := unix.Chdir(c.dir)
	if _, ok := lookup(env, "PWD"); ok && err == nil {
		var dir string
		dir, err = unix.Getwd()
		env = set(env, "PWD", dir)
	}
	return env, about(c.dir, err)
}

// checkKept makes sure of -k before daemonize opens anything itself.
func (c *config) checkKept() error {
	for _, fd := range c.keep {
		// The runtime has descriptors of its own: those have the flag, and
		// nothing inherited has it.
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return fmt.Errorf("-k: descriptor %d: not open", fd)
		}
	}
	return nil
}
