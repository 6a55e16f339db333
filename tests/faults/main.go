//go:build amd64 || arm64

// Faults runs daemonize and pidkill again and again, and each time one system
// call of theirs fails, or one of their processes is killed or stopped for a
// moment: the first call, the second, until there is none left. After each run
// it looks whether what the manuals promise is true all the same.
//
// Whatever the errno is, a failing call must end in a status of the manual's
// and a message that names an object, with nothing left behind. What Go's
// runtime calls on its own account, for memory, threads and signals, is held
// to less: the runtime answers a failure there with a crash, which no program
// can prevent. Such a crash counts as a kill at that moment, and has to leave
// what a kill may leave. Errors that a call cannot have are passed over.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/tests/box"
)

// errnos are those that a machine in trouble gives.
var errnos = []unix.Errno{unix.ENOMEM, unix.EIO, unix.ENOSPC, unix.EMFILE, unix.EINTR, unix.EPERM, unix.EAGAIN}

type options struct {
	bin    string
	sample int // faults per scenario; 0: all
	seed   uint64
	only   string // scenarios whose name has it
	fault  string // one alone: EIO@17, KILL@3
	list   bool
	jobs   int
	job    int // which of the jobs this is
}

// counts are the runs of one scenario.
type counts struct {
	Calls, Failed, Runtime, Killed, Stopped int
	Passed                                  int      // nothing happened: the call has no such error, or was not made
	Broken                                  []string // promises, a report for each
}

func main() {
	box.Skip()
	o := options{}
	flag.StringVar(&o.bin, "bin", "bin", "`directory` of the programs")
	flag.IntVar(&o.sample, "sample", 0, "so many `faults` in each scenario; 0: every one")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the sample")
	flag.StringVar(&o.only, "only", "", "only scenarios whose `name` has this in it")
	flag.StringVar(&o.fault, "fault", "", "only this `fault`: EIO@17, KILL@3, STOP@r5 (at a call of the runtime's)")
	flag.BoolVar(&o.list, "list", false, "name the scenarios")
	flag.IntVar(&o.jobs, "jobs", runtime.NumCPU(), "how many at a time")
	flag.IntVar(&o.job, "job", 0, "used internally")
	flag.Parse()
	if o.list {
		for _, s := range scenarios() {
			fmt.Println(s.name)
		}
		return
	}
	if box.Inside() {
		box.Enter()
		os.Exit(o.work())
	}
	os.Exit(o.share())
}

// share divides the work among jobs, each in a box of its own, and adds up.
func (o *options) share() int {
	began := time.Now()
	if o.fault != "" {
		o.jobs = 1
	}
	var wg sync.WaitGroup
	outputs := make([]bytes.Buffer, o.jobs)
	status := make([]int, o.jobs)
	for i := range o.jobs {
		wg.Go(func() {
			args := append(slices.Clone(os.Args[1:]), "-jobs", strconv.Itoa(o.jobs), "-job", strconv.Itoa(i),
				"-seed", strconv.FormatUint(o.seed, 10))
			status[i] = box.Run(&outputs[i], args...)
		})
	}
	wg.Wait()
	sum := map[string]*counts{}
	for i := range outputs {
		var part map[string]*counts
		if err := json.Unmarshal(outputs[i].Bytes(), &part); err != nil {
			fmt.Fprintf(os.Stderr, "faults: job %d: %v\n", i, err)
			return 1
		}
		for name, c := range part {
			if sum[name] == nil {
				sum[name] = &counts{}
			}
			sum[name].add(c)
		}
	}
	total := counts{}
	fmt.Printf("%-34s %6s %7s %8s %7s %7s %7s %7s\n", "", "calls", "failed", "runtime", "killed", "stopped", "passed", "broken")
	row := func(name string, c *counts) {
		fmt.Printf("%-34s %6d %7d %8d %7d %7d %7d %7d\n", name, c.Calls, c.Failed, c.Runtime, c.Killed, c.Stopped, c.Passed, len(c.Broken))
	}
	for _, s := range scenarios() {
		if c := sum[s.name]; c != nil {
			row(s.name, c)
			total.add(c)
		}
	}
	row("all", &total)
	fmt.Printf("%d runs in %.0f s, seed %d\n", total.Failed+total.Runtime+total.Killed+total.Stopped, time.Since(began).Seconds(), o.seed)
	// Once more, below the table, where the end of a long log still has them.
	for _, report := range total.Broken {
		fmt.Print(report)
	}
	if o.fault == "" && total.Failed == 0 { // the stacks cannot be read, or no scenario has that name
		fmt.Println("no call failed")
		return 1
	}
	return min(1, len(total.Broken)+slices.Max(status))
}

