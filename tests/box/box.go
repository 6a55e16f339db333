// Package box gives a test program a PID namespace of its own, whose init it
// is: every orphan comes to it, nobody outside can be hit, and when it ends,
// in whatever way, nothing of it is left.
package box

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mark is in the environment of a program that runs in a box.
const mark = "PROCGROUP_BOX"

// Dir is the box's own directory, only root's and gone with the box.
const Dir = "/run/box"

// Enter returns in the box, and in Dir. Outside it runs the program once more
// in a box, and ends as that one does.
func Enter() {
	if !Inside() {
		os.Exit(Run(os.Stdout, os.Args[1:]...))
	}
	if err := furnish(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: cannot make a box: %v\n", os.Args[0], err)
		os.Exit(1)
	}
}

// Inside tells whether Enter would return.
func Inside() bool { return os.Getenv(mark) != "" }

// Skip ends the program where there can be no box, as for others than root:
// successfully, for the rest of the suite to go on.
func Skip() {
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if err := cmd.Run(); errors.Is(err, unix.EPERM) {
		fmt.Println("skipped: a PID namespace needs root")
		os.Exit(0)
	}
}

const namespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS

// Run runs the program once more, in a box and with these arguments, and
// returns its status. With the caller's end the box ends too.
func Run(stdout io.Writer, args ...string) (status int) {
	runtime.LockOSThread() // Pdeathsig is that of the thread
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), mark+"=1")
	cmd.Stdout, cmd.Stderr = stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: namespaces,
		Setsid:     true,
		Pdeathsig:  unix.SIGKILL,
	}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: box: %v\n", os.Args[0], err)
		return 1
	}
	return 0
}

func furnish() error {
	os.Unsetenv(mark)
	if unix.Getpid() != 1 {
		return errors.New("not the init of a PID namespace")
	}
	// So that what is mounted here is not seen outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("/: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	// With it go the sockets of daemonize -n, too.
	if err := unix.Mount("box", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("/run: %w", err)
	}
	unix.Umask(0o022)
	if err := os.Mkdir(Dir, 0o755); err != nil {
		return err
	}
	return os.Chdir(Dir)
}

// Work has many workers take step after step, for so many seconds. The seed
// makes each worker's sequence of random numbers.
func Work(workers int, seconds float64, seed uint64, step func(r *rand.Rand)) {
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for time.Now().Before(end) {
				step(r)
			}
		})
	}
	wg.Wait()
}

// Report prints how often each kind of step was done, of a run that broke nothing.
func Report(counts map[string]int) {
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		fmt.Printf("%7d  %s\n", counts[kind], kind)
		total += counts[kind]
	}
	fmt.Printf("%7d  steps, and nothing broken\n", total)
}
