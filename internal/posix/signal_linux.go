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

// rtSigaction is rt_sigaction(2). It can fail for KILL and STOP alone, which always
// have the default action; old stays 0 then.
func rtSigaction(sig unix.Signal, act, old *sigaction) {
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), sigsetSize, 0, 0)
}

// QuitQuietly gives SIGQUIT its default action: the Go runtime would print every
// goroutine's stack. It has caught the signal even where the caller ignored it, and
// does not tell.
func QuitQuietly() { ResetSignal(unix.SIGQUIT) }

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

// resetSignals gives every ignored signal its default action; execve(2) does so
// for caught ones. The runtime catches most of what the caller ignored, but not
// HUP, INT, CONT, TSTP, TTIN, TTOU, 32 and 34 (initsig in its signal_unix.go).
func resetSignals() {
	for sig := unix.Signal(1); sig <= rtmax; sig++ {
		if ignored(sig) {
			ResetSignal(sig)
		}
	}
}