func (c *counts) add(d *counts) {
	c.Calls = max(c.Calls, d.Calls)
	c.Failed += d.Failed
	c.Runtime += d.Runtime
	c.Killed += d.Killed
	c.Stopped += d.Stopped
	c.Passed += d.Passed
	c.Broken = append(c.Broken, d.Broken...)
}

// work is one job, in its box. Its counts go to standard output.
func (o *options) work() int {
	runtime.LockOSThread() // ptrace(2) is for the thread that began it
	b, err := newBench(o.bin)
	if err != nil {
		fmt.Fprintf(os.Stderr, "faults: %v\n", err)
		return 1
	}
	sum := map[string]*counts{}
	random := rand.New(rand.NewPCG(o.seed, uint64(o.job)))
	for _, s := range scenarios() {
		if !strings.Contains(s.name, o.only) {
			continue
		}
		c := &counts{}
		sum[s.name] = c
		if o.fault != "" {
			f, err := parseFault(o.fault)
			if err != nil {
				fmt.Fprintf(os.Stderr, "faults: %v\n", err)
				return 2
			}
			h := b.try(s, f, c)
			c.Calls = f.at
			fmt.Fprintf(os.Stderr, "%s: %v: call %d %x in process %d: %s\n", s.name, f, h.nr, h.args, h.in, strings.Join(h.stack, " < "))
			continue
		}
		profile := b.profile(s, c)
		c.Calls = len(profile)
		own, others := plan(profile)
		if o.sample > 0 { // most of them where the program has something to do
			n := (o.sample + o.jobs - 1) / o.jobs
			own, others = pick(random, own, n-n/4), pick(random, others, n/4)
		}
		for i, f := range slices.Concat(own, others) {
			if (o.sample > 0 || i%o.jobs == o.job) && len(c.Broken) < 50 {
				b.try(s, f, c)
			}
		}
	}
	json.NewEncoder(os.Stdout).Encode(sum)
	return 0
}

// plan is the faults for one scenario: every errno for every call that can have
// it, and KILL and STOP everywhere. Own are those at calls of the program that
// can fail.
func plan(profile []call) (own, others []fault) {
	count := map[bool]int{}
	for _, c := range profile {
		count[c.runtime]++
		f := fault{runtime: c.runtime, at: count[c.runtime]}
		var list []fault
		for _, errno := range errnos {
			if f.kind, f.errno = fail, errno; canFail(c.nr, errno) {
				list = append(list, f)
			}
		}
		to := &own
		if c.runtime || len(list) == 0 {
			to = &others
		}
		f.kind, f.errno = stop, 0
		list = append(list, f)
		f.kind = kill
		list = append(list, f)
		f.after = true
		*to = append(append(*to, list...), f)
	}
	return own, others
}

// pick takes n faults from all over the list.
func pick(random *rand.Rand, list []fault, n int) (some []fault) {
	if n >= len(list) {
		return list
	}
	for i := range n {
		from, to := i*len(list)/n, (i+1)*len(list)/n
		some = append(some, list[from+random.IntN(to-from)])
	}
	return some
}

// parseFault reads NAME@N, or KILL@N+.
func parseFault(s string) (f fault, err error) {
	name, at, _ := strings.Cut(s, "@")
	at, f.after = strings.CutSuffix(at, "+")
	at, f.runtime = strings.CutPrefix(at, "r")
	if f.at, err = strconv.Atoi(at); err != nil {
		return f, fmt.Errorf("%s: expected a fault such as EIO@17", s)
	}
	switch name {
	case "KILL":
		f.kind = kill
	case "STOP":
		f.kind = stop
	default:
		f.kind = fail
		for _, errno := range errnos {
			if unix.ErrnoName(errno) == name {
				f.errno = errno
			}
		}
		if f.errno == 0 {
			return f, fmt.Errorf("%s: not one of %v", name, errnos)
		}
	}
	return f, nil
}
