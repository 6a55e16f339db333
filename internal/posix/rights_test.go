package posix

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Two users of whom there is no process and no entry in /etc/passwd.
const testUID, otherUID = 54321, 54322

var testUser = &Identity{UID: testUID, GID: testUID, Groups: []int{testUID, 54400}}

// isRoot is asked only once: a thread could be left behind that is not.
var isRoot = os.Geteuid() == 0

func needRoot(t *testing.T) {
	if !isRoot {
		t.Skip("needs root")
	}
}

// credentials are lines of proc_pid_status(5) of a thread of this process.
func credentials(t *testing.T, tid int, names ...string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/status", tid))
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); slices.Contains(names, name) {
			lines = append(lines, strings.Join(strings.Fields(value), " "))
		}
	}
	return lines
}

func TestDo(t *testing.T) {
	needRoot(t)
	err := testUser.Do(func() error {
		tid := unix.Gettid()
		if tid == unix.Getpid() {
			t.Error("on the first thread")
		}
		got := credentials(t, tid, "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb")
		none := "0000000000000000"
		want := []string{
			fmt.Sprint(uint32(0xfffffffd), testUID, 0, testUID),
			fmt.Sprint(testUID, testUID, testUID, testUID), fmt.Sprint(testUID, 54400),
			none, none, none, none,
		}
		if !slices.Equal(got, want) {
			t.Errorf("credentials %q, want %q", got, want)
		}
		return unix.EXDEV
	})
	if err != unix.EXDEV {
		t.Errorf("the error of f came back as %v", err)
	}
	if err := (*Identity)(nil).Do(func() error { return unix.EXDEV }); err != unix.EXDEV {
		t.Errorf("a nil Identity: %v", err)
	}
}

// No thread but those of f ever has the user's rights: none that runs other
// goroutines meanwhile, none that is made meanwhile, none afterwards.
func TestDoOnOneThread(t *testing.T) {
	needRoot(t)
	var ours, seen sync.Map // threads that f ran on, and threads that had the rights
	look := func() (found int) {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Error(err)
		}
		for _, e := range entries {
			tid, _ := strconv.Atoi(e.Name())
			if uid := credentials(t, tid, "Uid"); len(uid) == 1 && uid[0] != "0 0 0 0" {
				seen.Store(tid, uid[0])
				found++
			}
		}
		return found
	}
	var wg sync.WaitGroup
	for range 40 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 5 {
				runtime.Gosched()
				testUser.Do(func() error {
					ours.Store(unix.Gettid(), true)
					// While it blocks, the runtime makes threads for the others.
					unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
					look()
					return nil
				})
			}
		}()
	}
	wg.Wait()
	seen.Range(func(tid, uid any) bool {
		if _, ok := ours.Load(tid); !ok {
			t.Errorf("thread %d had %s", tid, uid)
		}
		return true
	})
	for deadline := time.Now().Add(5 * time.Second); look() > 0; {
		if time.Now().After(deadline) {
			t.Fatal("a thread with the user's rights has not ended")
		}
	}
}

// The user may neither stop nor kill the thread, by whichever of its numbers.
func TestDoOutOfReach(t *testing.T) {
	needRoot(t)
	err := testUser.Do(func() error {
		for _, id := range []int{unix.Getpid(), unix.Gettid()} {
			for _, sig := range []unix.Signal{0, unix.SIGURG} { // one that does no harm
				cmd := exec.Command("/bin/kill", "-"+strconv.Itoa(int(sig)), strconv.Itoa(id))
				done := make(chan error)
				go func() { // which is root's, and so may become the user
					cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: testUID, Gid: testUID}}
					_, err := cmd.CombinedOutput()
					done <- err
				}()
				if err := <-done; err == nil {
					t.Errorf("the user may send signal %d to %d", sig, id)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// It may signal what kill(2) lets the user signal: whoever has that user as
// real or saved ID, and not a program of root's that acts for the user.
func TestDoSignals(t *testing.T) {
	needRoot(t)
	for _, test := range []struct {
		ids string // real, effective, saved
		err error
	}{
		{fmt.Sprint(testUID, testUID, testUID), nil},
		{fmt.Sprint(testUID, 0, 0), nil},
		{fmt.Sprint(0, 0, testUID), nil},
		{fmt.Sprint(0, testUID, 0), unix.EPERM},
		{fmt.Sprint(0, 0, 0), unix.EPERM},
		{fmt.Sprint(otherUID, otherUID, otherUID), unix.EPERM},
		{fmt.Sprint(otherUID, testUID, otherUID), unix.EPERM},
	} {
		pid, said := start(t, nil, "/proc/self/exe", append([]string{"with-uids"}, strings.Fields(test.ids)...)...)
		if said != "<nil>" {
			t.Fatal(said)
		}
		pin, err := Pin(pid)
		if err != nil {
			t.Fatal(err)
		}
		defer pin.Close()
		for how, send := range map[string]func() error{
			"kill":  func() error { return unix.Kill(pid, 0) },
			"pidfd": func() error { return pin.Signal(0) },
		} {
			if err := testUser.Do(send); err != test.err {
				t.Errorf("%s to %s: %v, want %v", how, test.ids, err, test.err)
			}
		}
	}
}

// Become has the user's IDs, all three, and the session keyring of nobody else.
func TestBecome(t *testing.T) {
	needRoot(t)
	keyring := func() int {
		id, _ := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
		return max(id, 0) // -1 where there are no keyrings, as in an emulator
	}
	before := keyring()
	err := testUser.Become(func() error {
		got := credentials(t, unix.Gettid(), "Uid", "CapInh", "CapPrm", "CapEff", "CapAmb")
		none := "0000000000000000"
		if want := []string{fmt.Sprint(testUID, testUID, testUID, testUID), none, none, none, none}; !slices.Equal(got, want) {
			t.Errorf("credentials %q, want %q", got, want)
		}
		if id := keyring(); id != 0 && id == before {
			t.Error("the caller's session keyring")
		}
		return unix.ENOEXEC
	})
	if err != unix.ENOEXEC {
		t.Error(err)
	}
	if uid := credentials(t, unix.Getpid(), "Uid"); uid[0] != "0 0 0 0" || keyring() != before {
		t.Errorf("afterwards: %v, keyring %d instead of %d", uid, keyring(), before)
	}
}
