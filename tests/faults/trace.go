//go:build amd64 || arm64

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"procgroup/tests/box"
)

// fault is what happens at one stop of a run.
type fault struct {
	kind    kind
	errno   unix.Errno // of kind fail
	runtime bool       // at a call of the runtime's, not of the program's
	at      int        // the number of the call among those, from 1; all threads count
	after   bool       // of kind kill: when the call is through
}

type kind byte

const (
	nothing kind = iota
	fail         // the call fails
	kill         // its process is killed
	stop         // its process is stopped for a moment
)

func (f fault) String() string {
	name, whose, after := unix.ErrnoName(f.errno), "", ""
	switch f.kind {
	case nothing:
		return "no fault"
	case kill:
		name = "KILL"
	case stop:
		name = "STOP"
	}
	if f.runtime {
		whose = "r"
	}
	if f.after {
		after = "+"
	}
	return fmt.Sprintf("%s@%s%d%s", name, whose, f.at, after)
}

// hit is the system call at which the fault was.
type hit struct {
	done    bool
	nr      uint64
	args    [6]uint64
	stack   []string
	in      int  // the process
	runtime bool // the runtime's own call
	exempt  bool // one that cannot fail, and so did not
}

// outcome is what a run came to.
type outcome struct {
	pid    int
	status unix.WaitStatus
	stderr string
	hit    hit
	hung   bool
	became bool // the process became the command: its status is not daemonize's
}

// thread is a thread that is traced.
type thread struct {
	process int
	result  int  // to set at the exit of its call
	pending bool // there is one
	kill    bool // when its call is through
}

// tracer runs one program with faults. All of it is for one system thread.
type tracer struct {
	program string
	symbols *symbols
	spare   int    // not to be killed where a run hangs
	profile []call // of the last run with fault nothing
}

// call is a system call that a run made.
type call struct {
	nr      uint64
	runtime bool // the runtime's own
}

// deadline is for a whole run: more than any of the scenarios waits (20 s, for -n).
const deadline = box.Patience

const traceOptions = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEFORK |
	unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL

func ptrace(request, tid int, address, data uintptr) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), address, data, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// spawn starts a program, traced and stopped at its first instruction.
func spawn(program string, argv []string, lead, traced bool) (pid int, err error) {
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	errs, err := os.Create(errorFile)
	if err != nil {
		return 0, err
	}
	defer errs.Close()
	return syscall.ForkExec(program, argv, &syscall.ProcAttr{
		Env:   environment,
		Files: []uintptr{null.Fd(), null.Fd(), errs.Fd()},
		Sys:   &syscall.SysProcAttr{Ptrace: traced, Setpgid: lead},
	})
}

var environment = []string{"PATH=/usr/bin:/bin", "HOME=/root", "LC_ALL=C"}

const errorFile = "stderr"

// run runs the program with one fault, until nothing of it is traced any more:
// its own processes have ended, and the command it started was let go.
// A supervisor does not end: it is let go when it has started the command so
// many times and its original has returned.
func (t *tracer) run(argv []string, lead bool, starts int, f fault) (o outcome, err error) {
	if o.pid, err = spawn(t.program, argv, lead, true); err != nil {
		return o, err
	}
	if err := seize(o.pid); err != nil {
		unix.Kill(o.pid, unix.SIGKILL)
		return o, fmt.Errorf("cannot trace: %w", err)
	}
	var hung atomic.Bool
	expired := time.AfterFunc(deadline, func() {
		hung.Store(true)
		for _, p := range box.Alive(t.spare) {
			unix.Kill(p.PID, unix.SIGKILL)
		}
	})
	defer expired.Stop()
	threads := map[int]*thread{o.pid: {process: o.pid}}
	count := 0
	commands, returned, letGo := 0, false, false
	t.profile = nil
	for len(threads) > 0 || t.unseen() {
		if starts > 0 && returned && commands >= starts && !letGo {
			letGo = true
			for tid := range threads {
				ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0)
			}
		}
		var status unix.WaitStatus
		tid, err := unix.Wait4(-1, &status, unix.WALL, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return o, fmt.Errorf("wait: %w", err)
		}
		if !status.Stopped() {
			if delete(threads, tid); tid == o.pid {
				o.status, returned = status, true
			}
			continue
		}
		th := threads[tid]
		if th == nil {
			th = &thread{process: process(tid)}
			threads[tid] = th
		}
		request, signal := unix.PTRACE_SYSCALL, 0
		switch event := int(status) >> 16; {
		case event == unix.PTRACE_EVENT_STOP && status.StopSignal() != unix.SIGTRAP:
			request = unix.PTRACE_LISTEN // a real stop: until SIGCONT
		case event == unix.PTRACE_EVENT_EXEC:
			// Whichever thread it was, now it is the first, and the only one.
			if former := eventMessage(tid); former != tid {
				delete(threads, former)
			}
			if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", tid)); exe != t.program {
				request = unix.PTRACE_DETACH
				delete(threads, tid)
				commands++
				o.became = o.became || tid == o.pid
			}
		case event != 0: // the news of a clone, or its first stop
		case status.StopSignal() == unix.SIGTRAP|0x80:
			t.call(tid, th, f, &count, &o.hit)
		default:
			signal = int(status.StopSignal())
		}
		if letGo && request == unix.PTRACE_SYSCALL && !th.pending && !th.kill {
			request = unix.PTRACE_DETACH
			delete(threads, tid)
		}
		ptrace(request, tid, 0, uintptr(signal)) // ESRCH: it was killed
	}
	text, _ := os.ReadFile(errorFile)
	o.stderr, o.hung = string(text), hung.Load()
	return o, nil
}

