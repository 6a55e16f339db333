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
// The flock(2) means that something of the daemon is alive. A start makes it on
// a description of its own, which the daemon and all its children inherit.
//
// A record lock for writing (fcntl(2), F_SETLK) means that a process is at work
// on the file, and F_GETLK tells which. A start holds byte 0 until the PID is
// in the file, a supervisor holds byte 1 for its life, and who removes the file
// holds both. Only who may write the file can take one, no child inherits it,
// and it ends with its process. It also ends when the process closes any
// descriptor of the file, so all of them stay open until Close.
type Pidfile struct {
	Entry   *Entry // where its path leads to
	Created bool   // by this start

	file    int         // descriptor for reading, in a start also for writing: has the record locks
	lock    int         // in a start, the descriptor for reading that has the flock; else -1
	taken   bool        // Lock has taken the flock, and the record locks if it could
	stat    unix.Stat_t // of the open file
	written time.Time   // when the file was written, as read has found it
	content []byte      // the first maxContent + 1 bytes, as read has found them
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
	// ErrRead: somebody holds a record lock for reading, for which it is
	// enough to be able to read the file, and so nobody gets one for
	// writing.
	ErrRead = errors.New("locked for reading")
)

// OpenPidfile opens an existing pidfile for reading, and never waits for
// anybody. With force it does not matter who controls it. Errors are those of
// Resolve and open(2), ErrMoved, or say that it is no regular file.
func OpenPidfile(path string, force bool) (*Pidfile, error) {
	return openPidfile(path, force, nil)
}

// CreatePidfile opens a pidfile for a start, and creates it where it is
// missing. Until Reserve or Share only its owner can open it, or somebody else
// could lock it first. Trust is asked about the user who controls it, before it
// is created and again when it is open. A hard link is refused: its other name
// may be somebody's important file. Errors are those of OpenPidfile and trust,
// and ErrMoved.
func CreatePidfile(path string, trust func(*Entry) error) (*Pidfile, error) {
	return openPidfile(path, false, trust)
}

// openPidfile is OpenPidfile where trust is nil, else CreatePidfile.
func openPidfile(path string, force bool, trust func(*Entry) error) (_ *Pidfile, err error) {
	entry, err := resolve(path, true, force)
	if err != nil {
		return nil, err
	}
	f := &Pidfile{Entry: entry, file: -1, lock: -1}
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
	// To open a FIFO would let its writer go on, and to open some devices
	// starts them.
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
	if trust == nil {
		return f, nil
	}
	if err := trust(entry); err != nil {
		return nil, err
	}
	if f.stat.Nlink > 1 {
		return nil, errors.New("refused: it has other names (hard links)")
	}
	return f, f.openLock()
}

// openLock makes the description that is to be inherited. It has O_NOATIME,
// which open(2) grants to root and to the file's owner alone, so that it is
// told from one of somebody who merely may read the file.
func (f *Pidfile) openLock() error {
	fd, err := f.Entry.Open(unix.O_RDONLY|unix.O_NOATIME, 0)
	if err == unix.EPERM { // a lockfile may be another user's
		fd, err = f.Entry.Open(unix.O_RDONLY, 0)
	}
	if err == unix.ENOENT {
		return ErrMoved
	}
	f.lock = fd // perhaps of another file, if the path was changed just now
	return err
}

var errNotRegular = errors.New("refused: not a regular file")

// The bytes of the record lock.
const (
	startByte      = 0
	supervisorByte = 1
	bothBytes      = 2 // how many there are
)

// recordLock takes the record locks for writing of n bytes. ErrBusy: somebody is
// at work on the file. ErrRead: nobody is, but somebody has locked it for
// reading.
func (f *Pidfile) recordLock(from, n int64) error {
	err := f.setLock(unix.F_WRLCK, from, n)
	if err != unix.EAGAIN && err != unix.EACCES { // POSIX leaves the choice
		return err
	}
	if pid, _ := f.writer(); pid != 0 {
		return ErrBusy
	}
	return ErrRead
}

// setLock is F_SETLK of n bytes: F_WRLCK takes the locks, F_UNLCK gives them back.
func (f *Pidfile) setLock(kind int16, from, n int64) error {
	return unix.FcntlFlock(uintptr(f.file), unix.F_SETLK, &unix.Flock_t{Type: kind, Start: from, Len: n})
}

// writer finds who is at work: the PID that holds a record lock for writing,
// and the first byte of that. It is 0 if nobody does, and -1 if the process has
// no number here, as one of another PID namespace.
func (f *Pidfile) writer() (pid int, first int64) { return f.conflict(unix.F_RDLCK) }

// conflict finds a record lock that keeps others from one of this kind, F_RDLCK
// or F_WRLCK. It answers as writer does.
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

