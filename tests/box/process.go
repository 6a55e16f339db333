package box

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The tests read /proc by themselves: a mistake of the programs' reader must not
// be that of their judge, too.

// Process is a row of the process table: proc_pid_stat(5).
type Process struct {
	PID, PPID, PGID, SID, TTY int

	Threads int
	State   byte
	Start   int // Ticks after boot
	Comm    string
	Args    string // each ended by NUL; only Alive reads them
}

// Tick is the unit of start times, sysconf(_SC_CLK_TCK): 100 a second wherever
// Go runs.
const Tick = time.Second / 100

// PIDs lists all processes.
func PIDs() (pids []int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// Stat reads the row of one process. Whatever the error, it is not there.
func Stat(pid int) (p Process, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, err
	}
	line := string(text)
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')') // the name may have both
	p.PID, p.Comm, p.State = pid, line[open+1:end], line[end+2]
	var field [23]int // by the numbers of the manual page
	for i, text := range strings.Fields(line[end+3:])[:len(field)-4] {
		if field[4+i], err = strconv.Atoi(text); err != nil {
			return p, err
		}
	}
	p.PPID, p.PGID, p.SID, p.TTY = field[4], field[5], field[6], field[7]
	p.Threads, p.Start = field[20], field[22]
	return p, nil
}

// Zombie tells whether the process has ended and waits for its parent. Without
// its first thread alone it has not ended.
func (p Process) Zombie() bool { return (p.State == 'Z' || p.State == 'X') && p.Threads <= 1 }

// Environ is the environment that a process was given, empty in the middle of
// execve(2).
func Environ(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == 0 })
}

// Alive lists the processes in the box that live, but for its init and those
// of except.
func Alive(except ...int) (rows []Process) {
	for _, pid := range PIDs() {
		if pid == 1 || slices.Contains(except, pid) {
			continue
		}
		if p, err := Stat(pid); err == nil && !p.Zombie() {
			args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if p.Args = string(args); err == nil {
				rows = append(rows, p)
			}
		}
	}
	return rows
}

// Nothing waits a moment for the box to be empty, but for except. It returns
// who is there all the same.
func Nothing(except ...int) (left []Process) {
	for began := time.Now(); time.Since(began) < Patience/3; time.Sleep(time.Millisecond) {
		if left = Alive(except...); len(left) == 0 {
			return nil
		}
	}
	return left
}

// KillAll ends everything in the box but its init and except.
func KillAll(except ...int) {
	for left := Alive(except...); len(left) > 0; left = Alive(except...) {
		for _, p := range left {
			unix.Kill(p.PID, unix.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
}

// Names lists processes for a message.
func Names(rows ...Process) string {
	var names []string
	for _, p := range rows {
		args := strings.ReplaceAll(strings.TrimRight(p.Args, "\x00"), "\x00", " ")
		names = append(names, fmt.Sprintf("%d %c ppid %d pgid %d sid %d (%s) %.60s",
			p.PID, p.State, p.PPID, p.PGID, p.SID, p.Comm, args))
	}
	return strings.Join(names, "; ")
}

// Handle is a process that is held by a pidfd: whoever bears its number later
// is not met through it.
type Handle struct {
	Process
	fd int
}

// Pin gets hold of a process, a zombie too.
func Pin(pid int) (h *Handle, err error) {
	h = &Handle{}
	if h.fd, err = unix.PidfdOpen(pid, 0); err != nil {
		return nil, err
	}
	if h.Process, err = Stat(pid); err == nil {
		err = h.Signal(0) // or else it may have been a successor's row
	}
	if err != nil {
		unix.Close(h.fd)
		return nil, err
	}
	return h, nil
}

// Signal sends a signal, or with 0 asks whether the process is there.
func (h *Handle) Signal(sig unix.Signal) error {
	return unix.PidfdSendSignal(h.fd, sig, nil, 0)
}

// Wait waits at most so long for the process to end, and tells whether it has.
func (h *Handle) Wait(d time.Duration) bool {
	for deadline := time.Now().Add(d); ; {
		left := unix.NsecToTimespec(max(0, time.Until(deadline)).Nanoseconds())
		n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}}, &left, nil)
		if err != unix.EINTR {
			return n > 0
		}
	}
}

// Close lets it go.
func (h *Handle) Close() { unix.Close(h.fd) }
