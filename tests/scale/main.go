// Scale shows what the programs cost with many daemons, many processes and
// large groups, and that ten times as many cost ten times as much, not more.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"procgroup/tests/box"
)

// tolerance is how much dearer each one of many may be than each one of a
// tenth. A quadratic cost makes it ten; caches and the machine's load, two. But
// what takes less than a second is too short to tell.
const tolerance = 4

func main() {
	box.Skip()
	bin := flag.String("bin", "bin", "`directory` of the programs")
	quick := flag.Bool("quick", false, "a third of the time")
	room := flag.Int("room", 0, "how many PIDs the machine has to spare (default: what is free, but 6000)")
	flag.Parse()
	if !box.Inside() && *room == 0 {
		os.Exit(box.Run(os.Stdout, append(os.Args[1:], fmt.Sprintf("-room=%d", free()-6000))...))
	}
	box.Enter()
	s := &scale{bin: *bin, room: *room}
	s.init.Run()
	fmt.Printf("%-52s %7s %9s %12s\n", "", "n", "seconds", "ms for each")
	daemons, groups, processes := []int{100, 1000}, []int{100, 1000, 10000}, []int{1000, 10000, 30000}
	if *quick {
		daemons, groups, processes = []int{30, 300}, []int{300, 3000}, []int{1000, 10000}
	}
	for _, n := range daemons {
		s.daemons(n, "", "sleep", "1000")
		s.daemons(n, ", each with a child", "sh", "-c", "sleep 1000 & wait")
	}
	for _, n := range daemons {
		s.init.Late.Store(true)
		s.daemons(n, ", init reaps late", "sleep", "1000")
		s.init.Late.Store(false)
		s.empty()
	}
	for _, n := range groups {
		s.group(n)
	}
	for _, n := range processes {
		s.processes(n)
	}
	if s.bad {
		os.Exit(1)
	}
}

// free is how many PIDs are not in use on the machine.
func free() int {
	limit, used := 0, 0
	text, _ := os.ReadFile("/proc/sys/kernel/pid_max")
	fmt.Sscan(string(text), &limit)
	text, _ = os.ReadFile("/proc/loadavg")
	_, text2, _ := strings.Cut(string(text), "/")
	fmt.Sscan(text2, &used)
	return limit - used
}

type scale struct {
	bin  string
	room int
	init box.Init
	last map[string]float64 // ms for each, with fewer of them
	bad  bool
}

// figure prints what n cost, and compares it with what fewer did.
func (s *scale) figure(what string, n int, took time.Duration) {
	each := took.Seconds() * 1000 / float64(n)
	remark := ""
	if s.last == nil {
		s.last = map[string]float64{}
	}
	if fewer, ok := s.last[what]; ok && each > tolerance*fewer && took > time.Second {
		remark, s.bad = "  grows faster than the number", true
	}
	s.last[what] = each
	fmt.Printf("%-52s %7d %9.3f %12.3f%s\n", what, n, took.Seconds(), each, remark)
}

func (s *scale) fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "scale: BROKEN: %s\n", fmt.Sprintf(format, args...))
	os.Exit(1)
}

// timed runs a program, which has to succeed.
func (s *scale) timed(name string, args ...string) (took time.Duration, output string) {
	began := time.Now()
	status, output := s.init.Do(append([]string{s.bin + "/" + name}, args...)...)
	took = time.Since(began)
	if status != 0 {
		s.fail("%s: status %d: %.500s", name, status, output)
	}
	return took, output
}

// daemons starts, shows and stops n of them.
func (s *scale) daemons(n int, how string, command ...string) {
	var files []string
	for i := range n {
		files = append(files, fmt.Sprintf("%s/%d.pid", box.Dir, i))
	}
	began := time.Now()
	work := make(chan string)
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for file := range work {
				s.timed("daemonize", append([]string{"-p", file}, command...)...)
			}
		}()
	}
	for _, file := range files {
		work <- file
	}
	close(work)
	wg.Wait()
	s.figure("daemonize, one after another"+how, n, time.Since(began))
	took, _ := s.timed("pgtree", files...)
	s.figure("pgtree PIDFILE ..."+how, n, took)
	took, _ = s.timed("pidkill", append([]string{"-0"}, files...)...)
	s.figure("pidkill -0 PIDFILE ..."+how, n, took)
	took, output := s.timed("pidkill", files...)
	s.figure("pidkill PIDFILE ..."+how, n, took)
	if output != "" {
		s.fail("pidkill: %.500s", output)
	}
	s.nothing()
	for _, file := range files {
		if _, err := os.Lstat(file); err == nil {
			s.fail("pidkill left %s", file)
		}
	}
}

// nothing makes sure that all is gone.
func (s *scale) nothing() {
	if left := box.Alive(); len(left) > 0 {
		s.fail("left: %.500s", box.Names(left...))
	}
}

// empty waits until init has reaped everybody.
func (s *scale) empty() {
	for {
		if len(box.PIDs()) <= 1 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// crowd is a shell that makes as many processes as it is told, each of which
// costs no more than a fork.
const crowd = `mkfifo "$0"; i=0; while [ $i -lt $1 ]; do read x <"$0" & i=$((i+1)); done; wait`

func (s *scale) crowd(pidfile string, n int) {
	s.timed("daemonize", "-c", box.Dir, "-p", pidfile, "sh", "-c", crowd, pidfile+".fifo", fmt.Sprint(n))
}

func (s *scale) await(n int) {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if len(box.PIDs()) >= n {
			return
		}
	}
	s.fail("could not make %d processes", n)
}

// group ends a group of n.
func (s *scale) group(n int) {
	file := box.Dir + "/group.pid"
	s.crowd(file, n-1)
	s.await(n + 1)
	took, _ := s.timed("pidkill", file)
	s.figure("pidkill, one group of", n, took)
	s.nothing()
	s.empty()
	os.Remove(file + ".fifo")
}

// processes shows n, in groups of a hundred.
func (s *scale) processes(n int) {
	if n > s.room {
		fmt.Printf("%-52s %7d of %d: the machine has no more PIDs\n", "pgtree, of", s.room, n)
		n = s.room
	}
	var files []string
	for made := 0; made < n; made += 100 {
		file := fmt.Sprintf("%s/%d.pid", box.Dir, made)
		files = append(files, file)
		s.crowd(file, min(99, n-made-1))
	}
	s.await(n)
	took, _ := s.timed("pgtree", "-s")
	s.figure("pgtree -s, of", n, took)
	took, _ = s.timed("pgtree")
	s.figure("pgtree, of", n, took)
	took, _ = s.timed("pgtree", files[0])
	s.figure("pgtree PIDFILE, of", n, took)
	took, _ = s.timed("pidkill", files...)
	s.figure("pidkill, all groups of a hundred", n, took)
	s.nothing()
	s.empty()
	for _, file := range files {
		os.Remove(file + ".fifo")
	}
}
