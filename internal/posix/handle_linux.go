package posix

import (
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Handle is a pinned process: whatever is done through it is done to that
// process or fails with ESRCH, also after its number has gone to another.
type Handle struct {
	PID    int
	Start  uint64 // clock ticks after boot; 0 where /proc hides the process
	Kernel bool   // it is a kernel thread
	fd     int    // pidfd, or -1 on kernels before 5.3: then Start has to do
}

// pollInterval is how often the state of a process is looked at where there
// is no pidfd to wait on.
const pollInterval = 10 * time.Millisecond

// OwnProc tells whether /proc shows the caller's PID namespace. In another's
// the same numbers mean other processes.
func OwnProc() bool { return self() == os.Getpid() }

// self is the caller's number in /proc, which may be of an outer PID namespace;
// 0 if it has none there.
func self() int {
	link, _ := os.Readlink(ProcRoot + "/self")
	pid, _ := strconv.Atoi(link)
	return pid
}

// Pin gets hold of a process, a zombie too. ESRCH: there is none, or the
// number is that of a thread.
func Pin(pid int) (*Handle, error) {
	h, err := open(pid)
	if err != nil {
		return nil, err
	}
	if err := h.identify(); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// open is Pin without Start and Kernel, unless there is no pidfd.
func open(pid int) (*Handle, error) {
	if pid < 1 { // kill(2) takes those for many
		return nil, unix.ESRCH
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		return &Handle{PID: pid, fd: fd}, nil
	}
	// An old kernel, a seccomp filter, a shortage: go by numbers. Tgkill(2)
	// tells a process from a thread, whatever /proc hides.
	if err == unix.ESRCH || unix.Tgkill(pid, pid, 0) == unix.ESRCH {
		return nil, unix.ESRCH
	}
	h := &Handle{PID: pid, fd: -1}
	if err := h.identify(); err != nil {
		return nil, err
	}
	return h, nil
}

// identify finds out Start and Kernel. ESRCH: the process was reaped.
func (h *Handle) identify() error {
	stat, err := ReadStat(h.PID)
	h.Start, h.Kernel = stat.Start, stat.Kernel()
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EPERM) {
		return err
	}
	// Without an error the row may be that of a successor. Otherwise the
	// process may only be hidden (proc(5), hidepid).
	if h.Signal(0) == unix.ESRCH {
		return unix.ESRCH
	}
	return nil
}

// Signal sends sig, or only checks with 0. ESRCH: it was reaped.
func (h *Handle) Signal(sig unix.Signal) error {
	if done, err := h.signalBy(0, sig); done {
		return err
	}
	if !h.keepsNumber() {
		return unix.ESRCH
	}
	return unix.Kill(h.PID, sig)
}

// signalBy is pidfd_send_signal(2). Not done: that takes another way, as this
// kernel, or a filter of system calls, does not have it.
func (h *Handle) signalBy(flags int, sig unix.Signal) (done bool, err error) {
	if h.fd >= 0 {
		err = unix.PidfdSendSignal(h.fd, sig, nil, flags)
		done = err == nil || err == unix.ESRCH || err == unix.EPERM
	}
	return done, err
}

// keepsNumber tells, without a pidfd, whether the number still is the process's.
func (h *Handle) keepsNumber() bool {
	stat, _ := ReadStat(h.PID) // where /proc hides the process, Start is 0, as it was before
	return stat.Start == h.Start
}

// Exited tells whether the process has ended, reaped or not. A zombie leader
// whose other threads run has not.
func (h *Handle) Exited() bool {
	if h.fd >= 0 {
		return h.poll(unix.POLLIN, 0)
	}
	stat, err := ReadStat(h.PID)
	if err != nil {
		return unix.Tgkill(h.PID, h.PID, 0) == unix.ESRCH
	}
	return stat.Start != h.Start && h.Start != 0 || stat.Zombie()
}

// Lives tells whether a process is there that has not ended. As the leader of
// a group or session its number cannot go to another while there are members.
func Lives(pid int) bool {
	h, err := Pin(pid)
	if err != nil {
		return false
	}
	defer h.Close()
	return !h.Exited()
}

// Wait waits at most so long for the process to end, and tells whether it has.
func (h *Handle) Wait(d time.Duration) bool {
	for deadline := time.Now().Add(d); !h.Exited(); {
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		waitAny([]*Handle{h}, left)
	}
	return true
}

// WaitEnd waits for the process to end. False: this kernel cannot tell of it,
// and somebody would have to look again and again.
func (h *Handle) WaitEnd() bool {
	return h.fd >= 0 && h.Wait(math.MaxInt64)
}

// Reap takes the status of a child that has Exited. Who traces it (ptrace(2)) is
// to take it first, and may never: then it is read where /proc tells it.
func (h *Handle) Reap() (status unix.WaitStatus, err error) {
	pid, err := unix.Wait4(h.PID, &status, unix.WNOHANG, nil)
	if err != nil || pid == h.PID {
		return status, err
	}
	line, err := readFile(procDir(h.PID) + "/stat")
	if err != nil {
		return 0, err
	}
	text := strings.TrimSpace(string(line))
	code, err := strconv.Atoi(text[strings.LastIndexByte(text, ' ')+1:]) // exit_code is the last field
	return unix.WaitStatus(code), err
}

// waitReaped waits at most so long for the process's parent to reap it. Kernels
// that do not tell (POLLHUP on a pidfd came with 6.9) take the whole time.
func (h *Handle) waitReaped(d time.Duration) {
	if h.fd >= 0 {
		h.poll(0, d) // POLLHUP needs no asking for
	}
}

// poll waits at most so long for one of the events on the pidfd, see
// pidfd_open(2), and tells whether there is one.
func (h *Handle) poll(events int16, d time.Duration) bool {
	return poll([]unix.PollFd{{Fd: int32(h.fd), Events: events}}, d) > 0
}

// Close lets the process go.
func (h *Handle) Close() {
	if h != nil && h.fd >= 0 {
		unix.Close(h.fd)
		h.fd = -1
	}
}

// waitAny waits at most so long for one of the processes to end.
func waitAny(handles []*Handle, d time.Duration) {
	fds := make([]unix.PollFd, 0, len(handles))
	for _, h := range handles {
		if h.fd >= 0 {
			fds = append(fds, unix.PollFd{Fd: int32(h.fd), Events: unix.POLLIN})
		} else {
			d = min(d, pollInterval)
		}
	}
	poll(fds, d)
}

// longestPoll fits into the 32 bits that a timespec has for the seconds on
// 32-bit CPUs. The kernel refuses the negative number that more would become.
const longestPoll = math.MaxInt32 * time.Second

// poll is ppoll(2), whose clock is finer than poll's millisecond. It may return
// early, by a signal or after longestPoll (68 years): callers look at the clock and
// call again.
func poll(fds []unix.PollFd, d time.Duration) int {
	ts := unix.NsecToTimespec(min(max(0, d), longestPoll).Nanoseconds())
	n, _ := unix.Ppoll(fds, &ts, nil)
	return n
}
