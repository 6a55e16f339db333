package posix

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

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

// Table reads the rows of pids, in their order. Processes that have vanished
// are left out, and so is one that cannot be read: denied says that the kernel
// forbids it (hidepid, proc(5)), err which was the first that makes no sense.
func Table(pids []int) (rows []Process, denied bool, err error) {
	rows = make([]Process, len(pids))
	errs := make([]error, len(pids))
	inHalves(len(pids), func(r *reader, i int) {
		errs[i] = r.stat(procDir(pids[i]), &rows[i])
	})
	read, malformed := rows[:0], 0
	for i, e := range errs {
		switch {
		case e == nil:
			read = append(read, rows[i])
		case vanished(e):
		case errors.Is(e, unix.EACCES), errors.Is(e, unix.EPERM):
			denied = true
		case err == nil:
			err = &os.PathError{Op: "read", Path: procDir(pids[i]) + "/stat", Err: e}
		default:
			malformed++
		}
	}
	if malformed > 0 {
		err = fmt.Errorf("%w (and %d more)", err, malformed)
	}
	return read, denied, err
}

// Fill reads more than stat of processes that Table has read. What cannot be
// read stays empty. One that has vanished meanwhile gets the state X, dead.
func Fill(rows []*Process, fields Fields) {
	if fields != 0 {
		inHalves(len(rows), func(r *reader, i int) { r.fill(rows[i], fields) })
	}
}

// inHalves calls work for each number below n, for the upper half of them in
// another goroutine: the kernel spends its time on each process in turn, so
// two readers are nearly twice as fast.
func inHalves(n int, work func(r *reader, i int)) {
	half := func(i, end int) {
		for r := new(reader); i < end; i++ {
			work(r, i)
		}
	}
	done := make(chan struct{})
	go func() {
		half(n/2, n)
		close(done)
	}()
	half(0, n/2)
	<-done
}

// ReadStat reads the row of one process, or thread. For one that is not there
// the error is unix.ESRCH.
func ReadStat(pid int) (p Process, err error) {
	if err = new(reader).stat(procDir(pid), &p); vanished(err) {
		err = unix.ESRCH
	}
	if err != nil {
		return Process{}, &os.PathError{Op: "read", Path: procDir(pid) + "/stat", Err: err}
	}
	return p, nil
}

// ThreadRows reads the rows of the process's threads other than its first, as
// far as they can be read. What belongs to the process is copied from it.
func ThreadRows(p *Process) (rows []Process) {
	var r reader
	task := procDir(p.PID) + "/task"
	tids, _ := numbersIn(unix.AT_FDCWD, task, make([]byte, 4096))
	for _, tid := range tids {
		t := Process{UID: p.UID, RSS: p.RSS, Args: p.Args, Cgroup: p.Cgroup}
		if tid != p.PID && r.stat(task+"/"+strconv.Itoa(tid), &t) == nil {
			t.TGID = p.PID
			rows = append(rows, t)
		}
	}
	return rows
}

// ThreadGroup is the process that a thread belongs to: Tgid in
// proc_pid_status(5). 0: there is no such thread.
func ThreadGroup(tid int) (pid int) {
	status, _ := os.ReadFile(procDir(tid) + "/status")
	_, line, _ := bytes.Cut(status, []byte("\nTgid:\t"))
	line, _, _ = bytes.Cut(line, []byte("\n"))
	pid, _ = strconv.Atoi(string(line))
	return pid
}

// procDir is the directory of a process in /proc.
func procDir(pid int) string { return ProcRoot + "/" + strconv.Itoa(pid) }

// reader reads files of /proc into one buffer.
type reader struct{ buf []byte }

// stat reads the row of the process, or thread, that has this directory.
func (r *reader) stat(dir string, p *Process) error {
	b, err := r.file(dir + "/stat")
	if err != nil {
		return err
	}
	return parseStat(b, p)
}

// fill reads the fields of one process in one visit.
func (r *reader) fill(p *Process, fields Fields) {
	dir := procDir(p.PID)
	get := func(file string) []byte {
		b, err := r.file(dir + file)
		if vanished(err) {
			p.State = 'X'
		}
		return b
	}
	if fields&Owner != 0 {
		// The files in the directory are root's where the process is not
		// dumpable; the directory itself is the effective user's, proc(5).
		var st unix.Stat_t
		if unix.Stat(dir, &st) != nil {
			p.State = 'X'
		}
		p.UID = int(st.Uid)
	}
	if fields&Args != 0 && !p.Kernel() {
		p.Args = string(get("/cmdline"))
	}
	if fields&Memory != 0 {
		_, resident, _ := number(get("/statm"))
		pages, _, _ := number(resident)
		p.RSS = int(pages) * (os.Getpagesize() / 1024) // in bytes it may not fit an int
	}
	if fields&Cgroup != 0 {
		p.Cgroup = string(get("/cgroup"))
	}
}

// most bounds what is kept of a file: command lines have no limit of their own
// that is worth its memory.
const most = 128 << 10

// file reads a file into r.buf, which the next call reuses.
func (r *reader) file(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if r.buf == nil {
		r.buf = make([]byte, 4096)
	}
	for n := 0; ; {
		m, err := unix.Read(fd, r.buf[n:])
		if err != nil {
			return nil, err
		}
		// proc files give all they have at once: a short read is the end.
		if n += m; n < len(r.buf) || n >= most {
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

// Describe names a process in a message: its PID, name and user. A name that
// could pass for a part of the message is quoted.
func Describe(pid int) string {
	p, err := ReadStat(pid)
	if err != nil {
		return fmt.Sprint(pid)
	}
	name := Escape(p.Comm)
	if strings.ContainsAny(name, ` ,;()"'`) {
		name = `"` + strings.ReplaceAll(name, `"`, `\"`) + `"`
	}
	var st unix.Stat_t
	if unix.Stat(fmt.Sprintf("%s/%d", ProcRoot, pid), &st) != nil {
		return fmt.Sprintf("%d (%s)", pid, name)
	}
	return fmt.Sprintf("%d (%s, user %s)", pid, name, UserName(int(st.Uid)))
}

// DescribeAll names the first twenty of some processes.
func DescribeAll(pids []int) string {
	const most = 20
	var names []string
	for _, pid := range pids[:min(most, len(pids))] {
		names = append(names, Describe(pid))
	}
	if more := len(pids) - most; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", ")
}
