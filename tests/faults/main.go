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
// what a kill may leave. Calls that cannot fail are passed over.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
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
	bin   string
	all   bool
	only  string // scenarios whose name has it
	fault string // one alone: EIO@17, KILL@3
	list  bool
	jobs  int
	job   int // which of the jobs this is
}

// counts are the runs of one scenario.
type counts struct {
	Calls, Failed, Runtime, Exempt, Killed, Stopped int
	Broken                                          int // promises
}

func main() {
	box.Skip()
	o := options{}
	flag.StringVar(&o.bin, "bin", "bin", "`directory` of the programs")
	flag.BoolVar(&o.all, "all", false, "every errno at every call, not one of them in turn")
	flag.StringVar(&o.only, "only", "", "only scenarios whose `name` has this in it")
	flag.StringVar(&o.fault, "fault", "", "only this `fault`: EIO@17, KILL@3, STOP@5")
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
		wg.Add(1)
		go func() {
			defer wg.Done()
			args := append(slices.Clone(os.Args[1:]), "-jobs", strconv.Itoa(o.jobs), "-job", strconv.Itoa(i))
			status[i] = box.Run(&outputs[i], args...)
		}()
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
	fmt.Printf("%-34s %6s %7s %8s %7s %7s %7s\n", "", "calls", "failed", "runtime", "killed", "stopped", "broken")
	row := func(name string, c *counts) {
		fmt.Printf("%-34s %6d %7d %8d %7d %7d %7d\n", name, c.Calls, c.Failed, c.Runtime, c.Killed, c.Stopped, c.Broken)
	}
	for _, s := range scenarios() {
		if c := sum[s.name]; c != nil {
			row(s.name, c)
			total.add(c)
		}
	}
	row("all", &total)
	fmt.Printf("%d runs in %.0f s\n", total.Failed+total.Runtime+total.Killed+total.Stopped, time.Since(began).Seconds())
	return min(1, total.Broken+slices.Max(status))
}

func (c *counts) add(d *counts) {
	c.Calls = max(c.Calls, d.Calls)
	c.Failed += d.Failed
	c.Runtime += d.Runtime
	c.Exempt += d.Exempt
	c.Killed += d.Killed
	c.Stopped += d.Stopped
	c.Broken += d.Broken
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
	for _, s := range scenarios() {
		// A supervisor takes its time to be let go: not in a sample.
		if !strings.Contains(s.name, o.only) || s.stays && !o.all && o.only == "" {
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
		profile := b.profile(s)
		c.Calls = len(profile)
		for i, f := range o.plan(profile) {
			if i%o.jobs == o.job && c.Broken < 50 {
				b.try(s, f, c)
			}
		}
	}
	json.NewEncoder(os.Stdout).Encode(sum)
	return 0
}

// plan is the faults for one scenario. Its profile says which calls are the
// runtime's own. With -all it is every errno for every call of the program, one
// of them in turn for the runtime's, and a KILL and a STOP everywhere. A sample
// has one errno for each call of the program, and little for the runtime's.
func (o *options) plan(profile []bool) (faults []fault) {
	own, others := 0, 0
	for i, runtimes := range append(profile, make([]bool, 5)...) { // threads are never twice alike
		at := i + 1
		turn := &own
		if runtimes {
			turn = &others
		}
		*turn++
		if runtimes && !o.all && *turn%16 != 0 {
			continue
		}
		for e, errno := range errnos {
			if o.all && !runtimes || (*turn/16+*turn)%len(errnos) == e {
				faults = append(faults, fault{kind: fail, errno: errno, at: at})
			}
		}
		faults = append(faults, fault{kind: kill, at: at})
		if o.all {
			faults = append(faults, fault{kind: kill, at: at, after: true})
		}
		if o.all || *turn%4 == 0 {
			faults = append(faults, fault{kind: stop, at: at})
		}
	}
	return faults
}

// parseFault reads NAME@N, or KILL@N+.
func parseFault(s string) (f fault, err error) {
	name, at, _ := strings.Cut(s, "@")
	at, f.after = strings.CutSuffix(at, "+")
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
