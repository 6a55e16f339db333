package posix

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Entry is what a path leads to: a name in an open directory, and whose they
// are. The directory stays the same one whatever is renamed afterwards.
type Entry struct {
	Path   string    // as it was given, for messages
	Rights *Identity // the user who controls the file, which Open may find out; nil: nobody but the caller, or root
	Shared bool      // the directory is root's, and others may add names to it

	judged  bool      // it matters who controls what, as the caller is root
	pidfile bool      // its last component may be no link, and its mode not lax
	owner   *Identity // the user who controls the directory; nil: nobody but the caller, or root
	dir     int       // the directory, opened with O_PATH; -1: closed
	name    string    // in the directory, where there may be nothing of that name; "": the directory itself
	magic   bool      // it is a link of proc(5), which only the kernel can follow
	theirs  string    // the path of what belongs to the user of Rights
}

// String says why a user controls the entry, for a message. There must be one:
// Rights is not nil.
func (e *Entry) String() string {
	return fmt.Sprintf("%s belongs to user %s", Escape(e.theirs), Escape(UserName(e.Rights.UID)))
}

// Resolve finds the directory of path. For root it goes there component by
// component. The first directory that another user owns hands the rest of the
// way to that user: it is gone with the user's rights, and the file is opened
// with them. What two users control, or everybody, is refused. Errors are those
// of open(2), or say what is refused.
func Resolve(path string) (*Entry, error) { return resolve(path, false, false) }

