package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// start does the work, in the process that will lead the daemon's session
// until it ends. Whatever fails, it leaves neither process nor new pidfile.
func (c *config) start(stderr io.Writer) (err error) {
	user, id, err := c.lookupUser()
	if err != nil {
		return err
	}
	env := c.environment(user)
	path, _ := lookup(env, "PATH")
	files, err := candidates(c.command[0], path)
	if err != nil {
		return err
	}
	argv := c.command
	if strings.Contains(argv[0], "/") {
		argv = append(files[:1:1], argv[1:]...) // true also in another directory
	}
	command := &posix.Command{Inherit: c.keep, User: id}

	if c.lockfile != "" {
		var lock *posix.Pidfile
		var created bool
		if lock, created, err = acquireLock(c.lockfile, trust(id), c.keep); err != nil {
			return err
		}
		defer func() {
			if err != nil && created {
				lock.Unlink()
			}
		}()
		command.Inherit = append(command.Inherit, lock.LockFD())
	}
	var pidfile *posix.Pidfile
	if c.pidfile != "" {
		if pidfile, err = acquire(c.pidfile, trust(id), c.keep); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				pidfile.Unlink()
			}
		}()
		command.Inherit = append(command.Inherit, pidfile.LockFD())
		if err := pidfile.Reserve(); err != nil {
			return fmt.Errorf("%s: %w", posix.Escape(c.pidfile), err)
		}
	}
	var interrupted chan os.Signal
	if c.waits() {
		interrupted = make(chan os.Signal, 1)
		signal.Notify(interrupted, unix.SIGTERM)
	}
	if command.Files, err = c.openStreams(id); err != nil {
		return err
	}
	var notify *notifySocket
	if c.ready >= 0 {
		if notify, err = listen(id); err != nil {
			return fmt.Errorf("cannot make a socket for readiness: %w", err)
		}
		defer notify.close()
		env = set(env, "NOTIFY_SOCKET", notify.path)
	}
	if command.Env, err = c.enter(env); err != nil {
		return err
	}
	if c.truncate {
		if err := c.empty(command.Files); err != nil {
			return err
		}
	}
	unix.Umask(c.umask)

	if c.foreground {
		return c.become(command, files, argv, pidfile)
	}
	pid, err := c.spawn(command, files, argv)
	if err != nil {
		return err
	}
	leader, err := posix.Pin(pid) // cannot have been reaped: it is a child
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	group := &posix.Group{ID: pid, Leader: leader}
	if pidfile != nil {
		if err := pidfile.Write(pid); err != nil {
			group.End(ending...)
			return fmt.Errorf("%s: %w", posix.Escape(c.pidfile), err)
		}
		pidfile.Done()
	}
	if c.waits() {
		if err := c.await(group, notify, interrupted, stderr); err != nil {
			return err
		}
	}
	if c.verbose {
		fmt.Fprintf(stderr, "daemonize: %s: running (pid %d)\n", posix.Escape(c.command[0]), pid)
	}
	return nil
}

// lookupUser finds the user of -u, and whom to become: nobody, if that is
// who runs daemonize already.
func (c *config) lookupUser() (*posix.User, *posix.Identity, error) {
	if c.user == "" {
		return nil, nil, nil
	}
	name, group, hasGroup := strings.Cut(c.user, ":")
	user, err := posix.LookupUser(name)
	if err != nil {
		return nil, nil, err
	}
	gid := user.GID
	if hasGroup {
		if gid, err = posix.LookupGroup(group); err != nil {
			return nil, nil, err
		}
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
	if err := unix.Chdir(c.dir); err != nil {
		return nil, fmt.Errorf("%s: %w", posix.Escape(c.dir), err)
	}
	if _, ok := lookup(env, "PWD"); ok {
		dir, err := unix.Getwd()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", posix.Escape(c.dir), err)
		}
		env = set(env, "PWD", dir)
	}
	return env, nil
}

// spawn starts the command in a new session. The copy leads one already.
func (c *config) spawn(command *posix.Command, files, argv []string) (pid int, err error) {
	if sid, _ := unix.Getsid(0); sid != unix.Getpid() {
		if _, err := unix.Setsid(); err != nil {
			return 0, fmt.Errorf("cannot make a session: %w", err)
		}
	}
	err = launch(files, argv, func(file string, argv []string) (err error) {
		command.Path, command.Argv = file, argv
		pid, err = command.Spawn()
		return err
	})
	return pid, err
}

// become turns daemonize into the command. It returns only with an error.
func (c *config) become(command *posix.Command, files, argv []string, pidfile *posix.Pidfile) error {
	if pidfile != nil {
		if err := pidfile.Write(unix.Getpid()); err != nil {
			return fmt.Errorf("%s: %w", posix.Escape(c.pidfile), err)
		}
	}
	return launch(files, argv, func(file string, argv []string) error {
		command.Path, command.Argv = file, argv
		return command.Exec()
	})
}

var errNotOpen = errors.New("not open")

// checkKept makes sure of -k before daemonize opens anything itself.
func (c *config) checkKept() error {
	for _, fd := range c.keep {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return fmt.Errorf("-k: descriptor %d: %w", fd, errNotOpen)
		}
	}
	return nil
}
