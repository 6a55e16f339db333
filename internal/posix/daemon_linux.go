package posix

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// This file is the rule by which all programs tell whose a pidfile is. The
// methods of question stand in the order in which they are asked.

// Answer is the answer to the one question about a pidfile: who is its daemon,
// and does it live?
type Answer int

const (
	Unknown    Answer = iota // it cannot be told
	Gone                     // nothing of it lives
	Stranger                 // the number is another process's, and nobody holds the lock
	Running                  // the process of that number is the daemon
	Leaderless               // that process is gone, its group lives
	Starting                 // somebody's start is under way
	Between                  // a supervisor is about to start it again
	Escaped                  // process and group are gone, others of the daemon's live
)

// Daemon is an answer, with the processes and the evidence that it rests on.
type Daemon struct {
	Answer     Answer
	Number     int     // the PID in the file; 0 if there is none, it is out of range or outdated, or the asking start's own
	Process    *Handle // Running: the daemon. Leaderless: a member of its group. Starting: who is at work, or nil if it cannot be seen
	Supervisor *Handle // who holds the record lock of byte 1; nil: nobody
	Maker      int     // the PID that called flock(2), also where that process is gone; 0: not locked, or it has no number here
	Kin        []int   // Escaped: the processes that have the locked description open
	Own        bool    // Escaped: daemonize made that description
	Reader     int     // the PID that holds the flock, but may merely read the file, so that the lock means nothing; else 0
	Locked     bool    // somebody holds the flock, and no mere reader
	Empty      bool    // there is no number in the file
	Why        string  // Unknown, Stranger and Gone: the reason, or ""

	content []byte // of the file when it was asked
	written time.Time
}

// Lives tells whether something of the daemon lives. What a start under way has
// begun does not count yet.
func (d *Daemon) Lives() bool {
	return slices.Contains([]Answer{Running, Leaderless, Between, Escaped}, d.Answer)
}

// Same tells whether the file had the same content and time for both answers, and
// its number meant the same. Then nobody wrote to it in between, and it is no
// newcomer's. (An outdated number is 0, and its time 0, whoever's it was.)
func (d *Daemon) Same(e *Daemon) bool {
	return d.Number == e.Number && bytes.Equal(d.content, e.content) && d.written.Equal(e.written) && !d.Empty
}

// String says who the daemon is, or else why there is none, for a message.
func (d *Daemon) String() string {
	switch d.Answer {
	case Running:
		return fmt.Sprintf("pid %d", d.Process.PID)
	case Leaderless:
		return fmt.Sprintf("group %d, whose leader is gone", d.Number)
	case Starting:
		if d.Process == nil {
			return "a start or stop is under way, by a process that cannot be seen"
		}
		return "a start or stop is under way, by " + Describe(d.Process.PID)
	case Between:
		return fmt.Sprintf("its supervisor, pid %d, is about to start it again", d.Supervisor.PID)
	case Escaped:
		return "its lock is held by " + DescribeAll(d.Kin)
	}
	return d.Why
}

// Close lets the processes go.
func (d *Daemon) Close() {
	if d != nil {
		d.Process.Close()
		d.Supervisor.Close()
	}
}

// An answer may rest on a state that lasts only from one system call of another
// process to the next. It counts when every look has found it for so long.
const (
	stableStart = 50 * time.Millisecond // the other process starts, restarts or removes
	stableEnd   = time.Second / 2       // it ends: the kernel closes its descriptors, which /proc does not show any more
	longestLook = 5 * time.Second       // all looks together take no longer, nor does following a path that keeps moving
)

// FindDaemon opens a pidfile and asks whose it is. While a start is under way it
// opens and asks again, for as long as patience says. While the path keeps coming
// to lead to other files it does so too, for longestLook from the first time on.
// With force the number in the file counts whatever the evidence, and whoever
// controls the file. The caller closes both. Errors are those of OpenPidfile and
// Ask.
func FindDaemon(path string, force bool, patience time.Duration) (f *Pidfile, d *Daemon, err error) {
	var moved time.Time // the first time
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if f, err = OpenPidfile(path, force); err == nil {
			if d, err = f.Ask(force); err == nil && (d.Answer != Starting || time.Since(began) >= patience) {
				return f, d, nil
			}
			d.Close()
			f.Close()
		}
		if err == ErrMoved && moved.IsZero() {
			moved = time.Now()
		}
		if err != nil && (err != ErrMoved || time.Since(moved) >= longestLook) {
			return nil, nil, err
		}
		time.Sleep(pause)
	}
}