// seize makes a child that is stopped by PTRACE_TRACEME one that was seized:
// only then a SIGSTOP to it can be watched.
func seize(pid int) error {
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		return err
	}
	if err := ptrace(unix.PTRACE_DETACH, pid, 0, uintptr(unix.SIGSTOP)); err != nil {
		return err
	}
	if _, err := unix.Wait4(pid, &status, unix.WUNTRACED, nil); err != nil {
		return err
	}
	if err := ptrace(unix.PTRACE_SEIZE, pid, 0, traceOptions); err != nil {
		return err
	}
	return unix.Kill(pid, unix.SIGCONT)
}

// process is the one that a thread belongs to.
func process(tid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	_, rest, _ := strings.Cut(string(text), "\nTgid:")
	tgid := tid
	fmt.Sscan(rest, &tgid)
	return tgid
}

// syscallInfo is struct ptrace_syscall_info, ptrace(2).
type syscallInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	ip   uint64
	sp   uint64
	nr   uint64 // at an entry
	args [6]uint64
	_    [4]uint64
}

const atEntry = 1

// call acts at the entry or exit of a system call.
func (t *tracer) call(tid int, th *thread, f fault, count *int, h *hit) {
	var info syscallInfo
	if ptrace(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info))) != nil {
		return
	}
	if info.op != atEntry {
		if th.pending {
			setResult(tid, th.result)
			th.pending = false
		}
		if th.kill {
			unix.Kill(th.process, unix.SIGKILL)
			th.kill = false
		}
		return
	}
	c := call{info.nr, runtimes(t.symbols.stack(tid, info.ip, info.sp, 3))}
	if f.kind == nothing {
		t.profile = append(t.profile, c)
	}
	if c.runtime != f.runtime {
		return
	}
	if *count++; *count != f.at {
		return
	}
	h.done, h.in = true, th.process
	h.nr, h.args = info.nr, info.args
	h.stack = t.symbols.stack(tid, info.ip, info.sp, 24)
	h.runtime = c.runtime
	switch f.kind {
	case kill:
		if th.kill = f.after; !f.after {
			unix.Kill(th.process, unix.SIGKILL)
		}
	case stop:
		if h.nr == unix.SYS_EXECVE {
			break // it would stop the command, which then is an orphan: SIGHUP
		}
		unix.Kill(th.process, unix.SIGSTOP)
		pid := th.process
		time.AfterFunc(2*time.Millisecond, func() { unix.Kill(pid, unix.SIGCONT) })
	case fail:
		if h.exempt = !canFail(h.nr, f.errno) || h.impossible(f.errno); h.exempt {
			break
		}
		if h.nr != unix.SYS_CLOSE { // which closes, whatever it says
			skipCall(tid)
		}
		th.result, th.pending = -int(f.errno), true
	}
}

