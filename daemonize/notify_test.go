package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseNotification(t *testing.T) {
	for text, want := range map[string]notification{
		"":                                     {},
		"READY=1":                              {ready: true},
		"READY=1\n":                            {ready: true},
		"READY":                                {},
		"READY=0":                              {},
		"READY=11":                             {},
		"XREADY=1":                             {},
		" READY=1":                             {},
		"READY=1 ":                             {},
		"MAINPID=1\nREADY=1\nSTATUS=up":        {ready: true, status: "up"},
		"STATUS=a\nSTATUS=b=c":                 {status: "b=c"},
		"STATUS=READY=1":                       {status: "READY=1"},
		"\n\n\x00":                             {},
		"STATUS=" + strings.Repeat("x", 4000):  {status: strings.Repeat("x", 4000)},
		"ERRNO=2\nSTATUS=no such key":          {errno: unix.ENOENT, status: "no such key"},
		"ERRNO=0":                              {},
		"ERRNO=-2":                             {},
		"ERRNO=4096":                           {},
		"ERRNO=":                               {},
		"EXTEND_TIMEOUT_USEC=1500000":          {extend: 1500 * time.Millisecond},
		"EXTEND_TIMEOUT_USEC=-1":               {},
		"EXTEND_TIMEOUT_USEC=9007199254740992": {},
		"EXTEND_TIMEOUT_USEC=9007199254740991": {extend: (1<<53 - 1) * time.Microsecond},
	} {
		if got := parseNotification(text); got != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func FuzzParseNotification(f *testing.F) {
	f.Add("READY=1\nSTATUS=x")
	f.Add("ERRNO=2\nEXTEND_TIMEOUT_USEC=10")
	f.Fuzz(func(t *testing.T, text string) {
		m := parseNotification(text)
		framed := "\n" + text + "\n"
		if m.ready != strings.Contains(framed, "\nREADY=1\n") || !strings.Contains(framed, m.status+"\n") ||
			m.status != "" && !strings.Contains(framed, "\nSTATUS=") ||
			m.errno != 0 && !strings.Contains(framed, "\nERRNO=") || m.errno > 4095 ||
			m.extend < 0 || m.extend != 0 && !strings.Contains(framed, "\nEXTEND_TIMEOUT_USEC=") {
			t.Errorf("%q: %+v", text, m)
		}
	})
}

// A message of a process in this session counts; descriptors that come along
// are closed; the end wakes the receiver.
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
	notifications := make(chan notification)
	go s.receive(notifications)

	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendmsg(client, []byte("STATUS=x\nBARRIER=1"), unix.UnixRights(pipe[1]), to, 0); err != nil {
		t.Fatal(err)
	}
	unix.Close(pipe[1])
	if got := <-notifications; got != (notification{status: "x"}) {
		t.Errorf("received %+v", got)
	}
	if os.Getenv("EMULATED") == "" { // qemu-user makes room for descriptors, and leaves them open
		if n, err := unix.Read(pipe[0], make([]byte, 1)); n != 0 || err != nil {
			t.Errorf("the barrier's pipe: %d, %v; want its end", n, err)
		}
	}
	unix.Close(pipe[0])

	if err := unix.Sendto(client, []byte("READY=1"), 0, to); err != nil {
		t.Fatal(err)
	}
	if got := <-notifications; !got.ready {
		t.Errorf("received %+v", got)
	}
	s.end()
	select {
	case _, more := <-notifications:
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
	for _, extra := range []string{"", "garbage, and not a control message", string(unix.UnixRights(0))} {
		if from := sender([]byte(extra)); from != nil {
			t.Errorf("%q: %+v", extra, from)
		}
	}
	want := unix.Ucred{Pid: 1, Uid: 4294967294, Gid: 1}
	if from := sender(unix.UnixCredentials(&want)); from == nil || *from != want {
		t.Errorf("%+v", from)
	}
}

// This session's processes count, and their descendants elsewhere; of those
// that cannot be seen the user's.
func TestCounts(t *testing.T) {
	s := &notifySocket{uid: 1234}
	away := exec.Command("sleep", "1000")
	away.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := away.Start(); err != nil {
		t.Fatal(err)
	}
	child := int32(away.Process.Pid)
	t.Cleanup(func() { away.Process.Kill(); away.Wait() })
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	gone := int32(ended.Process.Pid)
	for _, test := range []struct {
		from unix.Ucred
		want bool
	}{
		{unix.Ucred{Pid: int32(os.Getpid()), Uid: 99}, true},
		{unix.Ucred{Pid: child, Uid: 99}, true},
		{unix.Ucred{Pid: 1, Uid: 1234}, false},
		{unix.Ucred{Pid: gone, Uid: 1234}, true},
		{unix.Ucred{Pid: gone, Uid: 99}, false},
		{unix.Ucred{Pid: 0, Uid: 1234}, true},
		{unix.Ucred{Pid: 0, Uid: 0}, false},
	} {
		if got := s.counts(&test.from); got != test.want {
			t.Errorf("%+v: %v", test.from, got)
		}
	}
}
