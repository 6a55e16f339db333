package posix

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Option is one row of a program's option table.
type Option struct {
	Letter byte
	Long   string
	Arg    bool // takes an argument
}

// Given is one option as it stood on the command line.
type Given struct {
	Letter byte
	Arg    string
}

// Getopt splits a command line by the POSIX Utility Syntax Guidelines (XBD
// 12.2): letters may be grouped, an argument is attached or the next word,
// "--" ends the options, and so does the first operand. Long names take their
// argument after "=" or as the next word. They are not abbreviated, so that a
// script keeps its meaning when an option is added.
// The operands are a tail of args; guarded says that "--" stood before them.
func Getopt(table []Option, args []string) (given []Given, operands []string, guarded bool, err error) {
	for len(args) > 0 {
		word := args[0]
		if word == "--" {
			return given, args[1:], true, nil
		}
		if len(word) < 2 || word[0] != '-' {
			break
		}
		args = args[1:]
		if strings.HasPrefix(word, "--") {
			name, value, attached := strings.Cut(word[2:], "=")
			i := slices.IndexFunc(table, func(o Option) bool { return o.Long == name })
			switch {
			case i < 0:
				return nil, nil, false, fmt.Errorf("--%s: unknown option", Escape(name))
			case !table[i].Arg && attached:
				return nil, nil, false, fmt.Errorf("--%s: takes no argument", name)
			case table[i].Arg && !attached:
				if len(args) == 0 {
					return nil, nil, false, fmt.Errorf("--%s: needs an argument", name)
				}
				value, args = args[0], args[1:]
			}
			given = append(given, Given{table[i].Letter, value})
			continue
		}
		for letters := word[1:]; letters != ""; {
			letter, value := letters[0], ""
			i := slices.IndexFunc(table, func(o Option) bool { return o.Letter == letter })
			if i < 0 {
				_, size := utf8.DecodeRuneInString(letters)
				return nil, nil, false, fmt.Errorf("-%s: unknown option", Escape(letters[:size]))
			}
			letters = letters[1:]
			if table[i].Arg {
				if value, letters = letters, ""; value == "" {
					if len(args) == 0 {
						return nil, nil, false, fmt.Errorf("-%c: needs an argument", letter)
					}
					value, args = args[0], args[1:]
				}
			}
			given = append(given, Given{letter, value})
		}
	}
	return given, args, false, nil
}

// Stray returns the first of the operands that looks like an option. Programs
// that take only operands refuse it before they act: "pidkill a.pid -9" would
// otherwise be taken for two pidfiles.
func Stray(operands []string, guarded bool) (word string, found bool) {
	for _, w := range operands {
		if !guarded && len(w) > 1 && w[0] == '-' {
			return w, true
		}
	}
	return "", false
}
