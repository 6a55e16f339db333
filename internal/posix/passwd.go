package posix

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
)

const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// User is a line of passwd(5).
type User struct {
	Name        string
	UID, GID    int // GID is -1 for a number without an entry
	Home, Shell string
}

// LookupUser finds a user in /etc/passwd by name, else by number. A number
// needs no entry, but has no group then.
func LookupUser(word string) (User, error) { return findUser(passwdFile, word) }

// LookupGroup finds a group's number in /etc/group by name. A number needs no
// entry.
func LookupGroup(word string) (gid int, err error) { return findGroup(groupFile, word) }

// SupplementaryGroups lists the groups of a user as initgroups(3) sets them:
// gid, then those of /etc/group that have the user as a member. Without that
// file, as in a container with nothing but a program, there are no more.
func SupplementaryGroups(user string, gid int) ([]int, error) {
	return groupsOf(groupFile, user, gid)
}

// IDText is a user or group ID in decimal: where an int has 32 bits, the upper
// half of them is negative.
func IDText(id int) string { return strconv.FormatUint(uint64(uint32(id)), 10) }

// UserName is the name of a user, else the number.
func UserName(uid int) string {
	text := IDText(uid)
	if u, err := LookupUser(text); err == nil && u.UID == uid {
		return u.Name
	}
	return text // which is somebody else's name
}

// GroupName is the name of a group, else the number.
func GroupName(gid int) string {
	var err error
	for f := range entries(groupFile, 3, &err) {
		if id, ok := parseID(f[2]); ok && id == gid {
			return f[0]
		}
	}
	return IDText(gid)
}

func findUser(path, word string) (u User, err error) {
	id, isID := parseID(word)
	for f := range entries(path, 7, &err) {
		uid, ok := parseID(f[2])
		gid, ok2 := parseID(f[3])
		entry := User{f[0], uid, gid, f[5], f[6]}
		switch {
		case !ok || !ok2:
		case f[0] == word:
			return entry, nil
		case isID && uid == id && u.Name == "": // unless it is a name further on
			u = entry
		}
	}
	switch {
	case u.Name != "":
		return u, nil
	case isID:
		return User{word, id, -1, "/", "/bin/sh"}, nil
	case err == nil:
		err = fmt.Errorf("%s: unknown user", Escape(word))
	}
	return User{}, err
}

func findGroup(path, word string) (gid int, err error) {
	for f := range entries(path, 3, &err) {
		if id, ok := parseID(f[2]); ok && f[0] == word {
			return id, nil
		}
	}
	if id, ok := parseID(word); ok {
		return id, nil
	}
	if err == nil {
		err = fmt.Errorf("%s: unknown group", Escape(word))
	}
	return 0, err
}

func groupsOf(path, user string, gid int) (gids []int, err error) {
	gids = []int{gid}
	for f := range entries(path, 4, &err) {
		id, ok := parseID(f[2])
		if ok && !slices.Contains(gids, id) && slices.Contains(strings.Split(f[3], ","), user) {
			gids = append(gids, id)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return gids, err
}

// parseID reads a user or group ID. The largest is none: to setuid(2) and its
// kin it means "leave as it is".
func parseID(s string) (id int, ok bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, false
	}
	return int(n), true
}

// entries goes through the lines of passwd(5) or group(5), split into fields,
// that have at least so many of them and a name. When it is through, err says
// what could not be read. A line of more than 1 MiB is an error, so that memory
// is bounded.
func entries(path string, least int, err *error) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		var file *os.File
		if file, *err = os.Open(path); *err != nil {
			return
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if f := strings.Split(lines.Text(), ":"); len(f) >= least && f[0] != "" && !yield(f) {
				return
			}
		}
		*err = lines.Err()
	}
}
