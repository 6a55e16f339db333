package posix

import "golang.org/x/sys/unix"

// FD is an open descriptor as a Writer. Unlike os.File it never turns a
// closed pipe into SIGPIPE, so that nobody's closed terminal decides how far
// a program gets.
type FD int

// Write writes all of p; the error is that of write(2).
func (fd FD) Write(p []byte) (n int, err error) {
	for n < len(p) {
		m, err := unix.Write(int(fd), p[n:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// retry calls a system call again for as long as a signal interrupts it.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
