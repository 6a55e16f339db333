package posix

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// PIDs lists the processes that /proc shows, in ascending order. That there are
// none is an error: then /proc is something else.
func PIDs() ([]int, error) {
	list, err := idsIn(ProcRoot)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: ProcRoot, Err: err}
	}
	list = slices.DeleteFunc(list, func(n int) bool { return n == 0 }) // no process's number
	if len(list) == 0 {
		return nil, &os.PathError{Op: "read", Path: ProcRoot, Err: errors.New("no processes: not mounted?")}
	}
	return list, nil
}

// EveryPID lists all processes in ascending order. Where /proc hides those of others
// (hidepid, proc(5)), and so process 1, the kernel is asked for every number
// instead: then threads are listed too.
func EveryPID() ([]int, error) {
	pids, err := PIDs()
	if err != nil || pids[0] == 1 {
		return pids, err
	}
	most := MaxPID
	text, _ := readFile(ProcRoot + "/sys/kernel/pid_max")
	if n, _, ok := number(text); ok {
		most = min(most, int(n))
	}
	pids = pids[:0]
	for pid := 1; pid <= most; pid++ {
		if _, err := unix.Getpgid(pid); err != unix.ESRCH {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Children are the processes that a thread of pid is the parent of. Not every
// kernel can tell: proc_pid_task(5), children.
func Children(pid int) (list []int, err error) {
	task := procDir(pid) + "/task"
	tids := []int{pid}
	var st unix.Stat_t // 2 links, and one more for each thread: 3 is the first thread alone
	if unix.Stat(task, &st) != nil || st.Nlink != 3 {
		if tids, err = idsIn(task); err != nil {
			return nil, err
		}
	}
	for _, tid := range tids {
		text, err := readFile(task + "/" + strconv.Itoa(tid) + "/children")
		if err != nil {
			return nil, err
		}
		for child, b, ok := number(text); ok; child, b, ok = number(b) {
			list = append(list, int(child))
		}
	}
	return list, nil
}

// Table reads the rows of pids, in their order. Processes that have vanished
// are left out. So are those that the kernel does not let this user read, and
// denied tells whether there are any (hidepid, proc(5)); and rows that make no
// sense: err names the first of these and counts the others.
func Table(pids []int) (rows []Process, denied bool, err error) {
	rows = make([]Process, len(pids))
	errs := make([]error, len(pids))
	inHalves(len(pids), func(i int) { rows[i], errs[i] = ReadStat(pids[i]) })
	read, malformed := rows[:0], 0
	for i, e := range errs {
		switch {
		case e == nil:
			read = append(read, rows[i])
		case errors.Is(e, unix.ESRCH):
		case errors.Is(e, fs.ErrPermission):
			denied = true
		case err == nil:
			err = e
		default:
			malformed++
		}
	}
	if malformed > 0 {
		err = fmt.Errorf("%w (and %d more)", err, malformed)
	}
	return read, denied, err
}

// inHalves calls work for each number below n, for the upper half of them in
// another goroutine: the kernel spends its time on each process in turn, so
// two readers are nearly twice as fast.
func inHalves(n int, work func(i int)) {
	var upper sync.WaitGroup
	upper.Go(func() {
		for i := n / 2; i < n; i++ {
			work(i)
		}
	})
	for i := range n / 2 {
		work(i)
	}
	upper.Wait()
}

// ReadStat reads the row of one process, or thread. For one that is not there
// the error is unix.ESRCH.
func ReadStat(pid int) (Process, error) { return readStat(procDir(pid)) }

// procDir is the directory of a process in /proc.
func procDir(pid int) string { return ProcRoot + "/" + strconv.Itoa(pid) }

// readStat reads the row of the process, or thread, that has this directory.
func readStat(dir string) (p Process, err error) {
	var buf [bufSize]byte
	line, err := readProc(dir+"/stat", buf[:])
	if err == nil {
		err = parseStat(line, &p)
	}
	if vanished(err) {
		err = unix.ESRCH
	}
	if err != nil {
		return Process{}, &os.PathError{Op: "read", Path: dir + "/stat", Err: err}
	}
	return p, nil
}

// Fill reads more than stat of processes that Table has read. What cannot be
// read stays empty. One that has vanished meanwhile gets the state X, dead.
func Fill(rows []*Process, fields Fields) {
	if fields != 0 {
		inHalves(len(rows), func(i int) { rows[i].fill(fields) })
	}
}

// fill reads the fields of one process in one visit.
func (p *Process) fill(fields Fields) {
	var buf [bufSize]byte
	dir := procDir(p.PID)
	get := func(name string) []byte {
		content, err := readProc(dir+name, buf[:])
		if vanished(err) {
			p.State = 'X'
		}
		return content
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

// ThreadRows reads the rows of the process's threads other than its first, as
// far as they can be read. What belongs to the process is copied from it.
func ThreadRows(p *Process) (rows []Process) {
	task := procDir(p.PID) + "/task"
	tids, _ := idsIn(task)
	for _, tid := range tids {
		t, err := readStat(task + "/" + strconv.Itoa(tid))
		if tid != p.PID && err == nil {
			t.TGID, t.UID, t.RSS, t.Args, t.Cgroup = p.PID, p.UID, p.RSS, p.Args, p.Cgroup
			rows = append(rows, t)
		}
	}
	return rows
}

// ThreadGroup is the process that a thread belongs to, Tgid in
// proc_pid_status(5), or 0 if there is no such thread.
func ThreadGroup(tid int) (pid int) {
	status, _ := readFile(procDir(tid) + "/status")
	_, line, _ := bytes.Cut(status, []byte("\nTgid:\t"))
	n, _, _ := number(line)
	return int(n)
}

// bufSize holds most files of /proc, so that one read has all of it; mostBytes
// bounds what is kept of the others. Command lines have no limit of their own
// that is worth its memory.
const bufSize, mostBytes = 4096, 128 << 10

// readProc reads a file of a process into buf, or a larger buffer if it does not
// fit. It is readFile for the thousands of files of the whole table: one read(2)
// and no memory for each.
func readProc(path string, buf []byte) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for n := 0; ; {
		m, err := unix.Read(fd, buf[n:])
		if err != nil {
			return nil, err
		}
		// proc files give all they have at once: a short read is the end.
		if n += m; n < len(buf) || n >= mostBytes {
			return buf[:n], nil
		}
		buf = append(buf, make([]byte, len(buf))...)
	}
}

// vanished tells the two errors of a process that has ended: ENOENT for a name
// that is looked up, ESRCH for one already open (proc(5)).
func vanished(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
}

// idsIn lists the numeric names in a directory.
func idsIn(path string) ([]int, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return idsOf(fd)
}

// idsOf lists the numeric names in an open directory.
func idsOf(fd int) (list []int, err error) {
	buf := make([]byte, 1<<13)
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
	if unix.Stat(procDir(pid), &st) != nil {
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
