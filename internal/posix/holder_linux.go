package posix

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// holder is a process, and what proc_pid_fdinfo(5) says of its descriptors of
// the pidfile. If held is false, the fields that tell of the flock are zero.
type holder struct {
	pid      int
	held     bool // one of them has the flock
	maker    int  // the PID that called flock(2), 0 if that process has no number here
	noatime  bool // the description with the flock has O_NOATIME: opened by root or the file's owner
	writable bool // one of them is open for writing
	writer   bool // it holds a record lock for writing, as Pidfile.writer finds it
	reader   bool // it holds the flock, but is a user who merely may read the file
}

// look looks at the descriptors of the pidfile that a process has. Readable
// tells whether they can be looked at: those of another user's process, or of
// one that may not be traced, cannot (ptrace(2), PTRACE_MODE_READ_FSCREDS).
//
// A look cannot hang, whatever the process has open. The path that readlink(2)
// gives is kept by the kernel. Only a descriptor with the pidfile's name is
// looked at more closely, and then without asking the file's server. Fdinfo is
// read only of the pidfile itself, as that of other kinds of file can wait for
// a lock.
func (f *Pidfile) look(pid int) (h holder, readable bool) {
	h.pid = pid
	of := procDir(pid)
	dir, err := unix.Open(of+"/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return h, false
	}
	defer unix.Close(dir)
	fds, err := idsOf(dir)
	link := make([]byte, unix.PathMax)
	var buf [bufSize]byte
	for _, fd := range fds {
		number := strconv.Itoa(fd)
		n, _ := unix.Readlinkat(dir, number, link)
		var st unix.Statx_t
		if !f.named(link[:max(0, n)]) ||
			unix.Statx(dir, number, unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st) != nil ||
			st.Ino != f.stat.Ino || unix.Mkdev(st.Dev_major, st.Dev_minor) != uint64(f.stat.Dev) {
			continue
		}
		info, _ := readProc(of+"/fdinfo/"+number, buf[:]) // empty: closed meanwhile
		flags, _ := strconv.ParseUint(fdField(info, "flags:"), 8, 64)
		h.writable = h.writable || flags&unix.O_ACCMODE != unix.O_RDONLY
		for _, l := range parseLocks(info, "lock:\t") {
			if l.kind == "FLOCK" {
				h.held, h.maker, h.noatime = true, l.maker, flags&unix.O_NOATIME != 0
			}
			h.writer = h.writer || l.kind == "POSIX" && l.write
		}
	}
	if h.held && !h.noatime && !h.writable {
		var st unix.Stat_t
		h.reader = unix.Stat(of, &st) == nil && st.Uid != 0 && st.Uid != f.stat.Uid
	}
	return h, err == nil
}

// named tells whether a descriptor's link may be one to the pidfile: it ends
// with the pidfile's name. Or it is "/", as the link to a file is that is
// mounted by itself in another mount namespace.
func (f *Pidfile) named(link []byte) bool {
	link = bytes.TrimSuffix(link, []byte(" (deleted)"))
	return string(link) == "/" || string(link[bytes.LastIndexByte(link, '/')+1:]) == f.Entry.name
}

// scanTime is the longest that a look at all processes takes. A user may have a
// million descriptors open.
const scanTime = 5 * time.Second

// holders lists the processes that hold the flock, as far as the caller may see
// that. It begins with the flock's maker and its session. Complete says that
// there was time for all processes.
func (f *Pidfile) holders(maker int) (list []holder, complete bool) {
	all, _ := PIDs()
	slices.SortStableFunc(all, func(a, b int) int { return distance(a, maker) - distance(b, maker) })
	for began := time.Now(); len(all) > 0; all = all[1:] {
		if time.Since(began) > scanTime {
			return list, false
		}
		if h, _ := f.look(all[0]); h.held {
			list = append(list, h)
		}
	}
	return list, true
}

// distance is the order in which holders of a flock are likely to be the
// daemon: the maker itself, as with daemonize -f, then leaders of a group in
// the maker's session, then others in that session.
func distance(pid, maker int) int {
	sid, _ := unix.Getsid(pid)
	pgid, _ := unix.Getpgid(pid)
	switch {
	case pid == maker:
		return 0
	case sid != maker:
		return 3
	case pgid != pid:
		return 2
	}
	return 1
}

