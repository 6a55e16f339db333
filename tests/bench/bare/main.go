// Bare reads a PID from a file, sends it TERM, waits for its end and removes
// the file: the least that a Go program can do, for pidkill to be measured by.
package main

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func main() {
	content, err := os.ReadFile(os.Args[1])
	if err != nil {
		os.Exit(1)
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(content)))
	if err != nil || pid < 2 {
		os.Exit(1)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		os.Exit(1)
	}
	unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0)
	unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
	os.Remove(os.Args[1])
}