// resolve is Resolve, or the same for a pidfile, which decides who is signalled.
// So it may be no link, and in no directory of root's that a group may change. The
// mode's bits for the group tell also of access control lists, whose mask they are
// (acl(5)). With force it does not matter who controls what.
func resolve(path string, pidfile, force bool) (*Entry, error) {
	e := &Entry{Path: path, pidfile: pidfile, dir: -1, judged: !force && amongOthers()}
	w := &walk{Entry: e}
	err := w.begin(path)
	for err == nil && !w.arrived {
		err = e.owner.Do(w.proceed)
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	e.Rights, e.Shared = e.owner, e.Shared && e.owner == nil
	return e, nil
}

// ErrRefused is in the errors that say that somebody controls a path who should
// not.
var ErrRefused = errors.New("refused")

// amongOthers tells whether the caller is root, and there are other users. In a
// user namespace that has no other (user_namespaces(7)), root has the rights of
// an ordinary user, and nobody else's to take on.
func amongOthers() bool {
	if unix.Geteuid() != 0 {
		return false
	}
	users, _ := readFile(ProcRoot + "/self/uid_map")
	f := strings.Fields(string(users))
	return len(f) != 3 || f[2] != "1"
}

// maxLinks is the kernel's own limit: path_resolution(7).
const maxLinks = 40

// walk is a path on the way to its Entry, whose directory is the one that has
// been reached so far.
type walk struct {
	*Entry
	ahead   string // the part of the path that is still to go
	behind  string // the way to the directory, for messages
	links   int    // that have been followed
	device  uint64 // of the directory
	arrived bool
}

// proceed goes on until it arrives, or until the directory is another user's,
// with whose rights the caller is to go on.
func (w *walk) proceed() error {
	for user := w.owner; user == w.owner && !w.arrived; {
		name, ahead, more := strings.Cut(w.ahead, "/")
		w.name = name
		if !more && w.pidfile {
			w.arrived = true
			break
		}
		err := error(unix.ENOTDIR)
		if more {
			err = w.enter(w.dir, name, ahead, unix.O_NOFOLLOW)
		}
		if err == unix.ENOTDIR { // a link, perhaps, or the last component
			err = w.follow(ahead, more)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// follow goes where the name leads, if it is that of a symbolic link. More
// tells whether there is more of the path ahead; if not, any other name is
// where the path leads.
func (w *walk) follow(ahead string, more bool) error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(w.dir, w.name, buf)
	w.links++
	switch {
	case err != nil && !more:
		w.arrived = true // if there is nothing of that name, Open will tell
	case err == unix.EINVAL:
		return unix.ENOTDIR
	case err != nil:
		return err
	case w.Shared:
		return fmt.Errorf("%w: %s is a symbolic link, and others could have made it", ErrRefused, Escape(w.at(w.name)))
	case w.links > maxLinks:
		return unix.ELOOP
	case fileSystem(w.dir) != unix.PROC_SUPER_MAGIC:
		return w.begin(string(buf[:n]) + w.ahead[len(w.name):])
	case w.owner != nil:
		return unix.ELOOP // /proc/self/cwd, for one, is ours: the user would get where the user's rights do not lead
	case more:
		return w.enter(w.dir, w.name, ahead, 0)
	default: // one of the caller's own descriptors, most likely
		w.magic, w.judged, w.arrived = true, false, true
	}
	return nil
}

// begin goes to where a path, or the target of a link, begins.
func (w *walk) begin(path string) error {
	switch {
	case strings.HasPrefix(path, "/"):
		return w.enter(unix.AT_FDCWD, "/", path, 0)
	case w.dir < 0:
		return w.enter(unix.AT_FDCWD, ".", path, 0)
	}
	w.ahead = path
	return nil
}

// enter opens the directory of that name in the directory at, from which ahead
// is still to go, and finds out who controls it. O_DIRECTORY has the kernel
// mount what is mounted on demand (autofs).
func (w *walk) enter(at int, name, ahead string, flags int) error {
	fd, err := openat(at, name, flags|unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	w.Close()
	w.dir, w.behind, w.ahead = fd, w.at(name), strings.TrimLeft(ahead, "/")
	if !w.judged {
		return nil
	}
	// Without asking a server: a user's program that never answers may be one.
	var st unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS, &st)
	if err != nil {
		return err
	}
	uid := int(st.Uid)
	device := unix.Mkdev(st.Dev_major, st.Dev_minor)
	// Another mount begins here. A FUSE mount is on no block device, so its major
	// number is 0: only then is mountinfo read.
	if device != w.device && st.Dev_major == 0 && w.owner == nil {
		uid = cmp.Or(fuseUser(fd), uid)
	}
	w.device = device
	return w.judge(uid, int(st.Gid), st.Mode)
}

// judge notes whether a user controls the directory, and refuses it if two do,
// or everybody.
func (w *walk) judge(uid, gid int, mode uint16) error {
	sticky := mode&unix.S_ISVTX != 0 // others can add names, but change none
	w.Shared = uid == 0 && mode&0o022 != 0
	switch {
	case mode&unix.S_IWOTH != 0 && !sticky:
		return byEverybody(w.behind)
	case uid != 0 && w.owner == nil:
		w.owner, w.theirs = identityOf(uid), w.behind
	case uid != 0 && uid != w.owner.UID:
		return twoUsers(w.behind, uid, w.owner.UID)
	case uid == 0 && mode&unix.S_IWGRP != 0 && !sticky && w.pidfile:
		return byGroup(w.behind, gid)
	}
	return nil
}

// at is the path of a name in the directory, for messages.
func (w *walk) at(name string) string {
	switch {
	case name == "/" || w.behind == "" || w.behind == ".":
		return name
	case w.behind == "/":
		return "/" + name
	}
	return w.behind + "/" + name
}

// fileSystem is the type of the file system that an open file is on, as
// statfs(2) has it, but without a sign on any CPU; 0 if it does not tell.
func fileSystem(fd int) uint32 {
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) != nil {
		return 0
	}
	return uint32(fs.Type)
}

// mount is a line of proc_pid_mountinfo(5).
type mount struct {
	device  string // of the superblock, as proc_locks(5) writes it: fe:00
	kind    string // ext4, nfs4, ...
	options string // of the superblock
}

// mountOf finds the mount that an open file is on. It is empty where /proc does
// not tell, as in a chroot whose root is no mount.
func mountOf(fd int) mount {
	info, _ := readFile(fmt.Sprintf("%s/self/fdinfo/%d", ProcRoot, fd))
	id := fdField(info, "mnt_id:")
	table, _ := readFile(ProcRoot + "/self/mountinfo")
	for line := range bytes.Lines(table) {
		before, after, _ := strings.Cut(string(line), " - ") // no field has a blank in it
		f, super := strings.Fields(before), strings.Fields(after)
		if len(f) < 3 || f[0] != id || len(super) == 0 {
			continue
		}
		var major, minor int
		if _, err := fmt.Sscanf(f[2], "%d:%d", &major, &minor); err == nil {
			return mount{fmt.Sprintf("%02x:%02x", major, minor), super[0], super[len(super)-1]}
		}
	}
	return mount{}
}

// fuseUser is the user whose program answers for the FUSE mount that an open
// directory is on, whatever owners that program reports; 0 where it is none.
func fuseUser(fd int) (uid int) {
	if m := mountOf(fd); strings.HasPrefix(m.kind, "fuse") {
		_, text, _ := strings.Cut(m.options, ",user_id=")
		text, _, _ = strings.Cut(text, ",")
		uid, _ = parseID(text)
	}
	return uid
}

// Open opens the entry, never through a symbolic link, and never waiting for
// the other end of a FIFO. For root, what a user controls is opened with that
// user's rights, and is a regular file unless root has put it where it is. Mode
// is that of a file which is created, whatever the umask.
func (e *Entry) Open(flags int, mode uint32) (fd int, err error) {
	if e.name == "" {
		return -1, unix.EISDIR
	}
	user := e.owner
	if e.judged && user == nil && flags&unix.O_CREAT == 0 {
		var st unix.Stat_t
		if err := e.Stat(&st); err != nil {
			return -1, err
		}
		if st.Uid != 0 {
			user, e.theirs = identityOf(int(st.Uid)), e.Path
		}
	}
	if !e.magic {
		flags |= unix.O_NOFOLLOW
	}
	if flags&unix.O_CREAT != 0 {
		defer unix.Umask(unix.Umask(0))
	}
	err = user.Do(func() error {
		fd, err = openat(e.dir, e.name, flags|unix.O_NONBLOCK|unix.O_NOCTTY, mode)
		return err
	})
	if err != nil {
		return -1, err
	}
	if e.judged && flags&unix.O_EXCL == 0 { // else it is new, and as it is to be
		if err := e.judgeFile(fd, user); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	e.Rights = user
	return fd, nil
}

// openat is openat(2) of a descriptor that execve(2) closes.
func openat(dir int, name string, flags int, mode uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, mode)
		return err
	})
	return fd, err
}

