package posix

import "golang.org/x/sys/unix"

// FD is an open descriptor as an io.Writer. Unlike os.File it never turns a
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

// readFile is os.ReadFile without Go's poller, which waits after EAGAIN for as
// long as the file does not change: proc_pid_mountinfo(5) may never do so.
func readFile(path string) (text []byte, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	for n := -1; n != 0; {
		err = retry(func() error {
			n, err = unix.Read(fd, buf)
			return err
		})
		if err != nil {
			return nil, err
		}
		text = append(text, buf[:n]...)
	}
	return text, nil
}