// Flock takes the flock for a start, on a descriptor that the command can
// inherit, and none of keep. Whether the path leads to what is locked, Current
// tells then. ErrLocked: somebody else has the flock.
func (f *Pidfile) Flock(keep []int) error {
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

// Lock takes both locks for a start: the flock, then the record lock of byte 0,
// and of byte 1 for a supervisor. Only then nobody removes the file any more,
// and it looks whether the path still leads to it. ErrLocked: a daemon may hold
// the flock. ErrBusy: another start or stop is at work. ErrMoved: the path does
// not lead to the file. ErrRead: it does, and the flock is taken, but the
// record lock cannot be. Keep is that of Flock. Other errors say that the
// file system does not have the two locks.
func (f *Pidfile) Lock(supervisor bool, keep []int) error {
	n := int64(1)
	if supervisor {
		n = bothBytes
	}
	for range 10 {
		if err := f.Flock(keep); err != nil {
			return err
		}
		err := f.recordLock(startByte, n)
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
		// A lock is in the way, but nobody has it, or nobody with a
		// number. Where flock and record lock are one, as on NFS, it is
		// our own flock: without that the record lock can be had.
		f.Unflock()
		if f.recordLock(startByte, n) != nil {
			return ErrBusy
		}
		f.setLock(unix.F_UNLCK, startByte, n)
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

// locked tells whether somebody else holds the flock. Nobody does where the
// file system has no flock. It tries to take the lock, and gives it back at
// once: a start an exclusive one, which it wants anyway; all others a shared one,
// so that two who look at the same moment do not take each other for the daemon.
// Errors are those of flock(2), such as ENOMEM.
func (f *Pidfile) locked() (bool, error) {
	fd, how := f.file, unix.LOCK_SH
	if f.lock >= 0 {
		fd, how = f.lock, unix.LOCK_EX
	}
	err := flock(fd, how)
	switch {
	case err == unix.EWOULDBLOCK:
		return true, nil
	case err == nil:
		unix.Flock(fd, unix.LOCK_UN)
		return false, nil
	case hasNoFlock(err):
		return false, nil
	}
	return false, err
}

// hasNoFlock tells whether an error of flock(2) is that of a file system which
// has no such locks. On NFS EBADF says that the descriptor is not for writing.
func hasNoFlock(err error) bool {
	return slices.Contains([]error{unix.EBADF, unix.EINVAL, unix.ENOLCK, unix.ENOSYS, unix.EOPNOTSUPP}, err)
}

// is tells whether st is that of this file.
func (f *Pidfile) is(st *unix.Stat_t) bool {
	return st.Ino == f.stat.Ino && st.Dev == f.stat.Dev
}

// Unflock gives the flock back, also for children that have inherited it.
func (f *Pidfile) Unflock() { unix.Flock(f.lock, unix.LOCK_UN) }

// EndStart lets go of byte 0: the PID is in the file, or this start has failed and
// its supervisor goes on.
func (f *Pidfile) EndStart() { f.setLock(unix.F_UNLCK, startByte, 1) }

// Restart begins another run of a supervisor: it takes byte 0 again, and marks
// the PID in the file as outdated by setting its mtime to 0. If the supervisor
// dies before it writes the new PID, readers know that the number is not the
// daemon. ErrMoved: the path does not name the file any more; ErrBusy: it is
// being removed.
func (f *Pidfile) Restart() error {
	if err := f.Current(); err != nil {
		return err
	}
	// ErrRead does not matter: no other start gets past byte 1, which is held.
	if err := f.recordLock(startByte, 1); err == ErrBusy {
		return err
	}
	return unix.Futimes(f.file, make([]unix.Timeval, 2))
}

// The command inherits the flocks on descriptors of these numbers. Lower ones
// are hard-coded in some programs. For higher ones the kernel makes the table
// of descriptors larger, which takes milliseconds in a program with threads.
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
		if Inherited(n) && !slices.Contains(keep, n) {
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

// ReadBy describes who holds the record lock that is the reason for ErrRead.
func (f *Pidfile) ReadBy() string {
	pid, _ := f.conflict(unix.F_WRLCK)
	return Describe(pid)
}

// Current returns nil if the path still leads to this file, ErrMoved if it
// leads to another one or to none, or else an error of stat(2): then it is not
// known.
func (f *Pidfile) Current() error {
	var st unix.Stat_t
	err := f.Entry.Stat(&st)
	if err == unix.ENOENT || err == nil && !f.is(&st) {
		return ErrMoved
	}
	return err
}

// Missing tells whether the path leads to no file any more.
func (f *Pidfile) Missing() bool {
	var st unix.Stat_t
	return f.Entry.Stat(&st) == unix.ENOENT
}

// IsAt tells whether another path leads to the same file.
func (f *Pidfile) IsAt(path string) bool {
	var st unix.Stat_t
	entry, err := resolve(path, true, false)
	if err != nil {
		return false
	}
	defer entry.Close()
	return entry.Stat(&st) == nil && f.is(&st)
}

// read reads the time when the file was written, and then its content, as
// write(2) changes the time first. In the other order an old number could be
// read with a new time, and a stranger that has the number by now would pass
// for the daemon.
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

// PID is the number that read has found. Errors are those of ParsePID.
func (f *Pidfile) PID() (int, error) { return ParsePID(f.content) }

// outdated tells whether a supervisor has marked the number as outdated:
// Restart.
func (f *Pidfile) outdated() bool { return f.written.Equal(time.Unix(0, 0)) }

// room is how many bytes Reserve makes sure of: a PID with its newline, and some.
const room = 16

// Reserve empties the file, which is locked by now, makes sure that there is
// space for a PID in it, and lets everybody read it. Errors are those of
// write(2): ENOSPC, EDQUOT, EFBIG.
func (f *Pidfile) Reserve() error {
	if euid := unix.Geteuid(); euid != 0 && int(f.stat.Uid) != euid {
		return fmt.Errorf("refused: it belongs to user %s", UserName(int(f.stat.Uid)))
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err == nil && limit.Cur < room {
		return unix.EFBIG
	}
	if len(f.content) > 0 {
		if err := unix.Ftruncate(f.file, 0); err != nil {
			return err
		}
		f.content = nil
	}
	err := retry(func() error { return unix.Fallocate(f.file, unix.FALLOC_FL_KEEP_SIZE, 0, room) })
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		// Then newlines keep the space. For all readers that is an
		// empty file.
		f.content = bytes.Repeat([]byte{'\n'}, room)
		_, err = unix.Pwrite(f.file, f.content, 0)
	}
	if err == nil {
		err = f.Share()
	}
	return err
}

// Share lets everybody read the file, whatever the umask is.
func (f *Pidfile) Share() error {
	if f.stat.Mode&0o7777 == 0o644 {
		return nil
	}
	return unix.Fchmod(f.file, 0o644)
}

// Write replaces the content by a PID. No reader sees a part of it or, after a
// restart, no number: it is one write, with newlines over the rest of a longer
// old content, which is cut off after that.
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

// Remove unlinks the file of a daemon that has ended. The file must still have
// the content and time that d was found by, or have been emptied by the daemon.
// The two record locks keep others from removing it at the same time, and a
// start from taking it over. The flock does that where the caller may not write
// the file. If it is held by what the daemon has left behind, or by a mere
// reader, the record locks are enough. ErrMoved: the file or the path is a
// newcomer's. ErrBusy: somebody else has locked it. ErrLocked: what the daemon has
// left behind has, and the caller may not write it.
func (f *Pidfile) Remove(d *Daemon) (err error) {
	// Who asks whose the file is, or finds that it is not to be removed, has it
	// locked for a moment: that is no reason to leave it.
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		if err = f.removeNow(d); err != ErrBusy || time.Since(began) > stableStart {
			return err
		}
	}
}

// removeNow is Remove where nobody has the file locked for a moment.
func (f *Pidfile) removeNow(d *Daemon) error {
	w := *f       // for writing, if the caller may
	known := true // by whom it is locked, if it is
	// Unlocked is why the record locks cannot be had.
	fd, unlocked := f.Entry.Open(unix.O_RDWR, 0)
	if unlocked == nil {
		defer unix.Close(fd)
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if !f.is(&st) {
			return ErrMoved
		}
		w.file = fd
		if unlocked = w.recordLock(startByte, bothBytes); unlocked == ErrBusy {
			return ErrBusy
		}
	}
	switch locking := flock(f.file, unix.LOCK_EX); {
	case locking == nil:
		defer unix.Flock(f.file, unix.LOCK_UN) // another operand may be the same file
	case hasNoFlock(locking) && unlocked == nil: // the record locks are all there is
	case locking != unix.EWOULDBLOCK:
		return locking
	default:
		maker := f.maker()
		known = maker != 0
		h, _ := f.look(maker)
		same := d.Maker != 0 && (!known || maker == d.Maker)
		switch {
		case !same && d.Reader == 0 && !h.reader:
			return ErrBusy
		case unlocked != nil:
			return ErrLocked
		}
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

// RemoveOwn unlinks the file of a start or supervisor that holds the flock and
// is about to end. ErrBusy: it leaves that to a pidkill, which is at work on
// the file. ErrMoved: somebody has put another file in its place.
func (f *Pidfile) RemoveOwn() error {
	// ErrRead does not matter: the flock, which is held, keeps starts away.
	if err := f.recordLock(startByte, bothBytes); err == ErrBusy {
		return err
	}
	return f.unlink()
}

// unlink removes the file if the path still leads to it. If not: ErrMoved.
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

// Discard removes the file if this start has created it, and could not lock it,
// for want of a descriptor for example. The file stays if another start has
// locked it since, or has written to it: the daemon of that may have closed the
// lock.
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

// Close closes all descriptors. The flock is given back only if no other
// process has inherited it.
func (f *Pidfile) Close() {
	for _, fd := range []int{f.lock, f.file} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	f.file, f.lock = -1, -1
	f.Entry.Close()
}
