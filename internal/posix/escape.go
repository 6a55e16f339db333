package posix

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// UTF8 tells whether the locale's character set is UTF-8, by the variables of
// POSIX XBD 8.2 in their order.
func UTF8() bool {
	for _, name := range [...]string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(name); v != "" {
			_, charset, _ := strings.Cut(v, ".")
			charset, _, _ = strings.Cut(strings.ToLower(charset), "@")
			return charset == "utf-8" || charset == "utf8"
		}
	}
	return false
}

// Escape makes untrusted text safe to print on one line of a terminal.
func Escape(s string) string { return string(AppendEscaped(nil, s, UTF8())) }

// AppendEscaped appends s to dst. What a terminal could obey, or show in an unknown
// width, is written as \n, \t, \r, \xNN (a byte that is no UTF-8), \uNNNN or
// \UNNNNNNNN, and so is everything beyond ASCII if utf8OK is false. A backslash
// stays single: this is for reading, and command lines are full of them.
func AppendEscaped(dst []byte, s string, utf8OK bool) []byte {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case ' ' <= r && r <= '~', utf8OK && Printable(r) && (r != utf8.RuneError || n > 1):
			dst = append(dst, s[i:i+n]...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case n == 1:
			dst = fmt.Appendf(dst, `\x%02x`, s[i])
		case r < 0x10000:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		default:
			dst = fmt.Appendf(dst, `\U%08x`, r)
		}
		i += n
	}
	return dst
}

// Printable tells whether a character shows as itself everywhere. Control
// characters do not, nor those that turn the writing direction or are invisible,
// nor what Unicode has not assigned, nor those whose width depends on the
// terminal: joining jamo, variation selectors, flags and skin tones.
func Printable(r rune) bool {
	return unicode.IsPrint(r) && !within(unsure, r)
}

// Width is the number of terminal cells that printable text takes: 2 for a wide
// character (Unicode UAX 11), 0 for one that combines with the one before.
func Width(text []byte) (cells int) {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		cells, text = cells+cellsOf(r), text[size:]
	}
	return cells
}

// Clip returns the longest start of printable text that fits in so many cells.
func Clip(text []byte, cells int) []byte {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if cells -= cellsOf(r); cells < 0 {
			return text[:i]
		}
		i += size
	}
	return text
}

// cellsOf is the number of terminal cells that a printable character takes.
func cellsOf(r rune) int {
	switch {
	case r < utf8.RuneSelf:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case within(wide, r):
		return 2
	}
	return 1
}

// within looks r up in ranges: a sorted list of the first and the last character
// of each.
func within(ranges []rune, r rune) bool {
	i, exact := slices.BinarySearch(ranges, r)
	return exact || i%2 == 1
}

// unsure holds the characters that print, but in a width that depends on the
// terminal.
var unsure = []rune{
	0x34f, 0x34f, 0x115f, 0x11ff, 0x3164, 0x3164, 0xd7b0, 0xd7ff, 0xfe00, 0xfe0f,
	0xffa0, 0xffa0, 0x1f1e6, 0x1f1ff, 0x1f3fb, 0x1f3ff, 0xe0100, 0xe01ef,
}

// wide holds the characters of East Asian Width W and F (Unicode UAX 11);
// gaps that hold nothing printable are closed. Planes 2 and 3 are wide as a whole.
var wide = []rune{
	0x1100, 0x115f, 0x231a, 0x231b, 0x2329, 0x232a, 0x23e9, 0x23ec,
	0x23f0, 0x23f0, 0x23f3, 0x23f3, 0x25fd, 0x25fe, 0x2614, 0x2615,
	0x2648, 0x2653, 0x267f, 0x267f, 0x2693, 0x2693, 0x26a1, 0x26a1,
	0x26aa, 0x26ab, 0x26bd, 0x26be, 0x26c4, 0x26c5, 0x26ce, 0x26ce,
	0x26d4, 0x26d4, 0x26ea, 0x26ea, 0x26f2, 0x26f3, 0x26f5, 0x26f5,
	0x26fa, 0x26fa, 0x26fd, 0x26fd, 0x2705, 0x2705, 0x270a, 0x270b,
	0x2728, 0x2728, 0x274c, 0x274c, 0x274e, 0x274e, 0x2753, 0x2755,
	0x2757, 0x2757, 0x2795, 0x2797, 0x27b0, 0x27b0, 0x27bf, 0x27bf,
	0x2b1b, 0x2b1c, 0x2b50, 0x2b50, 0x2b55, 0x2b55, 0x2e80, 0x303e,
	0x3041, 0x3247, 0x3250, 0x4dbf, 0x4e00, 0xa4c6, 0xa960, 0xa97c,
	0xac00, 0xd7a3, 0xf900, 0xfad9, 0xfe10, 0xfe6b, 0xff01, 0xff60,
	0xffe0, 0xffe6, 0x16fe0, 0x1b2fb, 0x1f004, 0x1f004, 0x1f0cf, 0x1f0cf,
	0x1f18e, 0x1f18e, 0x1f191, 0x1f19a, 0x1f200, 0x1f320, 0x1f32d, 0x1f335,
	0x1f337, 0x1f37c, 0x1f37e, 0x1f393, 0x1f3a0, 0x1f3ca, 0x1f3cf, 0x1f3d3,
	0x1f3e0, 0x1f3f0, 0x1f3f4, 0x1f3f4, 0x1f3f8, 0x1f43e, 0x1f440, 0x1f440,
	0x1f442, 0x1f4fc, 0x1f4ff, 0x1f53d, 0x1f54b, 0x1f54e, 0x1f550, 0x1f567,
	0x1f57a, 0x1f57a, 0x1f595, 0x1f596, 0x1f5a4, 0x1f5a4, 0x1f5fb, 0x1f64f,
	0x1f680, 0x1f6c5, 0x1f6cc, 0x1f6cc, 0x1f6d0, 0x1f6d2, 0x1f6d5, 0x1f6df,
	0x1f6eb, 0x1f6ec, 0x1f6f4, 0x1f6fc, 0x1f7e0, 0x1f7f0, 0x1f90c, 0x1f93a,
	0x1f93c, 0x1f945, 0x1f947, 0x1f9ff, 0x1fa70, 0x1faf8, 0x20000, 0x3fffd,
}
