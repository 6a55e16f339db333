package posix

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Pidfile is an open pidfile. Two kernel locks on it have one meaning each.
//
// flock(2) means alive: a start makes it on a description of its own, which
// the daemon and all its children inherit.
//
// A record lock for writing (F_SETLK, fcntl(2)) means at work, and tells by
// whom: on byte 0 a start, until the PID is in the file; on byte 1 a
// supervisor, for its life; on both whoever removes the file. Only who may
// write the file can have one, no child inherits it, and it ends with its
// process. Closing any descriptor of a file drops the process's record locks
// on it, so all of them stay open until Close.
type Pidfile struct {
	Path    string
	Entry   *Entry
	Created bool // by this start

	file    int  // for reading, in a start also for writing: carries the record locks
	lock    int  // in a start: read-only, carries the flock; else -1
	taken   bool // by Lock
	stat    unix.Stat_t
	written time.Time // as last read, and so is the
	content []byte
}

// Errors of taking and removing a pidfile.
var (
	// ErrMoved: the path has come to name another file, or the file another
	// daemon.
	ErrMoved = errors.New("replaced meanwhile")
	// ErrLocked: another process holds the flock.
	ErrLocked = errors.New("locked")
	// ErrBusy: another start or a pidkill is at work on the file.
	ErrBusy = errors.New("in use by another start or stop")
	// ErrRead: somebody who may only read the file keeps its record locks
	// from everybody by one for reading.
	ErrRead = errors.New("locked for reading")
)

// OpenPidfile opens an existing pidfile for reading, without ever waiting. With
// force it does not matter who controls it. Errors are those of Resolve and
// open(2); what is not a regular file is refused.
func OpenPidfile(path string, force bool) (*Pidfile, error) {
	return openPidfile(path, force, nil)
}

// CreatePidfile opens a pidfile for a start, and creates it where it is
// missing, for its owner alone until Reserve or Share. Trust is asked about the user who
// controls it, before it is created and again when it is open. A hard link is
// refused: its other name may be somebody's important file.
func CreatePidfile(path string, trust func(*Entry) error) (*Pidfile, error) {
	return openPidfile(path, false, trust)
}

// openPidfile opens it for reading where trust is nil, else for a start.
func openPidfile(path string, force bool, trust func(*Entry) error) (_ *Pidfile, err error) {
	entry, err := resolve(path, false, force)
	if err != nil {
		return nil, err
	}
	f := &Pidfile{Path: path, Entry: entry, file: -1, lock: -1}
	defer func() {
		if err != nil {
			f.Discard()
			f.Close()
		}
	}()
	flags := unix.O_RDONLY
	if trust != nil {
		flags = unix.O_RDWR
		if err := trust(entry); err != nil {
			return nil, err
		}
	}
	// Opening alone wakes who writes to a FIFO, and starts some devices.
	if err := entry.Stat(&f.stat); err == nil {
		switch f.stat.Mode & unix.S_IFMT {
		case unix.S_IFREG:
		case unix.S_IFLNK:
			return nil, errors.New("refused: a symbolic link")
		default:
			return nil, errNotRegular
		}
	}
	f.file, err = entry.Open(flags, 0)
	if trust != nil && err == unix.ENOENT {
		f.file, err = entry.Open(flags|unix.O_CREAT|unix.O_EXCL, 0o600)
		f.Created = err == nil
	}
	switch {
	case err == unix.EEXIST:
		return nil, ErrMoved
	case err != nil:
		return nil, err
	}
	if err := unix.Fstat(f.file, &f.stat); err != nil {
		return nil, err
	}
	if f.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errNotRegular
	}
	if trust != nil {
		if err := trust(entry); err != nil {
			return nil, err
		}
		if f.stat.Nlink > 1 {
			return nil, errors.New("refused: it has other names (hard links)")
		}
	}
	return f, nil
}

var errNotRegular = errors.New("refused: not a regular file")

// The bytes of the record lock.
const (
	startByte      = 0
	supervisorByte = 1
	bothBytes      = 2 // how many there are
)

