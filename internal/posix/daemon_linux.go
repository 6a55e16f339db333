package posix

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Answer is the answer to the one question about a pidfile: who is its daemon,
// and does it live?
type Answer int

const (
	Unknown    Answer = iota // it cannot be told
	Gone                     // nothing of it lives
	Stranger                 // the number is another process's, and nothing holds the lock
	Running                  // the process of that number is the daemon
	Leaderless               // that process is gone, its group lives
	Starting                 // somebody's start is under way
	Between                  // a supervisor is about to start it again
	Escaped                  // process and group are gone, others of the daemon's live
)

// Daemon is the answer with what it was found by.
type Daemon struct {
	Answer     Answer
	Number     int     // in the file; 0: it is empty, or its number outdated
	Process    *Handle // Running: the daemon. Leaderless: a member of its group. Starting: who is at work, if it has a number here
	Supervisor *Handle // who holds the record lock of byte 1, if anybody
	Maker      int     // of the flock, also where that is no more; 0: not locked, or it has no number here
	Kin        []int   // Escaped: who has the locked description open
	Own        bool    // Escaped: that is one which daemonize made
	Reader     int     // who holds the flock, but may merely read the file
	Locked     bool    // somebody holds the flock
	Empty      bool    // there is no number in the file
	Why        string  // Unknown, Stranger and Gone: the reason

	content []byte // what was read
	written time.Time
}

// Lives tells whether something of the daemon lives.
func (d *Daemon) Lives() bool {
	switch d.Answer {
	case Running, Leaderless, Between, Escaped:
		return true
	}
	return false
}

// Same tells whether the file had the same number and time for both: then it
// was not written to in between, and no newcomer's.
func (d *Daemon) Same(e *Daemon) bool {
	return d.Number == e.Number && d.written == e.written && !d.Empty
}

// String says who the daemon is, for a message.
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

// How long an answer must be the same at every look before it counts, if it may
// lie between two system calls of somebody else's.
const (
	settling = 50 * time.Millisecond // a start, a restart or a removal
	ending   = time.Second / 2       // a process that ends with many descriptors, none of which shows any more
	longest  = 5 * time.Second       // for all looks together
)

// FindDaemon opens a pidfile and asks whose it is, again and again while a
// start is under way, for as long as patience says, and while the path comes to
// name other files. With force the number in it is believed whatever the
// evidence, and whoever controls the file. Errors are those of OpenPidfile and Ask.
func FindDaemon(path string, force bool, patience time.Duration) (f *Pidfile, d *Daemon, err error) {
	began := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if f, err = OpenPidfile(path, force); err != nil {
			return nil, nil, err
		}
		d, err = f.Ask(force)
		waited := time.Since(began)
		switch {
		case err == ErrMoved && waited < time.Second:
		case err == nil && d.Answer == Starting && waited < patience:
		case err != nil:
			f.Close()
			return nil, nil, err
		default:
			return f, d, nil
		}
		d.Close()
		f.Close()
		time.Sleep(pause)
	}
}