// Ask asks whose the file is, and asks again while the answer may be a passing
// one. A start that has both locks asks it only for a daemon that has closed
// the lock's descriptor. The caller closes the answer. Errors are ErrMalformed,
// ErrMoved, and those of Pin, read(2) and flock(2).
func (f *Pidfile) Ask(force bool) (*Daemon, error) {
	began := time.Now()
	since, last := began, ""
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		q := question{Pidfile: f, Daemon: &Daemon{}, force: force}
		err := q.answer()
		q.process.Close()
		if this := fmt.Sprint(q.Answer, q.Number, q.Maker, q.Why); this != last {
			since, last = time.Now(), this
		}
		if err == nil && (time.Since(since) >= q.lasting || time.Since(began) > longestLook) {
			return q.Daemon, nil
		}
		q.Daemon.Close()
		if err != nil {
			return nil, err
		}
		if err := f.Current(); err != nil {
			return nil, err
		}
		time.Sleep(pause)
	}
}

// question is one look at a pidfile. Each of its is-methods asks for one line
// of the rule. If that is the answer, it sets it and returns true.
type question struct {
	*Pidfile
	*Daemon
	force   bool
	process *Handle       // the process of that number, perhaps a zombie
	lasting time.Duration // how long every look must find the answer before it counts
	failed  error         // flock(2) has failed, so that there is no answer
}

// answer goes through the rule: the first yes is the answer. The process of the
// number in the file is pinned first, and everything is asked of it after that.
func (q *question) answer() error {
	if err := q.read(); err != nil {
		return err
	}
	number, err := q.PID()
	if err != nil && err != ErrEmpty && !errors.Is(err, ErrRange) {
		return err
	}
	q.Empty = err == ErrEmpty
	q.Daemon.content, q.Daemon.written = q.Pidfile.content, q.Pidfile.written
	switch {
	case q.taken && number == os.Getpid(): // the daemon of that number is gone
	case !q.taken && q.outdated() && q.isLocked(): // it is of the run before
	default:
		q.Number = number
	}
	if q.Number != 0 {
		if q.process, err = Pin(q.Number); err != nil && err != unix.ESRCH {
			return fmt.Errorf("process %d: %w", q.Number, err)
		}
	}
	switch {
	case q.taken:
		q.askClock()
	case q.isProcess(q.holds), // the common case, and no other process is looked at for it
		q.force && (q.isProcess(anybody) || q.isGroup(anybody)),
		q.isLocked() && (q.isProcess(q.isKin) || q.isGroup(q.isKin)):
		q.findSupervisor()
	case q.isWriter():
	case q.Locked && !q.isReader() && q.isScanned():
	default:
		q.askClock()
	}
	// If the file was written meanwhile, the number that was asked about is
	// that of an earlier run. Of a process that is the daemon that does not
	// matter.
	if !q.taken && q.Answer != Running && q.Answer != Leaderless && q.Answer != Starting && !q.unchanged() {
		q.changing()
	}
	return q.failed
}

// found sets an answer with its process, which is closed with the answer then.
func (q *question) found(a Answer, h *Handle) bool {
	q.Answer, q.Process = a, h
	if h == q.process {
		q.process = nil
	}
	return true
}

// changing: somebody has written the file or its locks during this look.
func (q *question) changing() bool {
	q.Answer, q.Why, q.lasting = Unknown, "it changes too fast to tell", longestLook
	return true
}

// anybody is a test for isProcess and isGroup that asks for no evidence.
func anybody(*Handle) bool { return true }

// isProcess: the process of the number lives, and is the daemon by this test.
func (q *question) isProcess(is func(*Handle) bool) bool {
	return q.process != nil && is(q.process) && !q.process.Exited() && q.found(Running, q.process)
}

// isGroup: a member of the group of the number lives, and is the daemon's by
// this test. Then the process of the number is the daemon, if it is in the
// group: the kernel gives no number to a new process while a group has it.
func (q *question) isGroup(is func(*Handle) bool) bool {
	if q.Number == 0 {
		return false
	}
	g := &Group{ID: q.Number}
	h, _ := g.Member(is)
	if h == nil {
		return false
	}
	if q.isProcess(func(*Handle) bool { return g.Has(q.Number) }) {
		h.Close()
		return true
	}
	return q.found(Leaderless, h)
}

// isLocked tells whether somebody holds the flock now, and finds out its maker.
func (q *question) isLocked() bool {
	if q.Locked, q.failed = q.locked(); q.Locked {
		q.Maker = q.maker()
	}
	return q.Locked
}

// see is look, and takes note of the flock if the process holds it.
func (q *question) see(pid int) (h holder, readable bool) {
	h, readable = q.look(pid)
	if h.held {
		q.Locked, q.Maker = true, h.maker
	}
	return h, readable
}

// holds tells whether the process has the locked description open.
func (q *question) holds(h *Handle) bool {
	who, _ := q.see(h.PID)
	return who.held
}

