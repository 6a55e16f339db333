package posix

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The realtime signals that programs may use go from here to rtmax: signal(7)
// leaves 32 and 33 to the C library's threads.
const rtmin = unix.Signal(34)

// ParseSignal reads a signal's name or number: TERM, SIGTERM, term, 15,
// RTMIN+3, RTMAX-1.
func ParseSignal(s string) (unix.Signal, error) {
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n, err := strconv.ParseUint(s, 10, 8); err == nil && n >= 1 && n <= uint64(rtmax) {
		return unix.Signal(n), nil
	}
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	base := rtmin
	offset, ok := strings.CutPrefix(name, "RTMIN")
	if !ok {
		base = rtmax
		offset, ok = strings.CutPrefix(name, "RTMAX")
	}
	if offset == "" {
		offset = "+0"
	}
	n, err := strconv.Atoi(offset)
	sig := base + unix.Signal(n)
	if !ok || err != nil || offset[0] != '+' && offset[0] != '-' || sig < rtmin || sig > rtmax {
		return 0, fmt.Errorf("%s: unknown signal", Escape(s))
	}
	return sig, nil
}

// SignalName is the name without SIG, as kill -l prints it.
func SignalName(sig unix.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return strings.TrimPrefix(name, "SIG")
	}
	switch {
	case sig == rtmin:
		return "RTMIN"
	case sig == rtmax:
		return "RTMAX"
	case sig > rtmin && sig < rtmax:
		return fmt.Sprintf("RTMIN+%d", sig-rtmin)
	}
	return strconv.Itoa(int(sig))
}
