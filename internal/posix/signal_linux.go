package posix

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's struct of rt_sigaction(2), not the C library's, in
// words, and as long as it is on any CPU: the kernel writes all of it. The
// handler is the word handlerWord; flags, restorer and mask stay 0.
type sigaction [6]uintptr

const (
	sigDefault = 0 // SIG_DFL
	sigIgnore  = 1 // SIG_IGN
)

func rtSigaction(sig unix.Signal, act, old *sigaction) {
	// It can only fail for KILL and STOP, which always have the default.
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), sigsetSize, 0, 0)
}

// QuitQuietly gives SIGQUIT back its default action, if the caller had not
// ignored it: the Go runtime would print every goroutine's stack.
func QuitQuietly() {
	if !ignored(unix.SIGQUIT) {
		ResetSignal(unix.SIGQUIT)
	}
}

// ResetSignal gives a signal its default action, behind the runtime's back.
func ResetSignal(sig unix.Signal) {
	rtSigaction(sig, &sigaction{handlerWord: sigDefault}, nil)
}

// IgnoreFileSizeSignal makes a write past RLIMIT_FSIZE fail with EFBIG, where
// the Go runtime would print a stack and end the program by SIGXFSZ.
func IgnoreFileSizeSignal() {
	rtSigaction(unix.SIGXFSZ, &sigaction{handlerWord: sigIgnore}, nil)
}

// ignored tells whether the process ignores sig.
func ignored(sig unix.Signal) bool {
	var old sigaction
	rtSigaction(sig, nil, &old)
	return old[handlerWord] == sigIgnore
}

// resetSignals gives every ignored signal its default disposition; caught
// ones get theirs from execve(2). It goes past 34, where the runtime stops
// looking, and over HUP, INT and TSTP, which it leaves ignored in children.
func resetSignals() {
	for sig := unix.Signal(1); sig <= rtmax; sig++ {
		if ignored(sig) {
			ResetSignal(sig)
		}
	}
}