// isKin tells whether a process of a locked file is the daemon's: it holds the
// lock. Or it is in the session of the lock's maker, and its descriptors cannot
// be looked at. If they can, it has closed the lock; numbers are recycled, a
// maker's too, so then the maker itself must live and hold the lock, or the
// clock must agree. It must also agree where the process is the maker itself,
// in a session that it does not lead.
func (q *question) isKin(h *Handle) bool {
	who, readable := q.see(h.PID)
	if who.held {
		return true
	}
	sid, err := unix.Getsid(h.PID)
	if err != nil || sid == 0 {
		return false
	}
	leader, _ := q.see(sid)
	switch {
	case leader.held && leader.maker == sid:
		return true
	case q.Maker == 0, q.Maker != sid && q.Maker != h.PID:
		return false
	case q.Maker == sid && !readable:
		return true
	}
	return q.AsOld(h.Start)
}

// belongs tells whether a process is that of the number, or of its group.
func (q *question) belongs(pid int) bool {
	return q.Number != 0 && (pid == q.Number || (&Group{ID: q.Number}).Has(pid))
}

// isWriter: somebody holds a record lock for writing. If that is the process of
// the number or of its group, it is the daemon, which has made the lock itself.
func (q *question) isWriter() bool {
	pid, first := q.writer()
	if pid == 0 {
		return false
	}
	h := q.pinWriter(pid)
	switch {
	case h == nil && pid > 0: // it has ended or let go since; or see pinWriter
		q.Answer, q.lasting = Starting, stableStart
	case q.belongs(pid):
		if q.isProcess(anybody) {
			h.Close()
		} else {
			q.found(Leaderless, h)
		}
	case first == startByte:
		q.found(Starting, h)
	case h == nil:
		q.Answer, q.Why = Unknown, "its supervisor is of another PID namespace"
	default:
		q.Answer, q.Supervisor = Between, h
	}
	return true
}

// pinWriter pins the process that holds a record lock, or returns nil if that
// is another one by now. Its own descriptors must show the lock, if they can be
// looked at: F_GETLK tells the PID that took the lock. That process may have
// ended and its number be another's, while the lock lives on in a third process
// that shares the table of descriptors (clone(2), CLONE_FILES).
func (q *question) pinWriter(pid int) *Handle {
	h, err := Pin(pid)
	who, readable := q.see(pid)
	if again, _ := q.writer(); err != nil || again != pid || readable && !who.writer {
		h.Close()
		return nil
	}
	return h
}

// findSupervisor finds the supervisor of a daemon that lives. A start or
// restart that is not quite over holds byte 0 too, and must be over first.
func (q *question) findSupervisor() {
	pid, first := q.writer()
	if pid <= 0 || pid == q.Process.PID || q.belongs(pid) {
		return
	}
	if first == supervisorByte {
		q.Supervisor = q.pinWriter(pid)
	}
	if q.Supervisor == nil {
		q.lasting = stableStart
	}
}

// isReader: the maker of the lock still has it, and merely may read the file.
func (q *question) isReader() bool {
	h, _ := q.look(q.Maker)
	return h.maker == h.pid && q.areReaders(h)
}

// areReaders: all these holders of the lock merely may read the file. Then the
// rule goes on as if it were not locked; but a start cannot go past the lock.
func (q *question) areReaders(all ...holder) bool {
	if slices.ContainsFunc(all, func(h holder) bool { return !h.reader }) {
		return false
	}
	q.Locked, q.Maker, q.Reader = false, 0, all[0].pid
	return true
}

// isScanned: the file is locked, and nobody in the group of its number holds
// the lock. Only then are all processes looked at for it.
func (q *question) isScanned() bool {
	all, complete := q.holders(q.Maker)
	q.lasting = stableStart
	if len(all) == 0 {
		return q.isUnseen(complete)
	}
	if pid, _ := q.writer(); pid != 0 {
		return q.changing() // a start had the flock, and has a record lock since
	}
	if q.areReaders(all...) {
		return false // the maker has passed it on, and is gone
	}
	first := all[0]         // the others have inherited the same description, with its O_NOATIME
	unknown := q.Maker == 0 // isKin had no maker to go by: it is asked again, with this one
	q.Maker = first.maker
	if unknown && (q.isProcess(q.isKin) || q.isGroup(q.isKin)) {
		q.findSupervisor()
		return true
	}
	if !first.noatime && q.isProcess(func(h *Handle) bool { return q.AsOld(h.Start) }) {
		return true // it runs beside a lock that no start has made
	}
	// A maker that still lives, has no record lock and can write the file,
	// is a start that has yet to take the record lock, or is about to end.
	// Any other may be a pidkill, which takes the flock for a moment and
	// has not escaped.
	if i := slices.IndexFunc(all, func(h holder) bool { return h.pid == h.maker }); i >= 0 {
		if all[i].noatime && all[i].writable {
			h, _ := Pin(all[i].pid)
			return q.found(Starting, h)
		}
		q.lasting = stableEnd
	}
	if first.noatime && (q.Empty || q.outdated()) {
		// Daemonize was killed before it wrote the number of what it
		// started.
		slices.SortStableFunc(all, func(a, b holder) int { return distance(a.pid, a.maker) - distance(b.pid, b.maker) })
		if h, err := Pin(all[0].pid); err == nil {
			if q.holds(h) {
				q.found(Running, h)
				q.findSupervisor()
				return true
			}
			h.Close()
		}
	}
	for _, h := range all {
		q.Daemon.Kin = append(q.Daemon.Kin, h.pid)
	}
	q.Answer, q.Own = Escaped, first.noatime
	return true
}

