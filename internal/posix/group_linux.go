package posix

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Group is a process group, known by its leader where that still is there.
type Group struct {
	ID     int
	Leader *Handle // nil: it was gone from the start
}

// Signal sends sig to every member. It succeeds when one member could be
// signalled (kill(2)); EPERM: none; ESRCH: the group is empty.
func (g *Group) Signal(sig unix.Signal) error {
	if g.Leader != nil {
		return g.Leader.signalGroup(sig)
	}
	return unix.Kill(-g.ID, sig)
}

// Empty tells, without looking through the process table, that nothing is
// left, not even a zombie. False says nothing.
func (g *Group) Empty() bool {
	return g.Signal(0) == unix.ESRCH
}

// Members are the processes of the group, zombies among them.
func (g *Group) Members() ([]int, error) {
	return Matching(unix.Getpgid, g.ID)
}

// Has tells whether a process is in the group.
func (g *Group) Has(pid int) bool {
	id, err := unix.Getpgid(pid)
	return err == nil && id == g.ID
}

// ErrFleeting says that nobody of a group lived long enough to be looked at.
var ErrFleeting = errors.New("its members come and go too fast")

// Member pins the first living member for which is holds; the caller closes
// it. Without one it returns nil, and others says whether there are members at
// all.
func (g *Group) Member(is func(*Handle) bool) (h *Handle, others bool, err error) {
	var last []int
	for began := time.Now(); time.Since(began) < time.Second; {
		if g.Empty() {
			return nil, false, nil
		}
		all, err := EveryPID()
		if err != nil {
			return nil, false, err
		}
		var members []int
		for _, pid := range slices.Backward(all) { // the newest first: it may not last
			if pgid, err := unix.Getpgid(pid); pgid != g.ID && err != unix.ESRCH {
				continue
			}
			members = append(members, pid) // it may have been one, if it vanished
			h, err := Pin(pid)
			if err != nil {
				continue
			}
			if g.Has(pid) && !h.Exited() {
				if is(h) && !h.Exited() {
					return h, false, nil
				}
				others = others || !h.Exited()
			}
			h.Close()
		}
		if others || len(members) > 0 && slices.Equal(members, last) {
			return nil, others, nil
		}
		last = members
	}
	return nil, false, ErrFleeting
}

// Matching are the processes whose group or session, as get tells it, is id.
// One that vanished before it could be asked counts too: it may have been
// one, and have left a child that the list missed.
func Matching(get func(pid int) (int, error), id int) ([]int, error) {
	all, err := EveryPID()
	if err != nil {
		return nil, err
	}
	some := all[:0]
	for _, pid := range all {
		if got, err := get(pid); got == id || err == unix.ESRCH {
			some = append(some, pid)
		}
	}
	return some, nil
}