// work takes the record locks for writing of so many bytes. ErrBusy: somebody
// is at work on one of them. ErrRead: nobody is, but they are locked for
// reading, by whoever may read the file.
func (f *Pidfile) work(from, bytes int64) error {
	err := unix.FcntlFlock(uintptr(f.file), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: from, Len: bytes})
	if err != unix.EAGAIN && err != unix.EACCES { // POSIX leaves the choice
		return err
	}
	if pid, _ := f.writer(); pid != 0 {
		return ErrBusy
	}
	return ErrRead
}

// writer finds who is at work: the process that holds a record lock for
// writing, or 0, and the first byte of it. -1 is a process that has no number
// here, such as one of another PID namespace.
func (f *Pidfile) writer() (pid int, first int64) { return f.conflict(unix.F_RDLCK) }

// conflict finds a record lock that one of this kind would meet.
func (f *Pidfile) conflict(kind int16) (pid int, first int64) {
	l := unix.Flock_t{Type: kind, Start: startByte, Len: bothBytes}
	err := unix.FcntlFlock(uintptr(f.file), unix.F_GETLK, &l)
	switch {
	case err != nil || l.Type == unix.F_UNLCK:
		return 0, 0
	case l.Pid <= 0:
		return -1, l.Start
	}
	return int(l.Pid), l.Start
}

// TryLock takes the flock for a start, on a descriptor that the command can
// inherit: not one of keep. ErrLocked: somebody else has it. ErrMoved: the path
// names another file by now; open it anew.
func (f *Pidfile) TryLock(keep []int) error {
	if f.lock < 0 {
		if err := f.openLock(); err != nil {
			return err
		}
	}
	switch err := flock(f.lock, unix.LOCK_EX); err {
	case nil:
		f.moveLock(keep)
		return nil
	case unix.EWOULDBLOCK:
		return ErrLocked
	default:
		return f.unsuitable("no flock(2)", err)
	}
}

// openLock makes the description that is to be inherited. Its O_NOATIME, which
// open(2) grants to root and to the file's owner alone, tells it from that of
// somebody who merely may read the file.
func (f *Pidfile) openLock() error {
	fd, err := f.Entry.Open(unix.O_RDONLY|unix.O_NOATIME, 0)
	if err == unix.EPERM { // a lockfile may be another user's
		fd, err = f.Entry.Open(unix.O_RDONLY, 0)
	}
	if err == unix.ENOENT {
		err = ErrMoved
	}
	if err == nil {
		f.lock = fd // of another file, perhaps: Current tells, once it is locked
	}
	return err
}

// Lock takes both locks for a start: the flock, then the record lock of byte 0,
// and of byte 1 for a supervisor. ErrLocked: a daemon may hold the flock.
// ErrBusy: another start or stop is at work. ErrMoved: the path does not name the
// file any more, which only now is certain to stay as it is. ErrRead: the flock
// is taken, but record locks cannot be. Keep is that of TryLock.
func (f *Pidfile) Lock(supervisor bool, keep []int) error {
	bytes := int64(1)
	if supervisor {
		bytes = bothBytes
	}
	for range 10 {
		if err := f.TryLock(keep); err != nil {
			return err
		}
		err := f.work(startByte, bytes)
		pid, _ := f.conflict(unix.F_WRLCK)
		switch {
		case err == nil, err == ErrRead && pid > 0:
			f.taken = true
			return cmp.Or(f.Current(), err)
		case err == ErrBusy && pid > 0:
			return err
		case err != ErrBusy && err != ErrRead:
			return f.unsuitable("no record locks", err)
		}
		// Nobody is there, or nobody with a number. Where flock and record
		// lock are one lock, it was our own: without that it can be had.
		f.Unlock()
		if f.work(startByte, bytes) != nil {
			return ErrBusy
		}
		f.Publish()
	}
	return f.unsuitable("one lock where two are needed", nil)
}

