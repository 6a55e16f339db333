package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// daemon finds a process of a pidfile's daemon, by pidkill's rules.
func daemon(path string) (pid int, err error) {
	f, err := posix.OpenPidfile(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	starter := f.Operator(unix.F_RDLCK) // first, or what it writes would be missed
	if err := f.Read(); err != nil {
		return 0, err
	}
	if pid, err = f.PID(); err == nil {
		pid, err = identify(f, pid)
	}
	switch {
	case err == nil:
	case starter > 1:
		return starter, nil // such as a supervisor between two runs
	case starter == 0 && (err == posix.ErrEmpty || f.IsVoid()):
		// daemonize was killed before it wrote the number
		if holders, _, _ := f.Holders(); len(holders) > 0 {
			return holders[0], nil
		}
	}
	return pid, err
}

// identify finds a process of the daemon that has, or had, a number: itself,
// not a later one of that number, or who is left of its group.
func identify(f *posix.Pidfile, pid int) (int, error) {
	pgid, sure := pid, false
	if h, err := posix.Pin(pid); err == nil {
		defer h.Close()
		if err := f.Identify(h); err != nil || !h.Exited() {
			return pid, err
		}
		pgid, _ = unix.Getpgid(pid) // a zombie keeps its group's number
		sure = pgid == pid || !posix.Lives(pgid)
	}
	members, err := posix.Matching(unix.Getpgid, pgid)
	if err != nil {
		return 0, err
	}
	for _, member := range members {
		p, err := posix.ReadStat(member)
		if err == nil && p.PGID == pgid && !p.Zombie() && (sure || f.Claims(pid, member, p.Start)) {
			return member, nil
		}
	}
	if _, keepers, _ := f.Holders(); len(keepers) > 0 {
		return keepers[0], nil // a supervisor that has yet to notice
	}
	return 0, fmt.Errorf("process %d is not running", pid)
}
