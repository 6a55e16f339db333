package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// standardPath is searched, and given to the command, where PATH is unset.
const standardPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// locate finds the command and enters the directory of -c, both as their names
// lead at this moment, with the rights of the calling thread.
func (j *job) locate() error {
	if err := j.find(); err != nil {
		return err
	}
	return j.enter()
}

// find finds out which files the command's name may mean.
func (j *job) find() (err error) {
	path, _ := getenv(j.command.Env, "PATH")
	j.files, err = candidates(j.argv[0], path, j.cwd)
	j.command.Argv = j.argv
	if err == nil && strings.Contains(j.argv[0], "/") {
		// argv[0] as an absolute path: it leads to the command from another directory too.
		j.command.Argv = append(j.files[:1:1], j.argv[1:]...)
	}
	return err
}

// candidates are the files that a command's name may mean in the directory cwd,
// as absolute paths: one if it has a slash, else those along PATH. The error is
// a Failure with the status of what execvp(3) would say: 127, or 126 if it could
// be found.
func candidates(name, path, cwd string) (files []string, err error) {
	if name == "" {
		return nil, execFailure(name, unix.ENOENT)
	}
	if strings.Contains(name, "/") {
		file, err := absolute(cwd, name)
		if err != nil {
			return nil, err
		}
		if err := executable(file); err != nil {
			return nil, execFailure(name, err)
		}
		return []string{file}, nil
	}
	found := error(unix.ENOENT)
	for _, dir := range strings.Split(path, ":") {
		file := name
		if dir != "" {
			file = strings.TrimSuffix(dir, "/") + "/" + name
		}
		if file, err = absolute(cwd, file); err != nil {
			continue // other directories may do
		}
		switch err := executable(file); err {
		case nil:
			files = append(files, file)
		case unix.ENOENT, unix.ENOTDIR:
		case unix.EACCES:
			var st unix.Stat_t
			if unix.Stat(file, &st) == nil { // else it is the directory that is closed to this user
				found = err
			}
		default:
			found = err
		}
	}
	if len(files) == 0 {
		return nil, execFailure(name, found)
	}
	return files, nil
}

// absolute is the name of a file, seen from the directory cwd, in whatever
// directory daemonize will be.
func absolute(cwd, file string) (string, error) {
	switch {
	case strings.HasPrefix(file, "/"):
		return file, nil
	case cwd == "":
		_, err := unix.Getwd()
		err = cmp.Or(err, error(unix.ENOENT)) // by now the current directory is another one
		return "", posix.Failf(posix.StatusFailed, "%s: relative to the current directory, which cannot be told: %w", posix.Escape(file), err)
	}
	return strings.TrimSuffix(cwd, "/") + "/" + strings.TrimPrefix(file, "./"), nil
}

// executable checks what can be known before execve(2).
func executable(file string) error {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return unix.EISDIR
	}
	return unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS)
}

// execFailure attaches the status to an errno of execve(2) or of looking for
// the command.
func execFailure(name string, err error) error {
	name = posix.Escape(name)
	if name == "" {
		name = `""`
	}
	if err == unix.ENOENT || err == unix.ENOTDIR {
		hint := ""
		if strings.ContainsAny(name, " =") { // one word, where a shell sees several, or no command
			hint = " (a shell's syntax? sh -c '...')"
		}
		return posix.Failf(posix.StatusNotFound, "%s: command not found: %w%s", name, err, hint)
	}
	return posix.Failf(posix.StatusCannotExec, "%s: cannot execute: %w", name, err)
}

// execvp calls run for one of the files after another until one runs, going on
// where execvp(3) does: past a file that this user may not execute, and with
// the shell for a script without "#!".
func (j *job) execvp(run func() error) (err error) {
	argv := j.command.Argv
	var file string
	for _, file = range j.files {
		j.command.Path, j.command.Argv = file, argv
		err = run()
		if err == unix.ENOEXEC && isText(head(file)) {
			j.command.Path, j.command.Argv = "/bin/sh", append([]string{"/bin/sh", file}, argv[1:]...)
			err = run()
		}
		if err != unix.EACCES && err != unix.ENOENT {
			break
		}
	}
	if _, ok := err.(unix.Errno); !ok {
		return err // nil, or from before the fork
	}
	switch err {
	case unix.EAGAIN, unix.EMFILE, unix.ENFILE, unix.ENOMEM:
		return fmt.Errorf("cannot start a process: %w", err) // the fork's
	case unix.ENOENT: // it was there when candidates looked
		return posix.Failf(posix.StatusCannotExec, "%s: cannot execute: its interpreter%s is missing: %w", posix.Escape(argv[0]), interpreter(head(file)), err)
	}
	return execFailure(argv[0], err)
}

// head is the first line of a file, as far as the kernel looks at it
// (execve(2)), or nil if it cannot be read.
func head(file string) []byte {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0) // it may be a FIFO by now
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, 256)
	n, err := f.Read(head)
	if err != nil && err != io.EOF {
		return nil
	}
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	return line
}

// isText tells a script without "#!" from a binary for another machine, which
// /bin/sh would make a mess of: the first line of text has no NUL.
func isText(line []byte) bool {
	return line != nil && !bytes.HasPrefix(line, []byte("\x7fELF")) && bytes.IndexByte(line, 0) < 0
}

// interpreter is, for a message, what the first line names after "#!", with a
// blank before it. A script with the line ends of DOS names "/bin/sh\r".
func interpreter(line []byte) string {
	after, script := bytes.CutPrefix(line, []byte("#!"))
	if !script {
		return ""
	}
	path, _, _ := strings.Cut(strings.Trim(string(after), " \t"), " ")
	path, _, _ = strings.Cut(path, "\t")
	return " " + posix.Escape(path)
}

// enter changes to the command's directory. PWD follows, where it is set.
func (j *job) enter() error {
	err := unix.Chdir(j.dir)
	if _, ok := getenv(j.command.Env, "PWD"); ok && err == nil {
		var dir string
		dir, err = unix.Getwd()
		j.command.Env = putenv(j.command.Env, "PWD="+dir)
	}
	return about(j.dir, err)
}

// environment is the command's: the caller's, the user's, PATH, -E. PWD and
// NOTIFY_SOCKET come later.
func (c *config) environment(user *posix.User) []string {
	env := os.Environ()
	if user != nil {
		env = putenv(env, "HOME="+user.Home)
		env = putenv(env, "USER="+user.Name)
		env = putenv(env, "LOGNAME="+user.Name)
		env = putenv(env, "SHELL="+user.Shell)
	}
	if _, ok := getenv(env, "PATH"); !ok {
		env = append(env, "PATH="+standardPath)
	}
	for _, variable := range c.env {
		env = putenv(env, variable)
	}
	return env
}

// putenv adds a NAME=VALUE, in the place of one that has this name already: an
// environment lists each name once.
func putenv(env []string, variable string) []string {
	name, _, _ := strings.Cut(variable, "=")
	for i, e := range env {
		if strings.HasPrefix(e, name+"=") {
			env[i] = variable
			return env
		}
	}
	return append(env, variable)
}

func getenv(env []string, name string) (value string, ok bool) {
	for _, e := range env {
		if value, ok = strings.CutPrefix(e, name+"="); ok {
			return value, true
		}
	}
	return "", false
}