// unsuitable is the error of a file system whose locks are not the kernel's. It
// names the type of that, as proc_pid_mountinfo(5) does.
func (f *Pidfile) unsuitable(what string, err error) error {
	kind := "its file system"
	if m := mountOf(f.file); m.kind != "" {
		kind += ", " + Escape(m.kind) + ","
	}
	if err != nil {
		what += fmt.Sprintf(" (%v)", err)
	}
	return fmt.Errorf("%s has %s: a pidfile belongs in $XDG_RUNTIME_DIR, /run or /tmp", kind, what)
}

// flock is flock(2) without waiting.
func flock(fd, how int) error {
	return retry(func() error { return unix.Flock(fd, how|unix.LOCK_NB) })
}

// locked tells whether somebody else holds the flock, which nobody does where the
// file system has none. A start asks with the lock that it wants, all others
// with one that does not keep each other out; where it can be had, it is given
// back at once. Errors are those of a machine in trouble.
func (f *Pidfile) locked() (bool, error) {
	fd, how := f.file, unix.LOCK_SH
	if f.lock >= 0 {
		fd, how = f.lock, unix.LOCK_EX
	}
	switch err := flock(fd, how); err {
	case unix.EWOULDBLOCK:
		return true, nil
	case nil:
		unix.Flock(fd, unix.LOCK_UN)
		return false, nil
	case unix.EBADF, unix.EINVAL, unix.ENOLCK, unix.ENOSYS, unix.EOPNOTSUPP:
		return false, nil
	default:
		return false, err
	}
}

func (f *Pidfile) is(st *unix.Stat_t) bool {
	return st.Ino == f.stat.Ino && st.Dev == f.stat.Dev
}

// Unlock gives the flock back, also where a child has it open.
func (f *Pidfile) Unlock() { unix.Flock(f.lock, unix.LOCK_UN) }

// Publish is called once the PID is in the file: the start is over.
func (f *Pidfile) Publish() {
	unix.FcntlFlock(uintptr(f.file), unix.F_SETLK, &unix.Flock_t{Type: unix.F_UNLCK, Start: startByte, Len: 1})
}

// Restart begins another run of a supervisor: it takes byte 0 again, and marks
// the PID in the file as outdated by setting its mtime to 0. If the supervisor
// dies before it writes the new PID, readers know that the number is not the
// daemon. ErrMoved: the path does not name the file any more; ErrBusy: it is
// being removed.
func (f *Pidfile) Restart() error {
	if err := f.Current(); err != nil {
		return err
	}
	if err := f.work(startByte, 1); err == ErrBusy {
		return err
	}
	return unix.Futimes(f.file, make([]unix.Timeval, 2))
}

// The command's descriptors for locks: above those that programs hard-code,
// and in the part of the table that every process has (growing it takes the
// kernel milliseconds in a program with threads).
const lowestLock, highestLock = 50, 63

// moveLock gives the descriptor of the flock a number for the command to
// inherit: a free one, else that of one which the caller left open and which is
// not among keep, else a higher one. Where the limit on descriptors is lower it
// stays where it is. This closes descriptors of the file, so there must be no
// record lock yet.
func (f *Pidfile) moveLock(keep []int) {
	if f.lock >= lowestLock && f.lock <= highestLock {
		return
	}
	to, err := unix.FcntlInt(uintptr(f.lock), unix.F_DUPFD_CLOEXEC, lowestLock)
	for n := lowestLock; err == nil && to > highestLock && n <= highestLock; n++ {
		flags, _ := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
		inherited := flags&unix.FD_CLOEXEC == 0 // what daemonize opens has the flag
		if inherited && !slices.Contains(keep, n) {
			unix.Close(to)
			to, err = n, unix.Dup3(f.lock, n, unix.O_CLOEXEC)
		}
	}
	if err == nil {
		unix.Close(f.lock)
		f.lock = to
	}
}

// LockFD is the descriptor of the flock.
func (f *Pidfile) LockFD() int { return f.lock }

// ReadBy names who keeps the record locks from everybody by one for reading.
func (f *Pidfile) ReadBy() string {
	pid, _ := f.conflict(unix.F_WRLCK)
	return Describe(pid)
}