// Ask asks whose the file is. An answer that may lie between two system calls of
// somebody else's is looked at again, for a moment. For a start that has the
// locks only the clock is left to ask. Errors are ErrMalformed, ErrMoved, and
// those of read(2) and flock(2).
func (f *Pidfile) Ask(force bool) (*Daemon, error) {
	began := time.Now()
	since, last := began, ""
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		q := question{Pidfile: f, Daemon: &Daemon{}, force: force, maker: sync.OnceValue(f.maker)}
		err := q.answer()
		q.process.Close()
		if this := fmt.Sprint(q.Answer, q.Number, q.Maker, q.Why); this != last {
			since, last = time.Now(), this
		}
		if err == nil && (time.Since(since) >= q.lasting || time.Since(began) > longest) {
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

// question is one look at a pidfile. Each of its methods that asks for one line
// of the rule sets the answer, if that is it, and then returns true.
type question struct {
	*Pidfile
	*Daemon
	force   bool
	maker   func() int    // Pidfile.maker, asked once
	process *Handle       // the process of that number, perhaps a zombie
	lasting time.Duration // how long the answer must last to count
	failed  error         // a look, without which there is no answer
}

// answer goes through the rule: the first yes is the answer.
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
	if !(q.taken && number == os.Getpid()) {
		q.Number = number
	}
	if q.outdated() && !q.taken && q.isLocked() {
		q.Number = 0
	}
	if q.Number != 0 {
		if q.process, err = Pin(q.Number); err != nil && err != unix.ESRCH {
			return fmt.Errorf("process %d: %w", q.Number, err)
		}
	}
	anybody := func(*Handle) bool { return true }
	switch {
	case q.taken:
		q.askClock()
	case q.isProcess(q.holds): // mostly
		q.findSupervisor()
	case q.force && (q.isProcess(anybody) || q.isGroup(anybody)):
		q.findSupervisor()
	case q.isLocked() && (q.isProcess(q.isKin) || q.isGroup(q.isKin)):
		q.findSupervisor()
	case q.isWriter():
	case q.Locked && !q.isReader() && q.isScanned():
	default:
		q.askClock()
	}
	// A number from before a restart tells nothing of who is there now.
	if !q.taken && q.Answer != Running && q.Answer != Leaderless && q.Answer != Starting && !q.unchanged() {
		q.changing()
	}
	return q.failed
}

// found makes a process or member the answer.
func (q *question) found(a Answer, h *Handle) bool {
	q.Answer, q.Process = a, h
	if h == q.process {
		q.process = nil
	}
	return true
}

// changing: somebody has just written the file, or let go of it.
func (q *question) changing() bool {
	q.Answer, q.Why, q.lasting = Unknown, "it changes too fast to tell", longest
	return true
}

// isProcess: the process of that number lives, and is the daemon by this test.
func (q *question) isProcess(is func(*Handle) bool) bool {
	return q.process != nil && is(q.process) && !q.process.Exited() && q.found(Running, q.process)
}

// isGroup: a member of the group of that number lives, and is the daemon's. Then
// so is the process of that number, if it is in the group: no number is given
// anew while it is a group's.
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

// isLocked tells whether somebody holds the flock.
func (q *question) isLocked() bool {
	q.Locked, q.failed = q.locked()
	return q.Locked
}

// holds tells whether the process has the locked description open.
func (q *question) holds(h *Handle) bool {
	own, _ := q.look(h.PID)
	return q.isHeld(own)
}

func (q *question) isHeld(own holder) bool {
	if own.held {
		q.Locked, q.Maker = true, own.maker
	}
	return own.held
}

// isKin tells whether it holds the lock; or is in the session of the lock's
// maker, and either cannot be looked at or has closed its descriptors. Numbers
// are recycled, a maker's too: in the last case the maker has to be there with
// the lock, or the clock to agree. So it has where the maker is the process
// itself, and leads no session.
func (q *question) isKin(h *Handle) bool {
	own, readable := q.look(h.PID)
	if q.isHeld(own) {
		return true
	}
	sid, err := unix.Getsid(h.PID)
	if err != nil || sid == 0 {
		return false
	}
	leader, _ := q.look(sid)
	maker := q.maker()
	if leader.held && leader.maker == sid {
		maker = sid
	} else if maker == 0 || maker != sid && maker != h.PID || (readable || maker != sid) && q.clock(h.Start) != asOld {
		return false
	}
	q.Maker = maker
	return true
}

// isOwn tells whether a process is that of the number, or of its group.
func (q *question) isOwn(pid int) bool {
	return q.Number != 0 && (pid == q.Number || (&Group{ID: q.Number}).Has(pid))
}

// isWriter: somebody has a record lock for writing. If that is the daemon, it
// made the lock itself.
func (q *question) isWriter() bool {
	pid, first := q.writer()
	if pid == 0 {
		return false
	}
	if q.Locked {
		q.Maker = q.maker()
	}
	h := q.pinWriter(pid)
	switch {
	case h == nil && pid > 0: // it has just ended, or is through; or see works
		q.Answer, q.lasting = Starting, settling
	case q.isOwn(pid):
		if q.isProcess(func(h *Handle) bool { return q.isOwn(h.PID) }) {
			h.Close()
		} else {
			q.found(Leaderless, h)
		}
	case first == startByte:
		q.found(Starting, h)
	case h == nil:
		q.Answer, q.Why = Unknown, "its supervisor is of another PID namespace"
	default:
		q.holds(h)
		q.Answer, q.Supervisor = Between, h
	}
	return true
}

// pinWriter gets hold of a process that is at work, or returns nil. Its own
// descriptors must show the record lock, if they can be looked at: F_GETLK has
// the number of who took it, which another process may have by now, while the
// lock lives on in a third one that shares the table of descriptors (clone(2),
// CLONE_FILES).
func (q *question) pinWriter(pid int) *Handle {
	h, err := Pin(pid)
	own, readable := q.look(pid)
	if again, _ := q.writer(); err != nil || again != pid || readable && !own.works {
		h.Close()
		return nil
	}
	return h
}

// findSupervisor finds the supervisor of a daemon that lives. While its start or
// restart is not quite over there is none yet.
func (q *question) findSupervisor() {
	pid, first := q.writer()
	if pid <= 0 || pid == q.Process.PID || q.isOwn(pid) {
		return
	}
	if first == supervisorByte {
		q.Supervisor = q.pinWriter(pid)
	}
	if q.Supervisor == nil {
		q.lasting = settling
	}
}

// isReader: the lock is that of somebody who merely may read the file. All but
// a start go on as if it were not there.
func (q *question) isReader() bool {
	own, _ := q.look(q.maker())
	return own.maker == own.pid && q.isReaders(own)
}

func (q *question) isReaders(own holder) bool {
	if !q.mayRead(own) {
		return false
	}
	q.Locked, q.Reader = false, own.pid
	return true
}

// mayRead tells whether a holder of the flock merely may read the file: it has
// it open without O_NOATIME, not for writing, and is neither root nor the
// file's owner.
func (f *Pidfile) mayRead(own holder) bool {
	var st unix.Stat_t
	return own.held && !own.noatime && !own.writes &&
		unix.Stat(fmt.Sprintf("%s/%d", ProcRoot, own.pid), &st) == nil && st.Uid != 0 && st.Uid != f.stat.Uid
}

// isScanned: the file is locked, and neither process nor group tell by whom. So
// all processes are looked at, and only here.
func (q *question) isScanned() bool {
	all, complete := q.holders(q.maker())
	q.lasting = settling
	switch {
	case len(all) == 0 && !complete:
		q.Answer, q.Why = Unknown, "it is locked, and there are too many open files to find by whom"
		return true
	case len(all) == 0 && !q.isLocked():
		return q.changing()
	case len(all) == 0 && !showsLocks():
		return false // the clock has to do
	case len(all) == 0:
		q.Answer, q.lasting = Unknown, ending
		q.Why = "it is locked by a process that cannot be seen"
		if maker := q.maker(); maker != 0 {
			q.Why = fmt.Sprintf("it is locked by process %d or children of it, which cannot be seen", maker)
		}
		q.Why += ": if nothing of it is left, remove the file by hand"
		return true
	}
	if pid, _ := q.writer(); pid != 0 {
		return q.changing() // a start that has come to that meanwhile
	}
	if !slices.ContainsFunc(all, func(h holder) bool { return !q.mayRead(h) }) {
		return !q.isReaders(all[0]) // whoever made it has passed it on
	}
	q.Maker = all[0].maker
	if q.maker() == 0 && q.Maker != 0 { // only the holders know it
		q.maker = func() int { return all[0].maker }
		if q.isProcess(q.isKin) || q.isGroup(q.isKin) {
			q.findSupervisor()
			return true
		}
	}
	if !all[0].noatime && q.isProcess(func(h *Handle) bool { return q.clock(h.Start) == asOld }) {
		return true // it has another lock, or somebody else has
	}
	// Who made the lock and is still there, with no record lock, but can write
	// to the file, is a start that has not got that yet or is about to end. A
	// pidkill only tries the lock: it is not what has escaped.
	if i := slices.IndexFunc(all, func(h holder) bool { return h.pid == h.maker }); i >= 0 {
		if all[i].noatime && all[i].writes {
			h, _ := Pin(all[i].pid)
			return q.found(Starting, h)
		}
		q.lasting = ending
	}
	if all[0].noatime && (q.Empty || q.outdated()) {
		// Daemonize was killed before it could write: they are the daemon.
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
	for _, own := range all {
		q.Daemon.Kin = append(q.Daemon.Kin, own.pid)
	}
	q.Answer, q.Own = Escaped, all[0].noatime
	return true
}

// askClock answers for a file that is not locked: by when it was written, and
// when the processes of its number have started.
func (q *question) askClock() {
	if q.Number == 0 {
		q.Answer = Gone
		if _, err := q.PID(); err != nil && !q.taken {
			q.Answer, q.Why, q.lasting = Unknown, err.Error(), settling
		}
		return
	}
	if q.process != nil { // perhaps a zombie, which keeps the number from others
		switch q.clock(q.process.Start) {
		case asOld:
			if q.isProcess(func(*Handle) bool { return true }) || q.isGroup(func(*Handle) bool { return true }) {
				return
			}
			q.Answer, q.Why = Gone, "" // of a zombie nothing is left
		case later:
			q.Answer, q.Why = Stranger, fmt.Sprintf("process %d started later", q.Number)
		case beforeBoot:
			q.Answer, q.Why = Gone, "older than the last boot"
		default:
			q.Answer, q.Why = Unknown, fmt.Sprintf("nothing tells whether process %d is its daemon: the clock was set since, or /proc hides it", q.Number)
		}
		return
	}
	g := &Group{ID: q.Number}
	member, err := g.Member(func(h *Handle) bool { return q.clock(h.Start) == asOld })
	switch {
	case member != nil:
		q.found(Leaderless, member)
	case err != nil:
		q.Answer, q.Why = Unknown, err.Error()
	case g.Wait(0):
		q.Answer = Gone
	case q.clock(0) == beforeBoot:
		q.Answer, q.Why = Gone, "older than the last boot"
	default:
		q.Answer, q.Why = Unknown, fmt.Sprintf("process %d is gone, and nothing tells whether the group %d is its own (pidkill -g %d)", q.Number, q.Number, q.Number)
	}
}

// slack is how much later than its pidfile's time a daemon may have started:
// the one is counted in ticks since boot, the other taken from a wall clock.
const slack = 500 * time.Millisecond

// age is how a process's start compares with a file's time.
type age int

const (
	untold     age = iota // the clock was set, or the start is hidden
	asOld                 // the process was there when the file was written
	later                 // it was not
	beforeBoot            // nor was any process that is there now
)

// clock compares the start of a process, in ticks after boot and 0 if it is
// hidden, with the time that the file was written.
func (f *Pidfile) clock(start uint64) age {
	written, now := sinceBoot(f.written), sinceBoot(time.Now())
	inMemory := []uint32{unix.TMPFS_MAGIC, unix.RAMFS_MAGIC}
	switch {
	case written > now+slack:
		return untold // in the future
	case written < 0 && slices.Contains(inMemory, fileSystem(f.file)):
		return untold // the file system is not as old as that
	case written < 0:
		return beforeBoot
	case start == 0:
		return untold
	case ticks(start) <= written+slack:
		return asOld
	}
	return later
}

// AsOld tells whether a process that started at so many ticks after boot was
// there when the file was written.
func (f *Pidfile) AsOld(start uint64) bool { return f.clock(start) == asOld }

// ticks makes a duration of a number of clock ticks.
func ticks(n uint64) time.Duration { return time.Duration(n) * (time.Second / HZ) }

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