// isUnseen: the file is locked, and a look at all processes, complete or not,
// has found nobody who holds the lock.
func (q *question) isUnseen(complete bool) bool {
	switch {
	case !complete:
		q.Answer, q.Why = Unknown, "it is locked, and there are too many open files to find by whom"
	case !q.isLocked():
		return q.changing()
	case !showsLocks():
		return false // no lock can be seen on this kernel: the clock has to do
	default:
		who := "a process that cannot be seen"
		if q.Maker != 0 {
			who = fmt.Sprintf("process %d or children of it, which cannot be seen", q.Maker)
		}
		q.Answer, q.lasting = Unknown, stableEnd
		q.Why = "it is locked by " + who + ": if nothing of it is left, remove the file by hand"
	}
	return true
}

// askClock answers for a file that is not locked: by when it was written, and
// when the process of its number, or the members of its group, started.
func (q *question) askClock() {
	if q.Number == 0 {
		q.Answer = Gone
		if _, err := q.PID(); err != nil && !q.taken {
			q.Answer, q.Why, q.lasting = Unknown, err.Error(), stableStart
		}
		return
	}
	if q.process != nil { // perhaps a zombie, which keeps the number from others
		q.Answer = q.clock(q.process.Start)
		switch q.Answer {
		case Running:
			if q.isProcess(anybody) || q.isGroup(anybody) {
				return
			}
			q.Answer = Gone // of a zombie nothing is left
		case Stranger:
			q.Why = fmt.Sprintf("process %d started later", q.Number)
		case Gone:
			q.Why = olderThanBoot
		default:
			q.Why = fmt.Sprintf("nothing tells whether process %d is its daemon: the clock was set since, or /proc hides it", q.Number)
		}
		return
	}
	g := &Group{ID: q.Number}
	member, err := g.Member(func(h *Handle) bool { return q.AsOld(h.Start) })
	switch {
	case member != nil:
		q.found(Leaderless, member)
	case err != nil:
		q.Answer, q.Why = Unknown, err.Error()
	case g.Wait(0):
		q.Answer = Gone
	case q.clock(0) == Gone:
		q.Answer, q.Why = Gone, olderThanBoot
	default:
		q.Answer, q.Why = Unknown, fmt.Sprintf("process %d is gone, and nothing tells whether the group %d is its own (pidkill -g %d)", q.Number, q.Number, q.Number)
	}
}

const olderThanBoot = "older than the last boot"

// slack is how much later than its pidfile's time a daemon may have started:
// the one is counted in ticks since boot, the other taken from a wall clock.
const slack = 500 * time.Millisecond

// clock compares the start of a process, in ticks after boot and 0 if it is
// hidden, with the time that the file was written. Running: it was there by
// then. Stranger: it started later. Gone: the file is older than the boot, and
// so than any process. Unknown: the clock was set, or the start is hidden.
func (f *Pidfile) clock(start uint64) Answer {
	written := sinceBoot(f.written)
	switch {
	case time.Until(f.written) > slack:
		return Unknown // in the future
	case written < 0 && slices.Contains([]uint32{unix.TMPFS_MAGIC, unix.RAMFS_MAGIC}, fileSystem(f.file)):
		return Unknown // the file system is not as old as that
	case written < 0:
		return Gone
	case start == 0:
		return Unknown
	case time.Duration(start)*(time.Second/HZ) <= written+slack:
		return Running
	}
	return Stranger
}

// AsOld tells whether a process that started at so many ticks after boot was
// there when the file was written.
func (f *Pidfile) AsOld(start uint64) bool { return f.clock(start) == Running }

// sinceBoot is a wall clock time on the clock that start times are on. Both
// clocks have to be read at once: losing the processor in between would make a
// stranger of a daemon.
func sinceBoot(t time.Time) time.Duration {
	for {
		began := time.Now()
		var boot unix.Timespec
		unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot)
		if now := time.Now(); now.Sub(began) < slack/10 {
			return time.Duration(boot.Nano()) - now.Round(0).Sub(t.Round(0))
		}
	}
}
