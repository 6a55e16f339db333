package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// Daemonize executes itself in two roles: as the copy that leads the daemon's
// session (detach.go), and as the second stage of -u (stage.go). Its argv[0]
// tells it which, as neither the options nor, for long, the environment carry
// anything of daemonize's own. After the role stand the number of a descriptor,
// and "=" with the GOMAXPROCS of the environment, if that has one.
const (
	copyRole  = "daemonize: detached "
	stageRole = "daemonize: second stage "
)

// spawnSelf has spawn, a method of c, start daemonize in a role, with the
// arguments and the environment that c has.
func spawnSelf(c *posix.Command, role string, fd int, spawn func() (int, error)) (pid int, err error) {
	argv0 := role + strconv.Itoa(fd)
	if procs, ok := getenv(c.Env, "GOMAXPROCS"); ok {
		argv0 += "=" + procs
	}
	c.Argv = append([]string{argv0}, c.Argv...)
	// One processor is plenty, and Go spends memory on each. Of two GOMAXPROCS the
	// first counts.
	c.Env = append([]string{"GOMAXPROCS=1"}, c.Env...)
	c.Path = "/proc/self/exe"
	if pid, err = spawn(); err != unix.ENOENT {
		return pid, err
	}
	cwd, _ := unix.Getwd()
	files, err := candidates(os.Args[0], os.Getenv("PATH"), cwd) // without /proc: by the name it was called by
	if err != nil {
		return 0, fmt.Errorf("%v", err) // without its status, which would say that of the command
	}
	c.Path = files[0]
	return spawn()
}

// inRole tells whether daemonize has executed itself in that role, and takes
// over what it was handed.
func inRole(role, argv0 string) (fd int, ok bool) {
	text, ok := strings.CutPrefix(argv0, role)
	text, procs, set := strings.Cut(text, "=")
	fd, err := strconv.Atoi(text)
	if !ok || err != nil {
		return -1, false
	}
	os.Unsetenv("GOMAXPROCS")
	if set {
		os.Setenv("GOMAXPROCS", procs)
	}
	unix.CloseOnExec(fd)
	// What ps(1) shows as COMM is to be this, and not "exe", the last part of the
	// path above. It is the name of the first thread; PR_SET_NAME is for any.
	if comm, err := unix.Open("/proc/self/comm", unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
		posix.FD(comm).Write([]byte("daemonize"))
		unix.Close(comm)
	}
	return fd, true
}