// Current returns nil if the path still names this file, ErrMoved if it names
// another one or none, or the error of stat(2), which tells nothing.
func (f *Pidfile) Current() error {
	var st unix.Stat_t
	err := f.Entry.Stat(&st)
	if err == unix.ENOENT || err == nil && !f.is(&st) {
		return ErrMoved
	}
	return err
}

// Missing tells whether the path names no file by now.
func (f *Pidfile) Missing() bool {
	var st unix.Stat_t
	return f.Entry.Stat(&st) == unix.ENOENT
}

// IsAt tells whether another path leads to the same file.
func (f *Pidfile) IsAt(path string) bool {
	var st unix.Stat_t
	entry, err := Resolve(path, false)
	if err != nil {
		return false
	}
	defer entry.Close()
	return entry.Stat(&st) == nil && f.is(&st)
}

// read reads the time the file was written, and then its content: who writes
// changes the time first.
func (f *Pidfile) read() error {
	// The times of fstat(2) have 32 bits on 32-bit CPUs, and end in 2038.
	var st unix.Statx_t
	if err := unix.Statx(f.file, "", unix.AT_EMPTY_PATH, unix.STATX_MTIME, &st); err != nil {
		return err
	}
	f.written = time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec))
	buf, n := make([]byte, maxContent+1), 0
	err := retry(func() (err error) {
		n, err = unix.Pread(f.file, buf, 0) // a regular file gives all it has
		return err
	})
	if err == nil {
		f.content = buf[:n]
	}
	return err
}

// unchanged reads again, and tells whether number and time are as before and
// the path still names the file.
func (f *Pidfile) unchanged() bool {
	before, written := f.content, f.written
	return f.read() == nil && bytes.Equal(before, f.content) && written.Equal(f.written) && f.Current() == nil
}

// PID is what the content says; errors are those of ParsePID.
func (f *Pidfile) PID() (int, error) { return ParsePID(f.content) }

// outdated tells whether a supervisor was about to replace the number.
func (f *Pidfile) outdated() bool { return f.written.Equal(time.Unix(0, 0)) }

// Reserve empties the file, makes sure that a PID will find space in it, and
// lets everybody read it. Errors are those of write(2): ENOSPC, EDQUOT, EFBIG.
func (f *Pidfile) Reserve() error {
	if euid := unix.Geteuid(); euid != 0 && int(f.stat.Uid) != euid {
		return fmt.Errorf("refused: it belongs to user %s", UserName(int(f.stat.Uid)))
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err == nil && limit.Cur < 16 {
		return unix.EFBIG
	}
	if len(f.content) > 0 {
		if err := unix.Ftruncate(f.file, 0); err != nil {
			return err
		}
		f.content = nil
	}
	err := retry(func() error { return unix.Fallocate(f.file, unix.FALLOC_FL_KEEP_SIZE, 0, 16) })
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		// Then blanks keep the space, which to all readers are an empty file.
		f.content = bytes.Repeat([]byte{'\n'}, 16)
		_, err = unix.Pwrite(f.file, f.content, 0)
	}
	if err == nil {
		err = f.Share()
	}
	return err
}

// Share lets everybody read a file that is locked by now, whatever the umask.
func (f *Pidfile) Share() error {
	if f.stat.Mode&0o7777 == 0o644 {
		return nil
	}
	return unix.Fchmod(f.file, 0o644)
}

// Write replaces the content by a PID in one write, so that no reader sees a
// part of it or, after a restart, nothing: newlines hide a longer old one
// until the file is cut.
func (f *Pidfile) Write(pid int) error {
	line := strconv.Itoa(pid) + "\n"
	pad := max(0, len(f.content)-len(line))
	if n, err := unix.Pwrite(f.file, []byte(line+strings.Repeat("\n", pad)), 0); err != nil {
		return err
	} else if n < len(line) {
		return io.ErrShortWrite
	}
	f.content = []byte(line)
	if pad == 0 {
		return nil
	}
	return unix.Ftruncate(f.file, int64(len(line)))
}

