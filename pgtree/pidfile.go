package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// daemon finds the processes that a pidfile's daemon is known by.
func daemon(path string) (pids []int, err error) {
	f, d, err := posix.FindDaemon(path, false, 0)
	switch {
	case err == unix.ENOENT:
		return nil, err
	case err != nil:
		return nil, posix.Failf(posix.StatusRefused, "%w", err)
	}
	defer f.Close()
	defer d.Close()
	for _, h := range []*posix.Handle{d.Process, d.Supervisor} {
		if h != nil {
			pids = append(pids, h.PID)
		}
	}
	pids = append(pids, d.Kin...)
	switch {
	case len(pids) > 0:
		return pids, nil
	case d.Answer == posix.Unknown, d.Answer == posix.Starting:
		return nil, posix.Failf(posix.StatusRefused, "%s", d)
	case d.Why != "":
		return nil, errors.New(d.Why)
	}
	return nil, fmt.Errorf("process %d is not running", d.Number)
}
