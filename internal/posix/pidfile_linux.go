package posix

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Pidfile is an open pidfile. Two kernel locks on it have two meanings:
// flock(2) says that the daemon lives, for its descriptor is inherited; a
// record lock (fcntl(2)), which no child inherits, says that somebody is
// operating on it. Closing any descriptor of a file drops the process's
// record locks on it, so all of them stay open until Close.
type Pidfile struct {
	Path    string
	Place   *Place
	Control Control // of the way to the file and of the file itself
	Content []byte  // as last read
	Written time.Time
	Created bool // by this start

	file int // carries the record lock; open for writing if it was created
	lock int // read-only, carries the flock: a description of its own in a start
	stat unix.Stat_t
}

// ErrMoved says that the path has come to name another file.
var ErrMoved = errors.New("replaced meanwhile")

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("locked")

// OpenPidfile opens an existing pidfile for reading, without ever waiting.
// Errors are those of open(2); what is not a regular file is refused.
func OpenPidfile(path string) (*Pidfile, error) {
	f, err := openPidfile(path, unix.O_RDONLY, func(*Control) error { return nil })
	if err == nil {
		f.lock = f.file // no child is to inherit it
	}
	return f, err
}

// CreatePidfile opens a pidfile for a start, and creates it where it is
// missing. trust is asked before it is created, and again about the file. A
// hard link is refused: its other name may be somebody's important file.
func CreatePidfile(path string, trust func(*Control) error) (*Pidfile, error) {
	f, err := openPidfile(path, unix.O_RDWR, trust)
	switch {
	case err == unix.ENOENT:
		f, err = openPidfile(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, trust)
		if err == unix.EEXIST {
			err = ErrMoved
		}
	case err == nil && f.Names() > 1:
		f.Close()
		err = errors.New("refused: it has other names (hard links)")
	}
	return f, err
}

func openPidfile(path string, flags int, trust func(*Control) error) (_ *Pidfile, err error) {
	place, err := Locate(path, false)
	if err != nil {
		return nil, err
	}
	f := &Pidfile{Path: path, Place: place, Control: place.Control, file: -1, lock: -1}
	defer func() {
		if err != nil && f.Created {
			f.Discard()
		}
		if err != nil {
			f.Close()
		}
	}()
	if err := trust(&f.Control); err != nil {
		return nil, err
	}
	// Opening alone wakes who writes to a FIFO, and starts some devices.
	if err := unix.Fstatat(place.Dir, place.Name, &f.stat, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		switch f.stat.Mode & unix.S_IFMT {
		case unix.S_IFREG:
		case unix.S_IFLNK:
			return nil, errors.New("refused: a symbolic link")
		default:
			return nil, errNotRegular
		}
	}
	if f.file, err = place.Open(flags, 0o644); err != nil {
		return nil, err
	}
	f.Created = flags&unix.O_EXCL != 0
	if err := unix.Fstat(f.file, &f.stat); err != nil {
		return nil, err
	}
	if f.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errNotRegular
	}
	f.Control.note(path, &f.stat)
	if f.Created {
		if err := unix.Fchmod(f.file, 0o644); err != nil { // whatever the umask
			return nil, err
		}
	}
	return f, trust(&f.Control)
}

var errNotRegular = errors.New("refused: not a regular file")

