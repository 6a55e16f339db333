//go:build 386 || arm

package posix

import "golang.org/x/sys/unix"

// Under the plain names these have calls with user IDs of 16 bits.
const setresuid, setresgid = unix.SYS_SETRESUID32, unix.SYS_SETRESGID32
