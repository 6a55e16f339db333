//go:build !linux

package posix

import "errors"

func pids() ([]int, error) { return nil, errors.ErrUnsupported }

func table([]int, Fields, func(*Process) bool) ([]Process, bool, error) {
	return nil, false, errors.ErrUnsupported
}

func readStat(int) (Process, error) { return Process{}, errors.ErrUnsupported }

func ids([]int) ([]Process, error) { return nil, errors.ErrUnsupported }
