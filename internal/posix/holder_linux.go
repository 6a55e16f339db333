package posix

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// holder is a process that has the description open which carries a file's
// flock, as its proc_pid_fdinfo(5) shows.
type holder struct {
	pid     int
	maker   int  // the process that called flock(2), 0 if that has no number here
	noatime bool // the description is that of root or of the file's owner
}

// holder looks for a descriptor of the process that carries the file's flock,
// and returns nil if there is none. Readable says that its descriptors could be
// looked at: those of another user's process, or of one that may not be traced,
// cannot (ptrace(2), PTRACE_MODE_READ_FSCREDS).
func (f *Pidfile) holder(pid int) (h *holder, readable bool) {
	of := fmt.Sprintf("%s/%d", ProcRoot, pid)
	dir, err := unix.Open(of+"/fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false
	}
	defer unix.Close(dir)
	fds, err := numbers(dir, make([]byte, 4096))
	var r reader
	// Where daemonize puts it comes first.
	slices.SortStableFunc(fds, func(a, b int) int { return rank(a) - rank(b) })
	for _, fd := range fds {
		info, _ := r.file(of + "/fdinfo/" + strconv.Itoa(fd)) // empty: closed meanwhile
		for _, l := range parseFlocks(info, "lock:\t") {
			if l.inode != f.stat.Ino {
				continue
			}
			// The device of the superblock is not always that of stat(2), but
			// the kernel knows both. Its server is not asked: it may be a
			// user's, and never answer.
			var st unix.Statx_t
			err := unix.Statx(dir, strconv.Itoa(fd), unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st)
			if err != nil || st.Ino != f.stat.Ino || unix.Mkdev(st.Dev_major, st.Dev_minor) != f.stat.Dev {
				continue
			}
			flags, _ := strconv.ParseUint(fdField(info, "flags:"), 8, 64)
			return &holder{pid, l.maker, flags&unix.O_NOATIME != 0}, true
		}
	}
	return nil, err == nil
}

func rank(fd int) int {
	if fd >= lowestLock && fd <= highestLock {
		return 0
	}
	return 1
}

// scanTime bounds a look at all processes: a user may have a million
// descriptors open.
const scanTime = 5 * time.Second

// holders are the processes that have the flock's description open, as far as
// the caller may see.
func (f *Pidfile) holders() (list []*holder) {
	all, _ := PIDs()
	for began := time.Now(); len(all) > 0 && time.Since(began) < scanTime; all = all[1:] {
		if h, _ := f.holder(all[0]); h != nil {
			list = append(list, h)
		}
	}
	return list
}

// Kin are the processes that have the flock of this maker, as far as the caller
// may see. Own says that daemonize made it: who shares it is of the daemon, in
// whatever session.
func (f *Pidfile) Kin(maker int) (pids []int, own bool) {
	for _, h := range f.holders() {
		if h.maker == maker {
			pids, own = append(pids, h.pid), h.noatime
		}
	}
	return pids, own
}

// IsKin tells whether a process has the flock of this maker.
func (f *Pidfile) IsKin(pid, maker int) bool {
	h, _ := f.holder(pid)
	return h != nil && h.maker == maker
}

// Heirs are the other processes that have the flock of this start, as far as
// the caller may see. One in the middle of execve(2) may be missed by one look.
func (f *Pidfile) Heirs() (pids []int) {
	for looks := 0; looks < 2 && pids == nil; looks++ {
		for _, h := range f.holders() {
			if h.pid != os.Getpid() {
				pids = append(pids, h.pid)
			}
		}
	}
	return pids
}

// Holders names the processes that hold the flock, for a message.
func (f *Pidfile) Holders() string {
	var pids []int
	for _, h := range f.holders() {
		pids = append(pids, h.pid)
	}
	if maker := f.maker(); len(pids) == 0 && maker != 0 {
		pids = []int{maker}
	}
	if len(pids) == 0 {
		return "a process that cannot be seen"
	}
	return DescribeAll(pids)
}

// maker is the process that called flock(2), which need not live any more, as
// proc_locks(5) tells everybody. It is 0 where that does not tell: for a lock
// that is not there or whose maker has no number here; on btrfs, where files
// of two subvolumes have device and inode number in common; and in a chroot.
func (f *Pidfile) maker() int {
	var fs unix.Statfs_t
	device := mountOf(f.file).device
	if device == "" || unix.Fstatfs(f.file, &fs) != nil || fs.Type == unix.BTRFS_SUPER_MAGIC {
		return 0
	}
	for range 3 { // the table comes in pieces, between which a line can be missed
		table, _ := os.ReadFile(ProcRoot + "/locks")
		for _, l := range parseFlocks(table, "") {
			if l.inode == f.stat.Ino && l.device == device {
				return l.maker
			}
		}
	}
	return 0
}

// showsLocks tells whether this kernel shows locks in /proc at all, by one of
// our own. gVisor does not.
func showsLocks() bool {
	fd, err := unix.MemfdCreate("lock", unix.MFD_CLOEXEC)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	info, err := []byte(nil), flock(fd, unix.LOCK_EX)
	if err == nil {
		info, err = os.ReadFile(fmt.Sprintf("%s/self/fdinfo/%d", ProcRoot, fd))
	}
	return err != nil || bytes.Contains(info, []byte("lock:"))
}

// fileLock is a flock(2) as the kernel shows it.
type fileLock struct {
	maker  int
	device string // of the superblock: fe:00
	inode  uint64
}

// parseFlocks finds the locks in what proc_pid_fdinfo(5), where each has that
// prefix, or proc_locks(5) says:
//
//	1: FLOCK  ADVISORY  WRITE 4711 fe:00:9978146 0 EOF
//
// Who waits for one is no holder: such lines have an arrow after the number.
func parseFlocks(text []byte, prefix string) (list []fileLock) {
	for line := range bytes.Lines(text) {
		rest, ok := bytes.CutPrefix(line, []byte(prefix))
		w := strings.Fields(string(rest))
		if !ok || len(w) < 6 || w[1] != "FLOCK" {
			continue
		}
		maker, err := strconv.Atoi(w[4])
		i := strings.LastIndexByte(w[5], ':')
		if err != nil || maker < 0 || i < 0 {
			continue
		}
		if inode, err := strconv.ParseUint(w[5][i+1:], 10, 64); err == nil {
			list = append(list, fileLock{maker, w[5][:i], inode})
		}
	}
	return list
}

// fdField is a value in what proc_pid_fdinfo(5) says.
func fdField(info []byte, name string) string {
	for line := range bytes.Lines(info) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return strings.TrimSpace(string(rest))
		}
	}
	return ""
}
