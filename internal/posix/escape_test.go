package posix

import (
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestUTF8(t *testing.T) {
	for _, c := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "", false},
		{"", "", "C.UTF-8", true},
		{"", "", "en_US.utf8", true},
		{"", "", "de_DE.UTF-8@euro", true},
		{"", "", "de_DE@euro", false},
		{"C", "C.UTF-8", "C.UTF-8", false},
		{"", "POSIX", "C.UTF-8", false},
		{"", "C.UTF-8", "C", true},
		{"", "", "ja_JP.eucJP", false},
	} {
		t.Setenv("LC_ALL", c.all)
		t.Setenv("LC_CTYPE", c.ctype)
		t.Setenv("LANG", c.lang)
		if got := UTF8(); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestEscape(t *testing.T) {
	for _, c := range []struct{ in, utf8, ascii string }{
		{"plain (text) 100%", "plain (text) 100%", "plain (text) 100%"},
		{`C:\dir`, `C:\dir`, `C:\dir`},
		{"a\nb\tc\rd", `a\nb\tc\rd`, `a\nb\tc\rd`},
		{"\x00\x1b[2J\x7f", `\x00\x1b[2J\x7f`, `\x00\x1b[2J\x7f`},
		{"\x9b2J", `\x9b2J`, `\x9b2J`},                            // raw C1
		{"\u009b2J", `\u009b2J`, `\u009b2J`},                      // encoded C1
		{"\u202eexe\u2066", `\u202eexe\u2066`, `\u202eexe\u2066`}, // bidi
		{"\u200b\u2028\ufeff", `\u200b\u2028\ufeff`, `\u200b\u2028\ufeff`},
		{"\U000e0041", `\U000e0041`, `\U000e0041`}, // tag
		{"caf\xe9 \xc3", `caf\xe9 \xc3`, `caf\xe9 \xc3`},
		{"\xed\xa0\x80", `\xed\xa0\x80`, `\xed\xa0\x80`}, // surrogate
		{"naïve e\u0301", "naïve e\u0301", `na\u00efve e\u0301`},
		{"日本 😀", "日本 😀", `\u65e5\u672c \U0001f600`},
		{"\ufffd", "\ufffd", `\ufffd`},
		{"☂\ufe0f", `☂\ufe0f`, `\u2602\ufe0f`}, // its width is anybody's guess
	} {
		if got := string(AppendEscaped([]byte("> "), c.in, true)); got != "> "+c.utf8 {
			t.Errorf("%q: %s, want %s", c.in, got, c.utf8)
		}
		if got := string(AppendEscaped(nil, c.in, false)); got != c.ascii {
			t.Errorf("%q without UTF-8: %s, want %s", c.in, got, c.ascii)
		}
	}
}

func TestWidth(t *testing.T) {
	for text, cells := range map[string]int{
		"": 0, "abc": 3, "é": 1, "e\u0301": 1, "日本": 4, "ｱ": 1, "Ａ": 2, "한": 2, "😀": 2,
		"─": 1, "⌚": 2, "⌘": 1, "\u3042\u3099": 2, "𠀀": 2, "\U00031350": 2, "\U0001faf8": 2,
	} {
		if got := Width([]byte(text)); got != cells {
			t.Errorf("%s: %d cells, want %d", text, got, cells)
		}
	}
	if unicode.Version != "15.0.0" {
		t.Errorf("wide is of Unicode 15.0, what prints is of %s: look at it again", unicode.Version)
	}
	for i := 2; i < len(wide); i += 2 {
		if wide[i] <= wide[i-1] || wide[i] > wide[i+1] {
			t.Errorf("wide is not in order at %x", wide[i])
		}
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		text  string
		cells int
		want  string
	}{
		{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"abc", 0, ""}, {"日本", 3, "日"}, {"日本", 1, ""},
		{"e\u0301x", 1, "e\u0301"}, {"", 0, ""},
	} {
		if got := string(Clip([]byte(c.text), c.cells)); got != c.want {
			t.Errorf("%s in %d: %s, want %s", c.text, c.cells, got, c.want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("a\x1b[0m\u202e\xff日e\u0301")
	f.Fuzz(func(t *testing.T, s string) {
		for _, utf8OK := range []bool{true, false} {
			out := AppendEscaped(nil, s, utf8OK)
			if !utf8.Valid(out) {
				t.Fatalf("%q: invalid UTF-8", out)
			}
			for _, r := range string(out) {
				if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) || !utf8OK && r > '~' {
					t.Fatalf("%q: %x got through", s, r)
				}
			}
			for cells := range 4 {
				if w := Width(Clip(out, cells)); w > cells {
					t.Fatalf("%q in %d cells takes %d", out, cells, w)
				}
			}
		}
	})
}