// EveryPID is PIDs, and where /proc hides the processes of others (proc(5),
// hidepid), init first of all, whatever number the kernel knows: threads too.
func EveryPID() ([]int, error) {
	pids, err := PIDs()
	if err != nil || pids[0] == 1 {
		return pids, err
	}
	most := MaxPID
	if text, err := os.ReadFile(ProcRoot + "/sys/kernel/pid_max"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			most = min(most, n)
		}
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
	task := ProcRoot + "/" + strconv.Itoa(pid) + "/task"
	tids := []int{pid}
	var st unix.Stat_t // a directory has a link to it from each in it
	if unix.Stat(task, &st) != nil || st.Nlink != 3 {
		if tids, err = numbersIn(unix.AT_FDCWD, task, make([]byte, 4096)); err != nil {
			return nil, err
		}
	}
	buf := make([]byte, 512)
	for _, tid := range tids {
		fd, err := unix.Open(task+"/"+strconv.Itoa(tid)+"/children", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		got := 0 // a read gives no more than a page, and may cut a number in two
		for {
			n, err := unix.Read(fd, buf[got:])
			if err != nil || n == 0 {
				break
			}
			if got += n; got == len(buf) {
				buf = append(buf, make([]byte, got)...)
			}
		}
		unix.Close(fd)
		for child, b, ok := number(buf[:got]); ok; child, b, ok = number(b) {
			list = append(list, int(child))
		}
	}
	return list, nil
}

// End sends sig to the group and, after each wait, the next one, until it is
// gone. It tells whether it is. It is daemonize's way to clean up.
func (g *Group) End(steps ...Step) bool {
	w := g.Watch()
	defer w.Close()
	for _, s := range steps {
		if g.Signal(s.Signal) == unix.ESRCH {
			return true
		}
		g.Signal(unix.SIGCONT) // a stopped member acts on nothing but KILL
		Await(time.Now().Add(s.Wait), w)
		if w.Gone {
			return true
		}
	}
	return false
}

// Step is one signal of a schedule and the longest wait after it.
type Step struct {
	Signal unix.Signal
	Wait   time.Duration
}

// Watch follows a set of processes, which may grow, until no member lives.
// One member at a time is pinned and waited for: whoever is next costs a few
// system calls, however many there are, and no limit on descriptors is met.
type Watch struct {
	Has   func(pid int) bool    // whether a process is in the set
	List  func() ([]int, error) // who is in the set now, zombies too
	Group int                   // instead of List: the set is in this group
	Empty func() bool           // may say cheaply that nobody is; or nil
	Gone  bool
	Err   error // of List: the process table cannot be read

	now        *Handle // waited for
	rest, last []int   // of the last list: not looked at yet, and all of it
	unsure     int     // how often in a row nobody could be found alive
}

// Watch follows the group, beginning with its leader.
func (g *Group) Watch() *Watch {
	w := &Watch{Has: g.Has, Group: g.ID, Empty: g.Empty}
	if g.Leader != nil {
		w.Begin(g.Leader.PID)
	}
	return w
}

// Begin names processes to wait for before the set is listed at all.
func (w *Watch) Begin(pids ...int) { w.rest = append(w.rest, pids...) }

// PID is the process that is waited for now, or 0.
func (w *Watch) PID() int {
	if w.now == nil {
		return 0
	}
	return w.now.PID
}

// next moves on to a member that lives, if the one waited for does not. It
// sets Gone if there is none, and neither if it takes another pass to tell.
func (w *Watch) next(p *pass) {
	if w.now != nil {
		if !w.now.Exited() {
			return
		}
		// Most often this was the last one, and its parent reaps it now:
		// then nobody has to look through the process table.
		if len(w.rest) == 0 && w.Empty != nil && !w.Empty() {
			w.now.reaped(time.Until(p.patience))
		}
		w.Close()
	}
	if w.find() {
		return
	}
	if w.Gone = w.Empty != nil && w.Empty(); w.Gone {
		return
	}
	var list []int
	if w.Group != 0 {
		list, w.Err = p.members(w.Group)
	} else {
		list, w.Err = w.List()
	}
	// A list is no snapshot: a member may fork behind its back and end. Two
	// alike, the second made when all of the first were dead, is the end.
	w.Gone = w.Err == nil && w.last != nil && slices.Equal(list, w.last)
	if w.Err == nil && !w.Gone {
		w.rest, w.last = list, list
		w.find()
	}
}

// find looks for a member that lives in what is left of the last list.
func (w *Watch) find() bool {
	for len(w.rest) > 0 {
		pid := w.rest[0]
		w.rest = w.rest[1:]
		h, err := open(pid)
		if err == nil && h.fd < 0 {
			h, err = Pin(pid) // then it takes the start time
		}
		if err != nil {
			continue
		}
		if w.Has(pid) && !h.Exited() {
			w.now, w.last, w.unsure = h, nil, 0
			return true
		}
		h.Close()
	}
	w.unsure++
	return false
}

// pass is one look at all the watches, and what it may cost them together.
type pass struct {
	patience time.Time // until when to wait for parents to reap
	groups   map[int][]int
	vanished []int // which may have been of any group, see Matching
	err      error
}

// members is Group.Members, with one look at the process table for all groups.
func (p *pass) members(pgid int) ([]int, error) {
	if p.groups == nil {
		p.groups = map[int][]int{}
		var pids []int
		pids, p.err = EveryPID()
		for _, pid := range pids {
			if id, err := unix.Getpgid(pid); err == nil {
				p.groups[id] = append(p.groups[id], pid)
			} else if err == unix.ESRCH {
				p.vanished = append(p.vanished, pid)
			}
		}
	}
	list := slices.Concat(p.groups[pgid], p.vanished)
	slices.Sort(list)
	return list, p.err
}

// Close lets go of the process that is waited for.
func (w *Watch) Close() {
	w.now.Close()
	w.now = nil
}

// Await returns when some of the watches turn out to be gone or the deadline
// has passed, whichever is first.
func Await(deadline time.Time, watches ...*Watch) {
	handles := make([]*Handle, 0, len(watches))
	for {
		handles = handles[:0]
		left := time.Until(deadline)
		over, again := false, false
		p := &pass{patience: time.Now().Add(time.Millisecond)}
		for _, w := range watches {
			switch w.next(p); {
			case w.Gone || w.Err != nil:
				over = true
			case w.now != nil:
				handles = append(handles, w.now)
			case w.unsure < 8:
				again = true // also after the deadline
			default: // members come and go too fast
				left = min(left, time.Millisecond)
			}
		}
		switch {
		case over:
			return
		case again:
		case !time.Now().Before(deadline):
			return
		default:
			waitAny(handles, left)
		}
	}
}
