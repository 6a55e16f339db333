package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// openStreams opens what becomes descriptors 0, 1 and 2 of the command. Files
// that it creates are the user's. Nothing is emptied yet.
func (j *job) openStreams() (err error) {
	files := &j.command.Files
	null := -1 // one description for all, for speed
	for fd, name := range [3]string{j.stdin, j.stdout, j.stderr} {
		kept := j.foreground || slices.Contains(j.keep, fd)
		switch {
		case name == "" && kept:
			files[fd] = fd
		case name == "" && fd == 2:
			files[2] = files[1]
		case name == "" && null >= 0:
			files[fd] = null
		case name == "":
			name = "/dev/null"
			null, err = unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
			files[fd] = null
		case fd == 0:
			files[0], err = openInput(name)
		case feeds(name):
			files[fd], err = j.openPipe(name)
		default:
			files[fd], err = openOutput(name, j.command.User)
		}
		if err != nil {
			return about(name, err)
		}
	}
	// One file by two paths: with a description each, a -t or a program
	// that seeks would have one stream overwrite the other.
	if j.stdout != "" && j.stderr != "" && sameFile(files[1], files[2]) {
		files[2] = files[1]
	}
	return nil
}

func openInput(name string) (int, error) {
	place, err := locate(name)
	if err != nil {
		return -1, err
	}
	defer place.Close()
	fd, err := place.Open(unix.O_RDONLY, 0)
	if err != nil {
		return -1, err
	}
	if isType(fd, unix.S_IFDIR) {
		return -1, unix.EISDIR
	}
	if isType(fd, unix.S_IFIFO) {
		// With a writer of its own the command does not meet the end of
		// file each time that others have written, nor before.
		if both, err := place.Open(unix.O_RDWR, 0); err == nil {
			unix.Close(fd)
			fd = both
		}
	}
	return fd, unix.SetNonblock(fd, false)
}

func openOutput(name string, user *posix.Identity) (int, error) {
	place, err := locate(name)
	if err != nil {
		return -1, err
	}
	defer place.Close()
	fd, err := place.Open(unix.O_WRONLY|unix.O_APPEND, 0)
	if err == unix.ENOENT {
		fd, err = place.Open(unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_EXCL, 0o640)
		if err == unix.EEXIST { // another daemon's start was quicker
			return openOutput(name, user)
		}
		if err != nil {
			return -1, err
		}
		if err = unix.Fchmod(fd, 0o640); err == nil && user != nil {
			err = unix.Fchown(fd, user.UID, user.GID)
		}
		return fd, cmp.Or(err, unix.SetNonblock(fd, false))
	}
	var st unix.Stat_t
	switch {
	case err == unix.ENXIO:
		return -1, fmt.Errorf("nobody reads from this FIFO or socket: %w", err)
	case err != nil:
		return -1, err
	case unix.Fstat(fd, &st) != nil:
	case st.Mode&unix.S_IFMT == unix.S_IFCHR:
		// The device for tests of full disks says so at once.
		if _, err := unix.Write(fd, nil); err != nil {
			return -1, err
		}
	case unix.Geteuid() == 0 && st.Mode&unix.S_IFMT == unix.S_IFREG && st.Nlink > 1 && place.Control.Others():
		return -1, errors.New("refused: it has other names (hard links), and others could have made this one")
	}
	return fd, unix.SetNonblock(fd, false)
}

// locate follows links, but root only its own: anybody else's could lead to a
// file that the other may not read or write.
func locate(name string) (*posix.Place, error) {
	place, err := posix.Locate(name, true)
	if err != nil {
		return nil, err
	}
	if link := place.Control.Link; link != "" {
		place.Close()
		return nil, fmt.Errorf("refused: %s is another user's symbolic link", posix.Escape(link))
	}
	return place, nil
}

// empty cuts the regular files among the streams to nothing.
func (c *config) empty(files [3]int) error {
	for fd, name := range [3]string{1: c.stdout, 2: c.stderr} {
		if name == "" || !isType(files[fd], unix.S_IFREG) {
			continue
		}
		if err := unix.Ftruncate(files[fd], 0); err != nil {
			return about(name, err)
		}
	}
	return nil
}

func isType(fd int, kind uint32) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == kind
}

func sameFile(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}
