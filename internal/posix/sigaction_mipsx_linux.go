//go:build mips || mipsle || mips64 || mips64le

package posix

// MIPS has twice as many signals, and the flags before the handler.
const (
	rtmax       = 127
	sigsetSize  = 16
	handlerWord = 1
)
