// Soak has many workers start, stop, restart, ask after, and kill daemons,
// their supervisors and the tools themselves, delete and replace pidfiles, all
// at once over a few pidfiles. After each step it checks that
//
//   - each pidfile has one live daemon at most, since it was last tampered with;
//   - a start with status 0 ran its command;
//   - a stop with status 0 left nothing of the group, nor its supervisor;
//   - what ran all the while was never said not to run;
//   - nobody else's process was signalled.
//
// The seed makes each worker's sequence of steps; how they interleave is up to
// the machine.
package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"procgroup/tests/box"
)

func main() {
	box.Skip()
	bin := flag.String("bin", "bin", "`directory` of the programs")
	seconds := flag.Float64("seconds", 15, "how long")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of what happens")
	workers := flag.Int("workers", 16, "how many")
	files := flag.Int("pidfiles", 8, "over how many")
	flag.Parse()
	box.Enter()
	fmt.Printf("seed %d\n", *seed)
	m := &model{bin: *bin, counts: map[string]int{}, ended: map[int]ending{}}
	m.init.Ended = m.note
	m.init.Run()
	for i := range *files {
		m.slots = append(m.slots, &slot{number: i, file: fmt.Sprintf("%s/%d.pid", box.Dir, i)})
	}
	for range 8 {
		v, err := m.init.Victim(nil)
		if err != nil {
			m.broken("%v", err)
		}
		m.victims = append(m.victims, v)
	}
	box.Work(*workers, *seconds, *seed, func(r *rand.Rand) {
		w := &worker{model: m, Rand: r}
		w.step()
	})
	for _, s := range m.slots { // at last everything can be stopped
		w := &worker{model: m, Rand: rand.New(rand.NewPCG(*seed, 1000))}
		s.Lock()
		w.stopAlone(s)
		m.endOld(s)
		s.Unlock()
	}
	if left := box.Nothing(m.victimPIDs()...); left != nil {
		m.broken("left at the end: %s", box.Names(left...))
	}
	m.checkVictims()
	box.Report(m.counts)
}

// model is what all workers share.
type model struct {
	bin     string
	init    box.Init
	slots   []*slot
	victims []*box.Victim

	mu     sync.Mutex
	counts map[string]int // steps, by kind and status
	ended  map[int]ending // orphans, lately
	serial int
}

// ending is an orphan that was reaped.
type ending struct {
	name string
	when time.Time
}

// slot is a pidfile. Steps that others may not interfere with lock it; all
// others share it, as the lock is none of the programs'.
type slot struct {
	sync.RWMutex
	number     int
	file       string
	generation int // how often it was tampered with
}

// tag marks the commands of a generation, in their environment.
func (s *slot) tag() string { return fmt.Sprintf("SOAK=%d.%d", s.number, s.generation) }

func (m *model) note(pid int, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.ended) > 20000 {
		for pid, e := range m.ended {
			if time.Since(e.when) > time.Minute {
				delete(m.ended, pid)
			}
		}
	}
	m.ended[pid] = ending{name, time.Now()}
}

func (m *model) count(what string) {
	m.mu.Lock()
	m.counts[what]++
	m.mu.Unlock()
}

// broken ends the test. With its init the whole box goes.
func (m *model) broken(format string, args ...any) {
	m.mu.Lock() // for good
	fmt.Fprintf(os.Stderr, "soak: BROKEN: %s\n", fmt.Sprintf(format, args...))
	fmt.Fprintf(os.Stderr, "soak: running: %s\n", strings.ReplaceAll(box.Names(box.Alive()...), "; ", "\n    "))
	os.Exit(1)
}

func (m *model) victimPIDs() (pids []int) {
	for _, v := range m.victims {
		pids = append(pids, v.PID)
	}
	return pids
}

func (m *model) checkVictims() {
	for _, v := range m.victims {
		if v.Over() {
			m.broken("a process that is nobody's daemon (%d) was signalled", v.PID)
		}
	}
}
