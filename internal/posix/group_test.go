package posix

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// startGroup starts a shell that leads a group of its own, and returns when it
// has printed a line. Nobody reaps it before the test ends.
func startGroup(t *testing.T, script string) *Group {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	g := &Group{ID: cmd.Process.Pid}
	t.Cleanup(func() {
		g.Signal(unix.SIGKILL)
		g.Leader.Close()
		cmd.Wait()
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if g.Leader, err = Pin(g.ID); err != nil {
		t.Fatal(err)
	}
	return g
}

func anyone(*Handle) bool { return true }

func TestMember(t *testing.T) {
	g := startGroup(t, "sleep 60 & echo; wait")
	all, err := g.Members()
	all = slices.DeleteFunc(all, func(pid int) bool { return !g.Has(pid) }) // who vanished
	if err != nil || len(all) != 2 || all[0] != g.ID {
		t.Fatal(all, err)
	}
	for _, pid := range append(all, 0) {
		h, err := g.Member(func(h *Handle) bool { return h.PID == pid && h.Start > 0 })
		switch {
		case err != nil:
			t.Error(pid, err)
		case pid == 0 && h != nil, pid != 0 && (h == nil || h.PID != pid):
			t.Errorf("%d: %+v", pid, h)
		}
		h.Close()
	}
}

// A group of zombies is gone, whatever the patience; one that lives is not.
func TestGroupEnd(t *testing.T) {
	g := startGroup(t, "trap '' TERM; sleep 60 & echo; wait")
	if g.Wait(0) {
		t.Error("gone before its end")
	}
	steps := []Step{{unix.SIGTERM, 20 * time.Millisecond}, {unix.SIGKILL, 10 * time.Second}}
	began := time.Now()
	if !g.End(steps, g.Wait) || time.Since(began) > 5*time.Second {
		t.Errorf("not gone after %v", time.Since(began))
	}
	if g.Empty() || !g.Leader.Exited() {
		t.Error("its leader is no zombie")
	}
	if h, err := g.Member(anyone); h != nil || err != nil {
		t.Error(h, err)
	}
}

// Each of these forks and ends at once: whoever is found to be alive is dead a
// moment later, and yet the group never counts as gone.
func TestFleetingMembers(t *testing.T) {
	g := startGroup(t, `next='sh -c "$next" &'; export next; eval "$next"; echo`)
	found := 0
	for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
		h, err := g.Member(anyone)
		if h == nil && err == nil || g.Wait(0) {
			t.Fatal("gone")
		}
		if h != nil {
			found++
		}
		h.Close()
	}
	if found == 0 {
		t.Error("nobody was found")
	}
	g.Signal(unix.SIGKILL)
	if !g.Wait(10 * time.Second) {
		t.Error("not gone")
	}
}

// One watch of many ends the wait for all, and a look without patience is sure
// of each.
func TestAwait(t *testing.T) {
	var watches []*Watch
	var groups []*Group
	for range 3 {
		g := startGroup(t, "sleep 60 & echo; wait")
		w := &Watch{Group: g, Has: func(h *Handle) bool { return g.Has(h.PID) }}
		w.Begin(g.Leader)
		defer w.Close()
		groups, watches = append(groups, g), append(watches, w)
	}
	groups[1].Signal(unix.SIGKILL)
	for deadline := time.Now().Add(10 * time.Second); !watches[1].Gone && time.Now().Before(deadline); {
		Await(deadline, watches...)
	}
	Await(time.Now(), watches...)
	for i, w := range watches {
		if w.Gone != (i == 1) || w.Gone != (w.Member == nil) || w.Err != nil {
			t.Errorf("%d: %+v", i, w)
		}
	}
	// The next member is found by a look at the table, which those share.
	unix.Kill(groups[2].ID, unix.SIGKILL)
	if !groups[2].Leader.Wait(10 * time.Second) {
		t.Fatal("the leader lives")
	}
	Await(time.Now(), watches[0], watches[2])
	all, err := groups[2].Members()
	if h := watches[2].Member; err != nil || h == nil || h.PID == groups[2].ID || !slices.Contains(all, h.PID) {
		t.Errorf("%+v of %v, %v", h, all, err)
	}
}

// Nobody of a group can be seen, and yet it is not empty: proc(5), hidepid, in
// a namespace whose init is this user's. It does not count as gone.
func TestHiddenMembers(t *testing.T) {
	g := startGroup(t, "echo; exec sleep 60")
	g = &Group{ID: g.ID}
	defer func(proc string) { ProcRoot = proc }(ProcRoot)
	ProcRoot = t.TempDir()
	if err := os.Mkdir(ProcRoot+"/1", 0o755); err != nil {
		t.Fatal(err)
	}
	if g.Wait(0) {
		t.Error("gone")
	}
	if h, err := g.Member(anyone); h != nil || err != ErrFleeting {
		t.Error(h, err)
	}
}
