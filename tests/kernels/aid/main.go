// Aid is what tests/kernels/scenario needs besides a shell.
//
//	aid ready          says READY=1 on $NOTIFY_SOCKET
//	aid close COMMAND  becomes the command, with the descriptors 0, 1 and 2 alone
//	aid old COMMAND    becomes the command, without system calls newer than Linux 4.18
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	var err error
	switch os.Args[1] {
	case "ready":
		err = ready(os.Getenv("NOTIFY_SOCKET"))
	case "close":
		for fd := 3; fd < 1024; fd++ {
			unix.CloseOnExec(fd)
		}
		err = become(os.Args[2:])
	case "old":
		if err = forget(); err == nil {
			err = become(os.Args[2:])
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "aid: %v\n", err)
		os.Exit(1)
	}
}

func ready(socket string) error {
	if name, abstract := strings.CutPrefix(socket, "@"); abstract {
		socket = "\x00" + name
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte("READY=1"))
	}
	return err
}

func become(command []string) error {
	path, err := exec.LookPath(command[0])
	if err == nil {
		err = unix.Exec(path, command, os.Environ())
	}
	return err
}

// firstNew is the lowest number of a system call that came after Linux 4.18
// and is not another one's twin with times of 64 bits: Go needs those on 32-bit
// CPUs, as it goes by the version of the kernel. From here on the numbers are in
// one order on all CPUs.
const firstNew = unix.SYS_PIDFD_SEND_SIGNAL

// forget answers ENOSYS to newer calls, for this thread, and what it becomes.
func forget() error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number, first in struct seccomp_data
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: firstNew, Jf: 2},
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: firstNew + 256, Jt: 1}, // ARM's private calls
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}