// judgeFile refuses what was opened with the rights of that user (nil: root's)
// if it is not a file that this user alone can have put there and can write.
func (e *Entry) judgeFile(fd int, user *Identity) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	owner := 0
	if user != nil {
		owner = user.UID
	}
	switch {
	case (e.owner != nil || e.Shared) && st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errNotRegular
	case e.Shared && st.Nlink > 1:
		return fmt.Errorf("%w: it has other names (hard links), and others could have made this one", ErrRefused)
	case e.Shared && int(st.Uid) != owner:
		return ErrMoved // since Open asked whose it is
	case !e.pidfile: // who may write a log is its owner's affair
	case st.Mode&unix.S_IWOTH != 0:
		return fmt.Errorf("%w: has a service made it, start that by daemonize -m 022", byEverybody(e.Path))
	case st.Mode&unix.S_IWGRP != 0 && st.Uid == 0:
		return byGroup(e.Path, int(st.Gid))
	case st.Uid != 0 && int(st.Uid) != owner:
		return twoUsers(e.Path, int(st.Uid), owner)
	}
	return nil
}

func byEverybody(path string) error {
	return fmt.Errorf("%w: %s can be changed by everybody", ErrRefused, Escape(path))
}

func byGroup(path string, gid int) error {
	return fmt.Errorf("%w: %s can be changed by group %s", ErrRefused, Escape(path), Escape(GroupName(gid)))
}

func twoUsers(path string, uid, before int) error {
	return fmt.Errorf("%w: %s belongs to user %s, and the way to it to user %s", ErrRefused, Escape(path), Escape(UserName(uid)), Escape(UserName(before)))
}

// Stat is lstat(2) of the entry.
func (e *Entry) Stat(st *unix.Stat_t) error {
	return e.owner.Do(func() error { return unix.Fstatat(e.dir, e.name, st, unix.AT_SYMLINK_NOFOLLOW) })
}

// Unlink removes the entry.
func (e *Entry) Unlink() error {
	return e.owner.Do(func() error { return unix.Unlinkat(e.dir, e.name, 0) })
}

// Close gives the directory's descriptor back.
func (e *Entry) Close() {
	if e.dir >= 0 {
		unix.Close(e.dir)
		e.dir = -1
	}
}
