package posix

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Watch follows a set of processes, which may grow, until nobody in it lives.
// One living member at a time is pinned and waited for: to move on to another
// costs a few system calls, however large the set is, and no limit on
// descriptors is met.
type Watch struct {
	Has   func(*Handle) bool    // whether a process is in the set; its Start and Kernel may not be known yet
	Group *Group                // all of the set is in this group; nil: List tells who it is
	List  func() ([]int, error) // who is in the set now, zombies too
	Known []int                 // members to look at before the set is listed, the last one first

	Member *Handle // the one that is waited for, perhaps without Start and Kernel; nil: none is known to live
	Gone   bool    // none lives, and that is sure
	Err    error   // the process table cannot be read

	first  *Handle // the member that Begin got
	listed []int   // the last list, if nobody on it lived; else nil
}

// Begin has the watch wait for a member first that is pinned already. It stays
// the caller's to close.
func (w *Watch) Begin(first *Handle) {
	if w.Has(first) {
		w.first, w.Member = first, first
	}
}

// Close lets go of the process that is waited for.
func (w *Watch) Close() {
	if w == nil {
		return
	}
	if w.Member != w.first {
		w.Member.Close()
	}
	w.Member = nil
}

// look moves on to another member that lives, if the one waited for does not.
// It sets Gone if there is none, and neither if it takes another round to tell.
func (w *Watch) look(r *round) {
	if w.Member != nil {
		if !w.Member.Exited() {
			return
		}
		// Most often this was the last one, and its parent reaps it now:
		// then nobody has to look through the process table.
		if len(w.Known) == 0 && w.Group != nil && !w.Group.Empty() {
			w.Member.waitReaped(time.Until(r.patience))
		}
		w.Close()
	}
	for listed := false; ; listed = true {
		for n := len(w.Known) - 1; n >= 0; n-- {
			pid := w.Known[n]
			w.Known = w.Known[:n]
			if w.Member = w.pin(pid); w.Member != nil {
				w.listed = nil
				return
			}
		}
		if w.Gone = w.Group != nil && w.Group.Empty(); w.Gone || listed {
			return
		}
		var list []int
		if w.Group != nil {
			list, w.Err = r.members(w.Group.ID)
		} else {
			list, w.Err = w.List()
		}
		// Listings of /proc are not atomic: a member may fork behind the
		// reader's back and end. The set is empty if two successive lists are
		// equal and everyone on the first was dead before the second was begun.
		w.Gone = w.Err == nil && w.listed != nil && slices.Equal(list, w.listed)
		if w.Gone || w.Err != nil {
			return
		}
		w.Known, w.listed = list, list
	}
}

// pin pins a process if it is a member and lives, and else returns nil.
func (w *Watch) pin(pid int) *Handle {
	h, err := open(pid)
	if err != nil {
		return nil
	}
	if w.Has(h) && !h.Exited() {
		return h
	}
	h.Close()
	return nil
}

// round is one look at some watches, and what it may cost them together.
type round struct {
	patience time.Time     // until when to wait for parents to reap
	groups   map[int][]int // members by group; nil: not read yet
	vanished []int         // before they could be asked for their group
	err      error
}

// members is Group.Members, with one look at the process table for all groups. A
// list of nobody is nil: members may be hidden (proc(5), hidepid), and only
// Empty tells that there are none.
func (r *round) members(pgid int) ([]int, error) {
	if r.groups == nil {
		r.groups = map[int][]int{}
		var pids []int
		pids, r.err = EveryPID()
		for _, pid := range pids {
			if id, err := unix.Getpgid(pid); err == nil {
				r.groups[id] = append(r.groups[id], pid)
			} else if err == unix.ESRCH {
				r.vanished = append(r.vanished, pid)
			}
		}
	}
	list := slices.Concat(r.groups[pgid], r.vanished)
	slices.Sort(list)
	return list, r.err
}

// longestDoubt is how long Await goes on after its deadline to be sure of each
// watch. Members may come and go so fast that it cannot be.
const longestDoubt = time.Second

// Await returns when some of the watches are Gone, or fail, or the deadline has
// passed, whichever is first. It looks at least once, and after the deadline goes
// on, for longestDoubt at most, until each watch has a living Member or is Gone.
func Await(deadline time.Time, watches ...*Watch) {
	members := make([]*Handle, 0, len(watches))
	for unsure := 0; ; {
		members = members[:0]
		over, sure := false, true
		r := &round{patience: time.Now().Add(time.Millisecond)}
		for _, w := range watches {
			switch w.look(r); {
			case w.Gone || w.Err != nil:
				over = true
			case w.Member != nil:
				members = append(members, w.Member)
			default:
				sure = false
			}
		}
		left := time.Until(deadline)
		switch {
		case over, sure && left <= 0, left < -longestDoubt:
			return
		case sure:
			unsure = 0
			waitAny(members, left)
		case unsure < 8: // most often the next round is sure
			unsure++
		default:
			waitAny(members, time.Millisecond)
		}
	}
}