// Remove unlinks the file of a daemon that has ended, if it still is what d was
// found by, or empty. Both record locks keep others from removing it
// meanwhile and a start from taking it over. The flock is taken too; if heirs
// of the very daemon hold it, who left its group and session, that is no
// obstacle. ErrMoved: the file or the path is a newcomer's. ErrBusy: somebody
// else removes it, or starts. ErrLocked: it is locked, and the caller may not
// write it.
func (f *Pidfile) Remove(d *Daemon) error {
	w, known := *f, true // for writing; it is known by whom it is locked
	fd, err := f.Entry.Open(unix.O_RDWR, 0)
	if err == nil {
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if !f.is(&st) {
			return ErrMoved
		}
		w.file = fd
		if err = w.work(startByte, bothBytes); err == ErrBusy {
			return err
		}
	}
	if flock(f.file, unix.LOCK_EX) == nil {
		defer unix.Flock(f.file, unix.LOCK_UN) // another operand may be the same file
	} else if maker, _ := f.look(f.maker()); d.Reader == 0 && !maker.reader && (d.Maker == 0 || maker.pid != 0 && maker.pid != d.Maker) {
		return ErrMoved
	} else if err != nil {
		return ErrLocked
	} else {
		known = maker.pid != 0
	}
	if err := w.read(); err != nil {
		return err
	}
	same := bytes.Equal(w.content, d.content) && w.written.Equal(d.written)
	if _, err := w.PID(); !same && (err != ErrEmpty || !known) {
		return ErrMoved
	}
	return w.unlink()
}

// RemoveOwn unlinks the file of a start or supervisor that is about to end, and
// holds the flock. It leaves the file to a pidkill that is at work on it, and
// to whoever put another one in its place.
func (f *Pidfile) RemoveOwn() error {
	if err := f.work(startByte, bothBytes); err == ErrBusy {
		return err
	}
	return f.unlink()
}

// unlink removes the file if the path still names it, else it is ErrMoved.
func (f *Pidfile) unlink() error {
	err := f.Current()
	if err == nil {
		err = f.Entry.Unlink()
	}
	if err == unix.ENOENT {
		err = ErrMoved
	}
	return err
}

// Discard removes a file that this start has created and could not lock, if no
// other start has locked it, or has written to it and its daemon let go of the
// lock. There may be no descriptor left to do it properly.
func (f *Pidfile) Discard() {
	if !f.Created {
		return
	}
	fd := f.lock
	if fd < 0 {
		fd = f.file
	}
	if err := flock(fd, unix.LOCK_EX); err != unix.EWOULDBLOCK && unix.Fstat(fd, &f.stat) == nil && f.stat.Size == 0 {
		f.unlink()
	}
}

// Close lets everything go, a lock only if no other process inherited it.
func (f *Pidfile) Close() {
	for _, fd := range []int{f.lock, f.file} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	f.file, f.lock = -1, -1
	f.Entry.Close()
}

// mount is a line of proc_pid_mountinfo(5).
type mount struct {
	device  string // of the superblock, as proc_locks(5) writes it: fe:00
	kind    string // ext4, nfs4, ...
	options string // of the superblock
}

// mountOf finds the mount of an open file, nothing where /proc does not tell:
// in a chroot, for one.
func mountOf(fd int) (m mount) {
	info, _ := readFile(fmt.Sprintf("%s/self/fdinfo/%d", ProcRoot, fd))
	id := fdField(info, "mnt_id:")
	table, _ := readFile(ProcRoot + "/self/mountinfo")
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		dash := slices.Index(f, "-")
		if id == "" || len(f) < 5 || f[0] != id || dash < 0 || dash+1 >= len(f) {
			continue
		}
		var major, minor int
		if _, err := fmt.Sscanf(f[2], "%d:%d", &major, &minor); err == nil {
			m = mount{fmt.Sprintf("%02x:%02x", major, minor), f[dash+1], f[len(f)-1]}
		}
	}
	return m
}
