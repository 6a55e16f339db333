package posix

import (
	"fmt"
	"strings"
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
			o := find(table, func(o Option) bool { return o.Long == name })
			switch {
			case o == nil:
				return nil, nil, false, fmt.Errorf("--%s: unknown option", Escape(name))
			case !o.Arg && attached:
				return nil, nil, false, fmt.Errorf("--%s: takes no argument", name)
			case o.Arg && !attached:
				if len(args) == 0 {
					return nil, nil, false, fmt.Errorf("--%s: needs an argument", name)
				}
				value, args = args[0], args[1:]
			}
			given = append(given, Given{o.Letter, value})
			continue
		}
		for i := 1; i < len(word); i++ {
			o := find(table, func(o Option) bool { return o.Letter == word[i] })
			if o == nil {
				return nil, nil, false, fmt.Errorf("-%s: unknown option", Escape(firstRune(word[i:])))
			}
			if !o.Arg {
				given = append(given, Given{o.Letter, ""})
				continue
			}
			value := word[i+1:]
			if value == "" {
				if len(args) == 0 {
					return nil, nil, false, fmt.Errorf("-%c: needs an argument", o.Letter)
				}
				value, args = args[0], args[1:]
			}
			given = append(given, Given{o.Letter, value})
			break
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

func find(table []Option, match func(Option) bool) *Option {
	for i := range table {
		if match(table[i]) {
			return &table[i]
		}
	}
	return nil
}

// firstRune keeps a letter beyond ASCII whole in the message about it.
func firstRune(s string) string {
	for i := range s {
		if i > 0 {
			return s[:i]
		}
	}
	return s
}
