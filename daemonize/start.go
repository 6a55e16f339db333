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

// prepare finds out what can be known before anything is touched.
func (j *job) prepare() error {
	user, id, err := j.lookupUser()
	if err != nil {
		return err
	}
	j.command = &posix.Command{Env: j.environment(user), User: id}
	if j.supervised {
		if err := j.rememberNames(); err != nil {
			return err
		}
	}
	if id != nil {
		return nil // the command is looked for as that user
	}
	return j.find()
}

// find finds out which files the command's name may mean.
func (j *job) find() (err error) {
	path, _ := lookup(j.command.Env, "PATH")
	j.files, err = candidates(j.config.command[0], path)
	if err != nil {
		return err
	}
	j.argv = j.config.command
	if strings.Contains(j.argv[0], "/") {
		j.argv = append(j.files[:1:1], j.argv[1:]...) // true also in another directory
	}
	return nil
}

// rememberNames makes the names absolute that are looked for anew later, when
// the supervisor is not in the caller's directory any more.
func (j *job) rememberNames() (err error) {
	command := slices.Clone(j.config.command)
	for _, name := range []*string{&j.dir, &j.stdout, &j.stderr, &command[0]} {
		isFile := *name != "" && !feeds(*name)
		if name == &command[0] {
			isFile = strings.Contains(*name, "/") // else it is looked for in PATH
		}
		if isFile && err == nil {
			*name, err = absolute(*name)
		}
	}
	j.config.command = command
	return err
}

// again finds out what the names of the logs, of the command and of its
// directory lead to by now, for the next run.
func (j *job) again() error {
	err := j.reopen()
	if err == nil && j.command.User == nil { // else the second stage does the rest
		err = cmp.Or(j.find(), j.enter())
	}
	return err
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

// open opens the streams and, unless that is the user's to do, enters the
// directory.
func (j *job) open() (err error) {
	if err := j.openStreams(); err != nil {
		return err
	}
	if j.ready >= 0 {
		if j.notify, err = listen(j.command.User); err != nil {
			return fmt.Errorf("cannot make a socket for readiness: %w", err)
		}
	}
	if j.command.User == nil {
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
		j.command.Env = set(slices.Clone(env), "NOTIFY_SOCKET", j.notify.path)
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
			group.End(ending...)
			return fmt.Errorf("process %d: %w", pid, err)
		}
		if j.command.User != nil {
			if h, err := posix.Pin(pid); err == nil {
				go tellEnd(h)
			}
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
	if j.command.User != nil {
		j.command.Argv = j.config.command
		return j.spawnAs(j.command, j.empty)
	}
	if err := j.empty(); err != nil {
		return 0, err
	}
	err = j.try(func() (err error) {
		pid, err = j.command.Spawn()
		return err
	})
	return pid, err
}

// replace is -f. It returns only with an error.
func (j *job) replace() error {
	if j.pidfile != nil {
		if err := j.pidfile.Write(unix.Getpid()); err != nil {
			return about(j.pidfile.Path, err)
		}
	}
	if j.verbose {
		fmt.Fprintf(j.messages, "daemonize: %s: running (pid %d)\n", j.name(), unix.Getpid())
	}
	if err := j.command.CloseOthers(); err != nil {
		return err
	}
	return j.become(j.empty)
}

// become turns daemonize into the command, as its user. Ready is called when
// only execve(2) can still fail. It returns only with an error.
func (j *job) become(ready func() error) error {
	return j.command.User.Become(func() error {
		if j.command.User != nil {
			if err := cmp.Or(j.find(), j.enter()); err != nil {
				return err
			}
		}
		if err := ready(); err != nil {
			return err
		}
		return j.try(j.command.Exec)
	})
}

// undo removes what a start that failed has made. The command is gone, or it
// cannot go and has the locks open: so they are taken from it, as the last.
func (j *job) undo() {
	j.notify.close()
	if j.pidfile != nil && !j.leaves(j.pidfile, ": pidkill -T "+posix.Escape(j.pidfile.Path)) {
		j.pidfile.RemoveOwn()
		j.pidfile.Unlock()
	}
	if j.lockfile != nil && !j.leaves(j.lockfile, "") {
		if j.lockfile.Created {
			j.lockfile.RemoveOwn()
		}
		j.lockfile.Unlock()
	}
}

// leaves tells whether a command that ran has left somebody outside its group,
// who has the file locked, and says who that is.
func (j *job) leaves(f *posix.Pidfile, remedy string) bool {
	if j.group == nil {
		return false
	}
	heirs, _ := f.Kin(0)
	if len(heirs) > 0 {
		fmt.Fprintf(j.messages, "daemonize: %s: stays, as it is locked by %s%s\n", posix.Escape(f.Path), posix.DescribeAll(heirs), remedy)
	}
	return len(heirs) > 0
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

// enter changes to the command's directory. PWD follows, where it is set.
func (j *job) enter() error {
	err := unix.Chdir(j.dir)
	if _, ok := lookup(j.command.Env, "PWD"); ok && err == nil {
		var dir string
		dir, err = unix.Getwd()
		j.command.Env = set(j.command.Env, "PWD", dir)
	}
	return about(j.dir, err)
}

// checkKept makes sure of the caller's descriptors that are asked for, before
// daemonize opens anything itself.
func (c *config) checkKept() error {
	// The runtime has descriptors of its own: those have the flag, and nothing
	// inherited has it.
	open := func(fd int) bool {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		return err == nil && flags&unix.FD_CLOEXEC == 0
	}
	for _, fd := range c.keep {
		if !open(fd) {
			return fmt.Errorf("-k: descriptor %d: not open", fd)
		}
	}
	for _, name := range []string{c.stdin, c.stdout, c.stderr} {
		if fd, ok := callers(name); ok && !open(fd) {
			return about(name, unix.EBADF)
		}
	}
	return nil
}