// Kin lists the other processes that hold the flock of this maker, or of any
// maker if it is 0, as far as the caller may see that. Own says that daemonize
// made the lock: then they all are of the daemon, in whatever session.
func (f *Pidfile) Kin(maker int) (pids []int, own bool) {
	caller := self()
	// A process in the middle of execve(2) may be missed by one look.
	for looks := 0; looks < 2 && pids == nil; looks++ {
		all, _ := f.holders(maker)
		for _, h := range all {
			if h.pid != caller && (maker == 0 || h.maker == maker) {
				pids, own = append(pids, h.pid), h.noatime
			}
		}
	}
	return pids, own
}

// HeldBy tells whether a process holds the flock of this maker.
func (f *Pidfile) HeldBy(pid, maker int) bool {
	h, _ := f.look(pid)
	return h.held && h.maker == maker
}

// Holders names the processes that hold the flock, or else its maker, for a
// message.
func (f *Pidfile) Holders() string {
	pids, _ := f.Kin(0)
	if maker := f.maker(); pids == nil && maker != 0 {
		pids = []int{maker}
	}
	if pids == nil {
		return "a process that cannot be seen"
	}
	return DescribeAll(pids)
}

// maker is the PID that called flock(2), as proc_locks(5) tells everybody. That
// process need not live any more. It is 0 if there is no lock or its maker has
// no number here; and on btrfs, where files of two subvolumes can have the same
// device and inode number. In a chroot, where mountinfo may not tell the
// device, the inode number counts if only one locked file has it.
func (f *Pidfile) maker() (maker int) {
	if kind := fileSystem(f.file); kind == 0 || kind == unix.BTRFS_SUPER_MAGIC {
		return 0
	}
	device := mountOf(f.file).device
	for range 3 { // the table comes in pieces, between which a line can be missed
		table := locksTable()
		files := map[string]bool{}
		for _, l := range parseLocks(table, "") {
			if l.kind == "FLOCK" && l.inode == f.stat.Ino && (l.device == device || device == "") {
				maker, files[l.device] = l.maker, true
			}
		}
		if len(files) == 1 {
			return maker
		}
	}
	return 0
}

// locksTable reads proc_locks(5), but no longer than a second, as any user can
// have a hundred thousand locks.
func locksTable() (table []byte) {
	fd, err := unix.Open(ProcRoot+"/locks", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	piece := make([]byte, 1<<14)
	for began := time.Now(); time.Since(began) < time.Second; {
		n, err := unix.Read(fd, piece)
		if err != nil || n <= 0 {
			break
		}
		table = append(table, piece[:n]...)
	}
	return table
}

// showsLocks tells whether this kernel shows locks in /proc at all, by making
// one. gVisor does not.
func showsLocks() bool {
	fd, err := unix.MemfdCreate("lock", unix.MFD_CLOEXEC)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	if flock(fd, unix.LOCK_EX) != nil {
		return true
	}
	info, err := readFile(fmt.Sprintf("%s/self/fdinfo/%d", ProcRoot, fd))
	return err != nil || bytes.Contains(info, []byte("lock:"))
}

// fileLock is a lock as /proc shows it.
type fileLock struct {
	kind   string // FLOCK, or POSIX for a record lock
	write  bool
	maker  int    // the PID that made it, 0 if that process has no number here
	device string // of the file system's superblock, in hexadecimal: fe:00
	inode  uint64
}

// parseLocks reads lines of proc_locks(5), or of proc_pid_fdinfo(5), where they
// have a prefix and stand among others:
//
//	1: FLOCK  ADVISORY  WRITE 4711 fe:00:9978146 0 EOF
//
// An arrow after the number means that the process waits for the lock: those
// are left out.
func parseLocks(text []byte, prefix string) (list []fileLock) {
	for line := range bytes.Lines(text) {
		lock, ok := bytes.CutPrefix(line, []byte(prefix))
		w := strings.Fields(string(lock))
		if !ok || len(w) < 6 || w[1] == "->" {
			continue
		}
		maker, err := strconv.Atoi(w[4])
		i := strings.LastIndexByte(w[5], ':')
		if err != nil || maker < 0 || i < 0 {
			continue
		}
		if inode, err := strconv.ParseUint(w[5][i+1:], 10, 64); err == nil {
			list = append(list, fileLock{w[1], w[3] == "WRITE", maker, w[5][:i], inode})
		}
	}
	return list
}

// fdField is the value after a name such as "flags:" in what proc_pid_fdinfo(5)
// says, or "".
func fdField(info []byte, name string) string {
	for line := range bytes.Lines(info) {
		if value, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return strings.TrimSpace(string(value))
		}
	}
	return ""
}
