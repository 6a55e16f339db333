package posix

import (
	"cmp"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PIDs lists the processes that /proc shows, in ascending order.
func PIDs() ([]int, error) {
	list, err := numbersIn(unix.AT_FDCWD, ProcRoot, make([]byte, 1<<15))
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: ProcRoot, Err: err}
	}
	list = slices.DeleteFunc(list, func(n int) bool { return n == 0 }) // no process's number
	if len(list) == 0 {
		return nil, &os.PathError{Op: "read", Path: ProcRoot, Err: errors.New("no processes: not mounted?")}
	}
	return list, nil
}

// Table reads the rows of pids, in their order. The rows that keep refuses are
// left out before more than stat and owner are read; so are processes that
// have vanished. Keep is called from two goroutines. Denied says that the
// kernel did not let some be read (hidepid, proc(5)).
func Table(pids []int, fields Fields, keep func(*Process) bool) (rows []Process, denied bool, err error) {
	dir, err := unix.Open(ProcRoot, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false, &os.PathError{Op: "open", Path: ProcRoot, Err: err}
	}
	defer unix.Close(dir)

	// The kernel spends its time for each process in turn, so two workers
	// are nearly twice as fast; a chunk at a time keeps them off each other.
	const workers, chunk = 2, 64
	var (
		next    atomic.Int64
		wg      sync.WaitGroup
		parts   = make([][]Process, (len(pids)+chunk-1)/chunk)
		readers = make([]reader, min(workers, len(parts)))
	)
	for w := range readers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r := reader{dir: dir, fields: fields, keep: keep, buf: make([]byte, 4096)}
			for r.err == nil {
				i := int(next.Add(1)) - 1
				if i >= len(parts) {
					break
				}
				parts[i] = r.rows(pids[i*chunk : min(len(pids), (i+1)*chunk)])
			}
			readers[w] = r
		}()
	}
	wg.Wait()
	for _, r := range readers {
		denied, err = denied || r.denied, cmp.Or(err, r.err)
	}
	return slices.Concat(parts...), denied, err
}

// IDs finds PGID and SID of pids without reading a file, by getpgid(2) and
// getsid(2). Where these cannot tell, the rows are those of Table.
func IDs(pids []int) ([]Process, error) {
	if !OwnProc() {
		rows, _, err := Table(pids, 0, nil)
		return rows, err
	}
	rows := make([]Process, 0, len(pids))
	for _, pid := range pids {
		p := Process{PID: pid, TGID: pid}
		var err1, err2 error
		p.PGID, err1 = unix.Getpgid(pid)
		p.SID, err2 = unix.Getsid(pid)
		if err1 != nil || err2 != nil { // denied by SELinux or seccomp, or vanished
			if p, err1 = ReadStat(pid); err1 != nil {
				continue
			}
		}
		rows = append(rows, p)
	}
	return rows, nil
}

// ReadStat reads the row of one process, or thread. For one that is not there
// the error is unix.ESRCH.
func ReadStat(pid int) (p Process, err error) {
	path := ProcRoot + "/" + strconv.Itoa(pid)
	r := reader{dir: unix.AT_FDCWD, buf: make([]byte, 1024)}
	if err = r.row(path, &p); vanished(err) {
		err = unix.ESRCH
	}
	if err != nil {
		return Process{}, &os.PathError{Op: "read", Path: path + "/stat", Err: err}
	}
	return p, nil
}

// reader is one worker of Table, with its buffer.
type reader struct {
	dir    int // of /proc
	fields Fields
	keep   func(*Process) bool
	path   []byte // with its NUL
	buf    []byte
	denied bool
	err    error
}

// rows reads a part of the table.
func (r *reader) rows(pids []int) []Process {
	rows := make([]Process, 0, len(pids))
	for _, pid := range pids {
		rows = append(rows, Process{})
		err := r.row(strconv.Itoa(pid), &rows[len(rows)-1])
		p := rows[len(rows)-1]
		if err != nil {
			rows = rows[:len(rows)-1]
		}
		if err == nil && r.fields&Threads != 0 && p.Threads > 1 {
			rows, err = r.threads(p, rows)
		}
		switch {
		case err == nil, err == errSkip, vanished(err):
		case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
			r.denied = true
		default:
			r.err = &os.PathError{Op: "read", Path: ProcRoot + "/" + strconv.Itoa(pid), Err: err}
			return nil
		}
	}
	return rows
}

