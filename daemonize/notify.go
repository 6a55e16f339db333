package main

import (
	"cmp"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// notifySocket is where the command says that it is ready: sd_notify(3).
type notifySocket struct {
	fd   int
	dir  string
	path string
	uid  uint32 // whose messages count
}

// listen makes the socket in a directory that only the user can reach. What it
// returns is to be closed also when it failed half-way.
func listen(user *posix.Identity) (s *notifySocket, err error) {
	s = &notifySocket{fd: -1, uid: uint32(unix.Geteuid())}
	base, owner, group := os.TempDir(), -1, -1
	if s.uid == 0 {
		base = "/run" // root's TMPDIR may be closed to others
	}
	if user != nil {
		s.uid, owner, group = uint32(user.UID), user.UID, user.GID
	}
	dir, err := os.MkdirTemp(base, "daemonize.")
	if os.IsNotExist(err) {
		dir, err = os.MkdirTemp("/tmp", "daemonize.")
	}
	if err != nil {
		return nil, err
	}
	s.dir, s.path = dir, dir+"/notify"
	if s.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return s, err
	}
	return s, cmp.Or( // the first error says why the others failed
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1),
		unix.Bind(s.fd, &unix.SockaddrUnix{Name: s.path}),
		unix.Chmod(s.path, 0o600),
		unix.Chown(s.path, owner, group),
		unix.Chown(s.dir, owner, group),
	)
}

// receive passes on the messages that the user's processes send, until end.
func (s *notifySocket) receive(messages chan<- string) {
	defer close(messages)
	text, extra := make([]byte, 4096), make([]byte, 4096)
	for {
		n, m, _, _, err := unix.Recvmsg(s.fd, text, extra, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil || m == 0 { // every message bears credentials, the end none
			return
		}
		if sender(extra[:m]) == int64(s.uid) {
			messages <- string(text[:n])
		}
	}
}

// said is what a message means to daemonize: lines of NAME=VALUE, of which a
// later one counts.
func said(text string) (ready bool, status string) {
	for line := range strings.SplitSeq(text, "\n") {
		if value, ok := strings.CutPrefix(line, "STATUS="); ok {
			status = value
		}
		ready = ready || line == "READY=1"
	}
	return ready, status
}

// sender is the user that the kernel says sent a message, or -1. Descriptors
// that came along are closed: the sender of a BARRIER=1 waits for that.
func sender(extra []byte) (uid int64) {
	uid = -1
	parts, err := unix.ParseSocketControlMessage(extra)
	if err != nil {
		return uid
	}
	for i := range parts {
		if cred, err := unix.ParseUnixCredentials(&parts[i]); err == nil {
			uid = int64(cred.Uid)
		}
		if fds, err := unix.ParseUnixRights(&parts[i]); err == nil {
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}
	return uid
}

// end lets receive return, after what has arrived already.
func (s *notifySocket) end() { unix.Shutdown(s.fd, unix.SHUT_RD) }

// close takes the socket away, where there is one.
func (s *notifySocket) close() {
	if s == nil {
		return
	}
	if s.fd >= 0 {
		unix.Close(s.fd)
	}
	os.Remove(s.path)
	os.Remove(s.dir)
}