// eventMessage is the news that comes with a stop.
func eventMessage(tid int) int {
	var message uint64
	ptrace(unix.PTRACE_GETEVENTMSG, tid, 0, uintptr(unsafe.Pointer(&message)))
	return int(message)
}

// unseen tells whether a thread is traced that has not reported yet: whoever
// made it was killed, has crashed or was let go meanwhile. Nobody would ever
// let it go on.
func (t *tracer) unseen() bool {
	for _, p := range box.Alive(t.spare) {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.PID))
		for _, task := range tasks {
			text, err := os.ReadFile(task)
			if err == nil && !strings.Contains(string(text), "\nTracerPid:\t0\n") {
				return true
			}
		}
	}
	return false
}

// possible are the errors that a call can have whose arguments are right, for
// calls where that is not any. Only those count that the machine's state or a
// signal brings about: EFAULT, EINVAL, EBADF, ESRCH and what else a manual page
// says of wrong arguments is none of them, nor is ENOMEM where it means a buffer
// that is too small (sigaltstack(2)), nor EAGAIN where signals of the caller's
// own would have to fill a queue (tgkill(2)). Nil: it has none, or does not return.
var possible = map[uint64][]unix.Errno{
	unix.SYS_EXIT: nil, unix.SYS_EXIT_GROUP: nil, unix.SYS_RT_SIGRETURN: nil, unix.SYS_RESTART_SYSCALL: nil,
	unix.SYS_GETPID: nil, unix.SYS_GETPPID: nil, unix.SYS_GETTID: nil, unix.SYS_GETSID: nil, unix.SYS_GETPGID: nil,
	unix.SYS_GETUID: nil, unix.SYS_GETEUID: nil, unix.SYS_GETGID: nil, unix.SYS_GETEGID: nil, unix.SYS_UMASK: nil,
	unix.SYS_RT_SIGACTION: nil, unix.SYS_RT_SIGPROCMASK: nil, unix.SYS_SIGALTSTACK: nil, unix.SYS_TGKILL: nil,
	unix.SYS_SCHED_YIELD: nil, unix.SYS_SCHED_GETAFFINITY: nil, unix.SYS_SHUTDOWN: nil,
	unix.SYS_WAIT4: {unix.EINTR}, unix.SYS_WAITID: {unix.EINTR}, unix.SYS_NANOSLEEP: {unix.EINTR},
	unix.SYS_EPOLL_PWAIT: {unix.EINTR}, unix.SYS_FUTEX: {unix.EINTR, unix.EAGAIN},
}

func canFail(nr uint64, errno unix.Errno) bool {
	list, limited := possible[nr]
	return !limited || slices.Contains(list, errno)
}

// impossible are errors that a call cannot have with such arguments, and some
// that are no errors but an answer.
func (h *hit) impossible(errno unix.Errno) bool {
	switch h.nr {
	case unix.SYS_READ:
		// A pipe has none but EINTR, and the standard library trusts in
		// that where it waits for execve(2).
		if file, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", h.in, h.args[0])); strings.HasPrefix(file, "pipe:") {
			return errno != unix.EINTR
		}
	case unix.SYS_FLOCK, unix.SYS_FCNTL:
		if h.nr == unix.SYS_FCNTL && slices.Contains([]uint64{unix.F_GETFD, unix.F_SETFD, unix.F_GETFL}, h.args[1]) {
			return true // of a descriptor that is open
		}
		return errno == unix.EAGAIN // somebody else's lock
	}
	return false
}

// plain runs a program without faults, and returns its status.
func plain(program string, args ...string) (status int, stderr string) {
	argv := append([]string{program[strings.LastIndexByte(program, '/')+1:]}, args...)
	pid, err := spawn(program, argv, false, false)
	if err != nil {
		return -1, err.Error()
	}
	hung := time.AfterFunc(deadline, func() { unix.Kill(pid, unix.SIGKILL) })
	defer hung.Stop()
	var how unix.WaitStatus
	for err = unix.EINTR; err == unix.EINTR; {
		_, err = unix.Wait4(pid, &how, 0, nil)
	}
	reap()
	text, _ := os.ReadFile(errorFile)
	switch {
	case err != nil:
		return -1, err.Error()
	case !how.Exited():
		return -1, fmt.Sprintf("killed by %v (it hung?): %s", how.Signal(), text)
	}
	return how.ExitStatus(), string(text)
}
