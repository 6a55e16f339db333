package posix

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads decimal seconds with an optional suffix s, m, h or d,
// as timeout(1) takes them. What is too long for a Duration is the longest.
func ParseDuration(s string) (time.Duration, error) {
	unit, digits := time.Second, s
	if n := len(s); n > 0 {
		if i := strings.IndexByte("smhd", s[n-1]); i >= 0 {
			unit = [...]time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour}[i]
			digits = s[:n-1]
		}
	}
	if strings.Trim(digits, "0123456789.") != "" {
		digits = "" // ParseFloat also takes signs, exponents, "inf" and "0x"
	}
	v, err := strconv.ParseFloat(digits, 64)
	if err != nil && v == 0 {
		return 0, fmt.Errorf("%s: not a duration (10, 0.5, 2m)", Escape(s))
	}
	if v *= float64(unit); v < math.MaxInt64 {
		return time.Duration(v), nil
	}
	return math.MaxInt64, nil
}
