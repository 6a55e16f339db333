package posix

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Utility is a program as POSIX sees it (XBD 12, Utility Conventions): a name,
// options and operands.
type Utility struct {
	Name    string
	Usage   string   // the usage line or lines; they begin the help and follow a usage error
	Purpose string   // what the help says between the usage and the options
	Options []Option // in the order of the help; Parse adds -h and -V

	// Operands is what messages call the operands, as "the operands". A word
	// among them that looks like an option is then a usage error: "pidkill
	// a.pid -9" would otherwise be taken for two pidfiles. "" allows such
	// words: the operands of daemonize are another command line.
	Operands string
}

// Option is one option of a program: its row of the help, and what it sets.
type Option struct {
	names            string
	short, long, arg string // the names taken apart: "-p", "--pidfile", "FILE"
	help             string
	set              Set
}

// Set does what an option says. It is called each time that the option is
// given, with the option's short name, such as "-p", and with its argument, or
// "" if it takes none. The error is a usage error.
type Set func(option, arg string) error

// Opt makes an Option. The names are as in the help: "-f, --force", or
// "-p, --pidfile FILE" for an option that takes an argument. The lines of a
// longer help text have "\n" between them.
func Opt(names, help string, set Set) Option {
	short, long, _ := strings.Cut(names, ", ")
	long, arg, _ := strings.Cut(long, " ")
	return Option{names, short, long, arg, help, set}
}

// Flag makes a variable true.
func Flag(at *bool) Set {
	return func(_, _ string) error {
		*at = true
		return nil
	}
}

// Value gives a variable the value that parse reads in the argument. If the
// option is given again, the last one counts.
func Value[T any](at *T, parse func(arg string) (T, error)) Set {
	return func(option, arg string) (err error) {
		if *at, err = parse(arg); err != nil {
			return fmt.Errorf("%s: %w", option, err)
		}
		return nil
	}
}

// What Parse returns if -h or -V is given.
var (
	errHelp    = errors.New("the help is asked for")
	errVersion = errors.New("the version is asked for")
)

// Parse reads a command line and sets what its options say. The operands that
// it returns are a tail of args. The error is for Answer: it says in one line
// what is wrong, or that -h or -V is given. For these the options must be
// well-formed; operands, and which options go together, are not looked at.
func (u *Utility) Parse(args []string) (operands []string, err error) {
	var help, version bool
	all, operands, guarded, err := getopt(u.options(&help, &version), args)
	if err != nil {
		return nil, err
	}
	for _, g := range all {
		if err := g.set(g.short, g.value); err != nil {
			return nil, err
		}
	}
	switch {
	case help:
		return nil, errHelp
	case version:
		return nil, errVersion
	case guarded || u.Operands == "":
		return operands, nil
	}
	if i := slices.IndexFunc(operands, looksLikeOption); i >= 0 {
		return nil, fmt.Errorf("%s: options come before %s", Escape(operands[i]), u.Operands)
	}
	return operands, nil
}

// Answer says what is to be said instead of work after an error of Parse, or of
// checks that follow it: the help or the version on standard output, or what
// is wrong and the usage on standard error. It returns the exit status.
func (u *Utility) Answer(err error, stdout, stderr io.Writer) (status int) {
	switch err {
	case errHelp:
		io.WriteString(stdout, u.help())
		return StatusOK
	case errVersion:
		fmt.Fprintf(stdout, "%s (procgroup) %s\n", u.Name, Version)
		return StatusOK
	}
	fmt.Fprintf(stderr, "%s: %v\n%s\n", u.Name, err, u.Usage)
	return StatusUsage
}

// options are all of the program's, in the order of the help.
func (u *Utility) options(help, version *bool) []Option {
	return slices.Concat(u.Options, []Option{
		Opt("-h, --help", "print this", Flag(help)),
		Opt("-V, --version", "print the version", Flag(version)),
	})
}

// help has two blanks before the names of each option, and two between the
// longest names and their text. All texts begin in one column, which is 25 at
// most: names that reach further push their own text to the right.
func (u *Utility) help() string {
	options := u.options(nil, nil)
	width := 0
	for _, o := range options {
		width = max(width, len(o.names))
	}
	width = min(width, 25-4)
	newline := "\n" + strings.Repeat(" ", width+4)
	help := u.Usage + "\n" + u.Purpose + "\n\n"
	for _, o := range options {
		help += fmt.Sprintf("  %-*s  %s\n", width, o.names, strings.ReplaceAll(o.help, "\n", newline))
	}
	return help
}

// given is an option as it stands on a command line.
type given struct {
	Option
	value string
}

// getopt splits a command line by the Utility Syntax Guidelines (XBD 12.2):
// letters may be grouped, an argument is attached or the next word, "--" ends
// the options, and so does the first operand. Long names take their argument
// after "=" or as the next word. They are not abbreviated, so that a script
// keeps its meaning when an option is added.
// The operands are a tail of args; guarded says that "--" stood before them.
func getopt(options []Option, args []string) (all []given, operands []string, guarded bool, err error) {
	for len(args) > 0 && looksLikeOption(args[0]) {
		word := args[0]
		args = args[1:]
		if word == "--" {
			return all, args, true, nil
		}
		for letters := word[1:]; letters != ""; {
			var name, value string
			attached := false
			if strings.HasPrefix(word, "--") {
				name, value, attached = strings.Cut(word, "=")
				letters = ""
			} else {
				_, size := utf8.DecodeRuneInString(letters)
				name, letters = "-"+letters[:size], letters[size:]
			}
			i := slices.IndexFunc(options, func(o Option) bool { return name == o.short || name == o.long })
			switch {
			case i < 0:
				return nil, nil, false, fmt.Errorf("%s: unknown option", Escape(name))
			case options[i].arg == "" && attached:
				return nil, nil, false, fmt.Errorf("%s: takes no argument", name)
			case options[i].arg == "" || attached:
			case letters != "":
				value, letters = letters, ""
			case len(args) == 0:
				return nil, nil, false, fmt.Errorf("%s: needs an argument", name)
			default:
				value, args = args[0], args[1:]
			}
			all = append(all, given{options[i], value})
		}
	}
	return all, args, false, nil
}

// looksLikeOption tells whether a word is read as an option where one may
// stand. "-" alone is an operand.
func looksLikeOption(word string) bool { return len(word) > 1 && word[0] == '-' }