var errSkip = errors.New("not wanted")

// row reads all of one process in one visit.
func (r *reader) row(pid string, p *Process) error {
	b, err := r.file(pid + "/stat")
	if err == nil {
		err = parseStat(b, p)
	}
	if err == nil && r.fields&Owner != 0 {
		// The files in the directory are root's where the process is not
		// dumpable; the directory itself is the effective user's, proc(5).
		var st unix.Stat_t
		err = unix.Fstatat(r.dir, pid, &st, 0)
		p.UID = int(st.Uid)
	}
	if err == nil && r.keep != nil && !r.keep(p) {
		err = errSkip
	}
	if err == nil && r.fields&Args != 0 && !p.Kernel() {
		b, err = r.file(pid + "/cmdline")
		p.Args = string(b)
	}
	if err == nil && r.fields&Memory != 0 {
		b, err = r.file(pid + "/statm")
		if _, b, ok := number(b); ok {
			pages, _, _ := number(b)
			p.RSS = int(pages) * os.Getpagesize() / 1024
		}
	}
	return err
}

// threads adds the rows of p's threads other than its first.
func (r *reader) threads(p Process, rows []Process) ([]Process, error) {
	task := strconv.Itoa(p.PID) + "/task"
	tids, err := numbersIn(r.dir, task, r.buf)
	for _, tid := range tids {
		if tid == p.PID {
			continue
		}
		t := Process{UID: p.UID, RSS: p.RSS, Args: p.Args}
		b, err := r.file(task + "/" + strconv.Itoa(tid) + "/stat")
		if err == nil {
			err = parseStat(b, &t)
		}
		if err == nil {
			t.TGID = p.PID
			rows = append(rows, t)
		} else if !vanished(err) {
			return rows, err
		}
	}
	return rows, err
}

// most bounds what is kept of a file: command lines have no limit of their own
// that is worth its memory.
const most = 128 << 10

// file reads a file below /proc into r.buf, which the next call reuses. The
// calls are raw: they never wait long, and telling Go's scheduler of each
// would cost a tenth of the whole.
func (r *reader) file(path string) ([]byte, error) {
	r.path = append(append(r.path[:0], path...), 0)
	fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(r.dir), uintptr(unsafe.Pointer(&r.path[0])),
		unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0, 0, 0)
	if errno != 0 {
		return nil, errno
	}
	defer unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
	for n := 0; ; {
		m, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&r.buf[n])), uintptr(len(r.buf)-n))
		if errno != 0 {
			return nil, errno
		}
		// proc files give all they have at once: a short read is the end.
		if n += int(m); n < len(r.buf) || n >= most {
			return r.buf[:n], nil
		}
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
}

// vanished tells the two errors of a process that has ended: ENOENT for a name
// that is looked up, ESRCH for one already open (proc(5)).
func vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
}

// numbersIn lists the numeric names in a directory below the open one at.
func numbersIn(at int, path string, buf []byte) ([]int, error) {
	fd, err := unix.Openat(at, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return numbers(fd, buf)
}

// numbers lists the numeric names in an open directory.
func numbers(fd int, buf []byte) (list []int, err error) {
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n == 0 {
			return list, err
		}
		// struct linux_dirent64: ino and off, 8 bytes each; reclen at 16,
		// type at 18, name from 19 to a NUL (getdents(2)).
		for b := buf[:n]; len(b) > 0; b = b[binary.NativeEndian.Uint16(b[16:]):] {
			id, i := 0, 19
			for ; b[i] >= '0' && b[i] <= '9'; i++ {
				id = id*10 + int(b[i]-'0')
			}
			if i > 19 && b[i] == 0 {
				list = append(list, id)
			}
		}
	}
}
