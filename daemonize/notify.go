package main

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// notifySocket is where the command says that it is ready: sd_notify(3).
type notifySocket struct {
	fd   int
	dir  string // daemonize's own: nobody else can put anything there
	path string
	uid  int // the command's user
}

// listen makes the socket for a command of that user (nil: the caller), in the
// first directory that allows it.
func listen(user *posix.Identity) (s *notifySocket, err error) {
	bases := []string{os.Getenv("TMPDIR"), "/tmp"}
	if unix.Geteuid() == 0 { // whose TMPDIR may be closed to the command
		bases = append([]string{"/run"}, bases...)
	}
	for _, base := range bases {
		if !strings.HasPrefix(base, "/") {
			continue
		}
		if s, err = listenIn(base); err == nil {
			if s.uid = unix.Geteuid(); user != nil {
				s.uid = user.UID
			}
			return s, nil
		}
		s.close()
	}
	return nil, err
}

// listenIn makes the socket in a new directory in base. Everybody may send to
// it: a service that has changed its user is no longer who it was. What it
// returns is to be closed even with an error.
func listenIn(base string) (s *notifySocket, err error) {
	s = &notifySocket{fd: -1}
	entry, err := posix.Resolve(base + "/")
	if err != nil {
		return s, err
	}
	entry.Close()
	if entry.Rights != nil { // that user could put something else in its place, for root to remove
		return s, fmt.Errorf("refused: %s is user %s's", posix.Escape(base), posix.UserName(entry.Rights.UID))
	}
	if s.dir, err = os.MkdirTemp(base, "daemonize."); err != nil {
		return s, err
	}
	s.path = s.dir + "/notify"
	if s.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return s, err
	}
	return s, cmp.Or( // all are tried: if one fails, those after it do too, and the first says why
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1),
		unix.Bind(s.fd, &unix.SockaddrUnix{Name: s.path}),
		unix.Chmod(s.path, 0o666),
		unix.Chmod(s.dir, 0o711),
	)
}

// receive passes on the messages of the command's processes, until end.
func (s *notifySocket) receive(notifications chan<- notification) {
	defer close(notifications)
	text := make([]byte, 4096)
	// There is room for the credentials alone, so that the kernel drops
	// descriptors that come along. The sender of a BARRIER=1, who waits for its
	// own to be closed, goes on then too. If daemonize closed them, it could wait
	// for ever for the file system of one.
	extra := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for {
		n, m, _, _, err := unix.Recvmsg(s.fd, text, extra, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil || m == 0 { // every message bears credentials, the end none
			return
		}
		if from := sender(extra[:m]); from != nil && s.counts(from) {
			notifications <- parseNotification(string(text[:n]))
		}
	}
}

// sender is who the kernel says sent a message, or nil.
func sender(extra []byte) *unix.Ucred {
	parts, err := unix.ParseSocketControlMessage(extra)
	if err != nil || len(parts) == 0 {
		return nil
	}
	from, _ := unix.ParseUnixCredentials(&parts[0])
	return from
}

// counts tells whether the sender is in the command's session, which is
// daemonize's, or descends from a process that is. Where that cannot be seen,
// because the sender has ended or is in another PID namespace, its message
// counts if its user is the command's.
func (s *notifySocket) counts(from *unix.Ucred) bool {
	session, _ := unix.Getsid(0)
	for pid := int(from.Pid); pid > 1; {
		sid, err := unix.Getsid(pid)
		if err != nil {
			return int(from.Uid) == s.uid
		}
		if sid == session {
			return true
		}
		p, err := posix.ReadStat(pid)
		if err != nil {
			return int(from.Uid) == s.uid
		}
		pid = p.PPID
	}
	return from.Pid == 0 && int(from.Uid) == s.uid
}

// notification is what daemonize understands of sd_notify(3).
type notification struct {
	ready  bool
	status string
	errno  unix.Errno    // of its failure, or 0
	extend time.Duration // how much longer it may take from now on, or 0
}

// parseNotification reads lines of NAME=VALUE. Of several lines of one name the
// last counts, but READY=1 is not taken back.
func parseNotification(text string) (m notification) {
	for line := range strings.SplitSeq(text, "\n") {
		name, value, _ := strings.Cut(line, "=")
		switch name {
		case "READY":
			m.ready = m.ready || value == "1"
		case "STATUS":
			m.status = value
		case "ERRNO":
			if n, err := strconv.ParseUint(value, 10, 12); err == nil { // MAX_ERRNO is 4095
				m.errno = unix.Errno(n)
			}
		case "EXTEND_TIMEOUT_USEC":
			if n, err := strconv.ParseUint(value, 10, 53); err == nil { // 285 years
				m.extend = time.Duration(n) * time.Microsecond
			}
		}
	}
	return m
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
