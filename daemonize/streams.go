package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// checkKept makes sure of the caller's descriptors that are asked for, before
// daemonize opens anything itself.
func (c *config) checkKept() error {
	for _, fd := range c.keep {
		if !posix.Inherited(fd) {
			return fmt.Errorf("-k: descriptor %d: not open", fd)
		}
	}
	for _, name := range []string{c.stdin, c.stdout, c.stderr} {
		if fd, ok := inheritedFD(name); ok && !posix.Inherited(fd) {
			return about(name, unix.EBADF)
		}
	}
	return nil
}

// openStreams opens what becomes descriptors 0, 1 and 2 of the command. Files
// that it creates are the user's. Nothing is emptied yet.
func (j *job) openStreams() (err error) {
	files := &j.command.Files
	for fd, name := range [3]string{j.stdin, j.stdout, j.stderr} {
		given, inherited := inheritedFD(name)
		switch {
		case inherited:
			files[fd], err = duplicate(given, fd == 0)
		case name == "" && j.kept(fd):
			files[fd] = fd
		case name == "" && fd == 2:
			// It is shared below.
		case name == "":
			name = "/dev/null"
			files[fd], err = unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
		case fd == 0:
			files[fd], err = j.openInput(name)
		case isPipe(name):
			files[fd], err = j.openPipe(name)
		default:
			files[fd], err = j.openOutput(name)
		}
		if err != nil {
			return about(name, err)
		}
	}
	if j.share(files[1], files[2]) {
		if files[2] > 2 {
			unix.Close(files[2]) // a supervisor would keep the file open for ever
		}
		files[2] = files[1]
	}
	return nil
}

// share tells whether standard error goes where standard output does: by
// default, and where both lead to one file. With a description each, two of the
// caller's descriptors for one file (>log 2>log, without O_APPEND) have an
// offset each, and one stream would overwrite the other.
func (j *job) share(stdout, stderr int) bool {
	if j.stderr == "" {
		return !j.kept(2)
	}
	return j.stdout != "" && sameFile(stdout, stderr)
}

// kept tells whether a standard stream stays the caller's, unless it is named.
func (j *job) kept(fd int) bool { return j.foreground || slices.Contains(j.keep, fd) }

// inheritedFD is the descriptor of daemonize's caller that a name stands for.
// The command gets that descriptor itself. To open once more what it leads to
// would fail on a socket and after su(1), and write to a file from its beginning.
func inheritedFD(name string) (fd int, ok bool) {
	if i := slices.Index([]string{"/dev/stdin", "/dev/stdout", "/dev/stderr"}, name); i >= 0 {
		return i, true
	}
	digits, ok := strings.CutPrefix(name, "/dev/fd/")
	if !ok {
		digits, ok = strings.CutPrefix(name, "/proc/self/fd/")
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), ok && err == nil
}

// duplicate makes a descriptor for the same open file. EBADF: that is not open,
// or not for this direction.
func duplicate(fd int, input bool) (int, error) {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return -1, err
	}
	if mode := flags & unix.O_ACCMODE; input && mode == unix.O_WRONLY || !input && mode == unix.O_RDONLY {
		return -1, unix.EBADF
	}
	return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
}

// reopen opens the files of -o and -e by their names anew: as the supervisor's
// own standard output and error, which the next run gets.
func (j *job) reopen() error {
	for fd, name := range [3]string{1: j.stdout, 2: j.stderr} {
		if _, inherited := inheritedFD(name); name == "" || inherited || isPipe(name) {
			continue
		}
		file, err := j.openOutput(name)
		if err != nil {
			return about(name, err)
		}
		unix.Dup3(file, fd, 0)
		unix.Close(file)
	}
	if j.share(1, 2) {
		unix.Dup3(1, 2, 0)
	}
	return nil
}

func (j *job) openInput(name string) (int, error) {
	entry, err := posix.Resolve(name)
	if err != nil {
		return -1, err
	}
	defer entry.Close()
	fd, err := j.openFile(entry, unix.O_RDONLY)
	if err != nil {
		return -1, err
	}
	if isType(fd, unix.S_IFDIR) {
		return -1, unix.EISDIR
	}
	if isType(fd, unix.S_IFIFO) {
		// With a writer of its own the command does not meet the end of
		// file each time that others have written, nor before.
		if both, err := j.openFile(entry, unix.O_RDWR); err == nil {
			unix.Close(fd)
			fd = both
		}
	}
	return fd, unix.SetNonblock(fd, false)
}

func (j *job) openOutput(name string) (int, error) {
	entry, err := posix.Resolve(name)
	if err != nil {
		return -1, err
	}
	defer entry.Close()
	const flags = unix.O_WRONLY | unix.O_APPEND
	fd, err := -1, error(unix.EEXIST)
	created := false
	for n := 0; n < 10 && err == unix.EEXIST; n++ { // EEXIST: another start has made the file between the two calls
		if fd, err = j.openFile(entry, flags); err == unix.ENOENT {
			fd, err = entry.Open(flags|unix.O_CREAT|unix.O_EXCL, 0o640)
			created = err == nil
		}
	}
	switch {
	case err == unix.ENXIO:
		return -1, fmt.Errorf("nobody reads from this FIFO or socket: %w", err)
	case err != nil:
		return -1, err
	case created:
		if err = unix.Fchmod(fd, 0o640); err == nil && j.as != nil {
			err = unix.Fchown(fd, j.as.UID, j.as.GID)
		}
	case isType(fd, unix.S_IFCHR):
		// /dev/full, by which full disks are tested, says so at once.
		_, err = unix.Write(fd, nil)
	}
	return fd, cmp.Or(err, unix.SetNonblock(fd, false))
}

// openFile opens a file that exists. Where others may add names to root's
// directory, anybody could have put the file there: it is refused if it is
// neither root's nor the command's user's.
func (j *job) openFile(entry *posix.Entry, flags int) (int, error) {
	fd, err := entry.Open(flags, 0)
	if err == nil && entry.Shared && j.anothers(entry) {
		unix.Close(fd)
		return -1, fmt.Errorf("refused: %s, who could have put it there", entry)
	}
	return fd, err
}

// empty is -t: it cuts the regular files among the streams to nothing, once.
func (j *job) empty() error {
	for fd, name := range [3]string{1: j.stdout, 2: j.stderr} {
		if !j.truncate || name == "" || !isType(j.command.Files[fd], unix.S_IFREG) {
			continue
		}
		if err := unix.Ftruncate(j.command.Files[fd], 0); err != nil {
			return about(name, err)
		}
	}
	j.truncate = false
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
