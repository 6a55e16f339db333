package box

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Init is the box's init at work: it starts children, and reaps every orphan.
type Init struct {
	// Ended, if it is set, is told of each orphan that has ended, with its
	// name, before its number is free again.
	Ended func(pid int, name string)

	// Late keeps the init from its orphans: they stay zombies.
	Late atomic.Bool

	mu       sync.Mutex
	children map[int]*Child
	serial   int
}

// Child is a process that the test started.
type Child struct {
	PID    int
	done   chan struct{}
	status unix.WaitStatus
}

// Wait returns how the child ended.
func (c *Child) Wait() unix.WaitStatus {
	<-c.done
	return c.status
}

// Over tells whether the child has ended.
func (c *Child) Over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Run begins to reap.
func (i *Init) Run() {
	i.children = map[int]*Child{}
	go func() {
		for {
			i.reap()
		}
	}()
}

func (i *Init) reap() {
	pid := i.next()
	if pid == 0 {
		time.Sleep(100 * time.Microsecond)
		return
	}
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	i.mu.Lock() // Start may not have entered it yet
	child := i.children[pid]
	delete(i.children, pid)
	i.mu.Unlock()
	if child == nil && i.Ended != nil {
		i.Ended(pid, strings.TrimSuffix(string(name), "\n"))
	}
	var status unix.WaitStatus
	unix.Wait4(pid, &status, 0, nil)
	if child != nil {
		child.status = status
		close(child.done)
	}
}

// next is a child that has ended, or 0.
func (i *Init) next() (pid int) {
	if !i.Late.Load() {
		return ended(unix.P_ALL, 0)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for pid := range i.children {
		if ended(unix.P_PID, pid) != 0 {
			return pid
		}
	}
	return 0
}

func ended(kind, id int) (pid int) {
	var info unix.Siginfo
	if err := unix.Waitid(kind, id, &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil); err != nil {
		return 0
	}
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), 16))) // si_pid, 64-bit
}

// Start starts a program, by its path.
func (i *Init) Start(argv, env []string, files [3]*os.File, sys *syscall.SysProcAttr) (*Child, error) {
	attr := &syscall.ProcAttr{Env: append([]string{"PATH=/usr/bin:/bin", "LC_ALL=C"}, env...), Sys: sys}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	args := append([]string{filepath.Base(argv[0])}, argv[1:]...)
	pid, err := syscall.ForkExec(argv[0], args, attr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", argv[0], err)
	}
	c := &Child{PID: pid, done: make(chan struct{})}
	i.children[pid] = c
	return c, nil
}

// Tool is a program under test, at work.
type Tool struct {
	*Child
	output *os.File
}

// Tool starts a program whose output is wanted. It goes to a file: what the
// program leaves running could hold a pipe open.
func (i *Init) Tool(env []string, argv ...string) (*Tool, error) {
	i.mu.Lock()
	i.serial++
	name := fmt.Sprintf("output.%d", i.serial)
	i.mu.Unlock()
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	os.Remove(name)
	null, err := os.Open("/dev/null")
	if err != nil {
		return nil, err
	}
	defer null.Close()
	c, err := i.Start(argv, env, [3]*os.File{null, f, f}, nil)
	return &Tool{c, f}, err
}

// Patience is how long a program may take before it counts as hung.
const Patience = 30 * time.Second

// Result waits for the tool's end. Status -1: a signal ended it, or it hung.
func (t *Tool) Result() (status int, output string) {
	hung := false
	select {
	case <-t.done:
	case <-time.After(Patience):
		hung = true
		unix.Kill(t.PID, unix.SIGKILL)
		<-t.done
	}
	output = strings.TrimSuffix(t.Output(), "\n")
	t.output.Close()
	switch {
	case hung:
		return -1, "it hung; " + output
	case !t.status.Exited():
		return -1, output
	}
	return t.status.ExitStatus(), output
}

// Output is what the tool has said so far.
func (t *Tool) Output() string {
	text := make([]byte, 64<<10)
	n, _ := t.output.ReadAt(text, 0)
	return string(text[:n])
}

// Do runs a tool to its end.
func (i *Init) Do(argv ...string) (status int, output string) {
	t, err := i.Tool(nil, argv...)
	if err != nil {
		return -1, err.Error()
	}
	return t.Result()
}

// Victim is a process that nobody may signal. Any signal that means something
// to it ends it, and that shows.
type Victim struct {
	*Child
	end *os.File
}

// Victim starts one; with extra arguments a shell that does what they say.
func (i *Init) Victim(sys *syscall.SysProcAttr, shell ...string) (*Victim, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	argv := []string{"/bin/cat"} // until the end of its input
	if len(shell) > 0 {
		argv = append([]string{"/bin/sh", "-c"}, shell...)
	}
	c, err := i.Start(argv, nil, [3]*os.File{r, os.Stderr, os.Stderr}, sys)
	return &Victim{c, w}, err
}

// End lets the victim end, and tells whether a signal came first.
func (v *Victim) End() (signalled bool) {
	signalled = v.Over()
	v.end.Close()
	return v.Wait() != 0 || signalled
}
