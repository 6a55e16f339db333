package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSaid(t *testing.T) {
	for text, want := range map[string]struct {
		ready  bool
		status string
	}{
		"":                                    {},
		"READY=1":                             {ready: true},
		"READY=1\n":                           {ready: true},
		"READY=0":                             {},
		"READY=11":                            {},
		"XREADY=1":                            {},
		" READY=1":                            {},
		"READY=1 ":                            {},
		"MAINPID=1\nREADY=1\nSTATUS=up":       {true, "up"},
		"STATUS=a\nSTATUS=b=c":                {false, "b=c"},
		"STATUS=READY=1":                      {false, "READY=1"},
		"\n\n\x00":                            {},
		"STATUS=" + strings.Repeat("x", 4000): {false, strings.Repeat("x", 4000)},
	} {
		if ready, status := said(text); ready != want.ready || status != want.status {
			t.Errorf("%q: %v, %q", text, ready, status)
		}
	}
}

func FuzzSaid(f *testing.F) {
	f.Add("READY=1\nSTATUS=x")
	f.Fuzz(func(t *testing.T, text string) {
		ready, status := said(text)
		framed := "\n" + text + "\n"
		if ready != strings.Contains(framed, "\nREADY=1\n") || !strings.Contains(framed, status+"\n") ||
			status != "" && !strings.Contains(framed, "\nSTATUS="+status+"\n") {
			t.Errorf("%q: %v, %q", text, ready, status)
		}
	})
}

// A message counts if the kernel says that the user sent it; descriptors that
// come along are closed; the end wakes the receiver.
func TestNotifySocket(t *testing.T) {
	s, err := listen(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	client, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	to := &unix.SockaddrUnix{Name: s.path}
	messages := make(chan string)
	go s.receive(messages)

	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendmsg(client, []byte("BARRIER=1"), unix.UnixRights(pipe[1]), to, 0); err != nil {
		t.Fatal(err)
	}
	unix.Close(pipe[1])
	if got := <-messages; got != "BARRIER=1" {
		t.Errorf("received %q", got)
	}
	if n, err := unix.Read(pipe[0], make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("the barrier's pipe: %d, %v; want its end", n, err)
	}
	unix.Close(pipe[0])

	if err := unix.Sendto(client, []byte("READY=1"), 0, to); err != nil {
		t.Fatal(err)
	}
	if got := <-messages; got != "READY=1" {
		t.Errorf("received %q", got)
	}
	s.end()
	select {
	case _, more := <-messages:
		if more {
			t.Error("a message after the end")
		}
	case <-time.After(10 * time.Second):
		t.Error("receive goes on after the end")
	}
	s.close()
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", s.dir, err)
	}
}

// Without credentials a message is nobody's.
func TestSender(t *testing.T) {
	if uid := sender(nil); uid != -1 {
		t.Error(uid)
	}
	if uid := sender([]byte("garbage, and not a control message")); uid != -1 {
		t.Error(uid)
	}
	if uid := sender(unix.UnixCredentials(&unix.Ucred{Pid: 1, Uid: 4294967294, Gid: 1})); uid != 4294967294 {
		t.Error(uid)
	}
}