// TryLock takes the flock, or fails with ErrLocked. ErrMoved: the path names
// another file by now; open it anew.
func (f *Pidfile) TryLock() error {
	if f.lock < 0 {
		fd, err := f.Place.Open(unix.O_RDONLY, 0)
		if err == unix.ENOENT {
			return ErrMoved
		}
		if err != nil {
			return err
		}
		f.lock = fd
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if !f.is(&st) {
			return ErrMoved
		}
	}
	err := retry(func() error { return unix.Flock(f.lock, unix.LOCK_EX|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		return ErrLocked
	}
	return err
}

func (f *Pidfile) is(st *unix.Stat_t) bool {
	return st.Ino == f.stat.Ino && st.Dev == f.stat.Dev
}

// Unlock gives the flock back.
func (f *Pidfile) Unlock() { unix.Flock(f.lock, unix.LOCK_UN) }

// The command's descriptors for locks: above those that programs hard-code,
// and in the part of the table that every process has (growing it takes the
// kernel milliseconds in a program with threads).
const lowestLock, highestLock = 50, 63

// MoveLock gives the descriptor of the flock a number for the command to
// inherit: a free one, else that of one which the caller left open and which
// is not among keep. Where the limit on descriptors is lower it stays where it
// is. Call it before Operate: it closes a descriptor of the file.
func (f *Pidfile) MoveLock(keep []int) {
	to, err := unix.FcntlInt(uintptr(f.lock), unix.F_DUPFD_CLOEXEC, lowestLock)
	if err == nil && to > highestLock {
		unix.Close(to)
		to, err = f.overwrite(keep)
	}
	if err == nil {
		unix.Close(f.lock)
		f.lock = to
	}
}

// LockFD is the descriptor of the flock.
func (f *Pidfile) LockFD() int { return f.lock }

func (f *Pidfile) overwrite(keep []int) (to int, err error) {
	for to := lowestLock; to <= highestLock; to++ {
		flags, err := unix.FcntlInt(uintptr(to), unix.F_GETFD, 0)
		ours := flags&unix.FD_CLOEXEC != 0 // nothing inherited has the flag
		if err == nil && !ours && !slices.Contains(keep, to) {
			return to, unix.Dup3(f.lock, to, unix.O_CLOEXEC)
		}
	}
	return -1, unix.EMFILE
}

// Operate takes the record lock: for writing while a daemon is started, for
// reading while one is stopped. EAGAIN: somebody else is at work. F_UNLCK gives
// it back.
func (f *Pidfile) Operate(kind int16) error {
	err := unix.FcntlFlock(uintptr(f.file), unix.F_SETLK, &unix.Flock_t{Type: kind})
	if err == unix.EACCES { // POSIX leaves the choice
		err = unix.EAGAIN
	}
	return err
}

// Operator is the process that holds a record lock which conflicts with one
// of that kind, 0 if there is none. -1 is a process of another PID namespace.
func (f *Pidfile) Operator(kind int16) int {
	l := unix.Flock_t{Type: kind}
	if unix.FcntlFlock(uintptr(f.file), unix.F_GETLK, &l) != nil || l.Type == unix.F_UNLCK {
		return 0
	}
	if l.Pid == 0 {
		return -1
	}
	return int(l.Pid)
}

// Names is how many names the file has: more than one are hard links.
func (f *Pidfile) Names() int { return int(f.stat.Nlink) }

// Current tells whether the path still names this file.
func (f *Pidfile) Current() bool {
	return f.current() == nil
}

// current is ErrMoved if the path names another file, or none.
func (f *Pidfile) current() error {
	var st unix.Stat_t
	err := unix.Fstatat(f.Place.Dir, f.Place.Name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT || err == nil && !f.is(&st) {
		return ErrMoved
	}
	return err
}

// IsAt tells whether another path leads to the same file.
func (f *Pidfile) IsAt(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && f.is(&st)
}

// Read reads the content and the time it was written.
func (f *Pidfile) Read() error {
	buf, n := make([]byte, maxContent+1), 0
	err := retry(func() (err error) {
		n, err = unix.Pread(f.file, buf, 0) // a regular file gives all it has
		return err
	})
	if err != nil {
		return err
	}
	f.Content = buf[:n]
	if err := unix.Fstat(f.file, &f.stat); err != nil {
		return err
	}
	f.Written = time.Unix(f.stat.Mtim.Unix())
	return nil
}

// PID is what the content says; errors are those of ParsePID.
func (f *Pidfile) PID() (int, error) { return ParsePID(f.Content) }

// Reserve empties the file and makes sure that a PID will find space in it.
// Errors are those of write(2): ENOSPC, EDQUOT, EFBIG.
func (f *Pidfile) Reserve() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err == nil && limit.Cur < 16 {
		return unix.EFBIG
	}
	if len(f.Content) > 0 {
		if err := unix.Ftruncate(f.file, 0); err != nil {
			return err
		}
		f.Content = nil
	}
	err := retry(func() error { return unix.Fallocate(f.file, unix.FALLOC_FL_KEEP_SIZE, 0, 16) })
	if err != unix.EOPNOTSUPP && err != unix.ENOSYS {
		return err
	}
	// Not every file system can reserve: then writing has to be the test.
	if _, err := unix.Pwrite(f.file, bytes.Repeat([]byte{'\n'}, 16), 0); err != nil {
		return err
	}
	return unix.Ftruncate(f.file, 0)
}

// Write replaces the content by a PID in one write, so that no reader sees a
// part of it or, after a restart, nothing: newlines hide a longer old one
// until the file is cut.
func (f *Pidfile) Write(pid int) error {
	line := strconv.Itoa(pid) + "\n"
	pad := max(0, len(f.Content)-len(line))
	if n, err := unix.Pwrite(f.file, []byte(line+strings.Repeat("\n", pad)), 0); err != nil {
		return err
	} else if n < len(line) {
		return io.ErrShortWrite
	}
	f.Content = []byte(line)
	if pad == 0 {
		return nil
	}
	return unix.Ftruncate(f.file, int64(len(line)))
}

// Void says, by a time of 0, that the PID in the file is not true any more, and
// that the next one is about to be written. Were the supervisor killed before
// that, the time would still tell that whoever holds the lock is the daemon.
func (f *Pidfile) Void() {
	unix.Futimes(f.file, make([]unix.Timeval, 2))
}

// IsVoid tells whether the file, as last read, is between two PIDs.
func (f *Pidfile) IsVoid() bool { return f.Written.Unix() == 0 }

// Unlink removes the file if the path still names it. It returns ErrMoved if
// not. The caller holds a lock that keeps newcomers off this file; but behind
// the look, a second pidkill could make room for another one. So only one at
// a time goes on in a directory; in vain if somebody keeps that locked.
func (f *Pidfile) Unlink() error {
	dir, err := unix.Openat(f.Place.Dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(dir)
		for range 1000 {
			if unix.Flock(dir, unix.LOCK_EX|unix.LOCK_NB) != unix.EWOULDBLOCK {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	if err := f.current(); err != nil {
		return err
	}
	return unix.Unlinkat(f.Place.Dir, f.Place.Name, 0)
}

// Discard removes a file that was just created and could not be locked, if no
// other start has locked it. There may be no descriptor left to do it properly.
func (f *Pidfile) Discard() {
	fd := f.lock
	if fd < 0 {
		fd = f.file
	}
	if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil && unix.Fstat(fd, &f.stat) == nil {
		f.Unlink()
	}
}

// Close lets everything go, a lock only if no other process inherited it.
func (f *Pidfile) Close() {
	if f.lock >= 0 && f.lock != f.file {
		unix.Close(f.lock)
	}
	if f.file >= 0 {
		unix.Close(f.file)
	}
	f.file, f.lock = -1, -1
	f.Place.Close()
}
