//go:build !mips && !mipsle && !mips64 && !mips64le

package posix

// The kernel's numbers for signals and for rt_sigaction(2), signal(7).
const (
	rtmax       = 64
	sigsetSize  = 8 // bytes in sigset_t
	handlerWord = 0
)
