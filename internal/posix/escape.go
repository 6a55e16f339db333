package posix

import (
	"os"
	"strings"
	"unicode/utf8"
)

// UTF8 tells whether the locale's character set is UTF-8, by the variables of
// POSIX XBD 8.2 in their order.
func UTF8() bool {
	for _, name := range [...]string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.HasSuffix(v, "utf-8") || strings.HasSuffix(v, "utf8")
		}
	}
	return false
}

// Escape makes untrusted text safe to print on one line of a terminal.
func Escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < ' ' || r > '~' || r == utf8.RuneError {
			b.WriteByte('?')
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
