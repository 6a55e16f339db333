package posix

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
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
	return findMember(groupFile, user, gid)
}

// IDText is a user or group ID in decimal: where an int has 32 bits, the upper
// half of them is negative.
func IDText(id int) string { return strconv.FormatUint(uint64(uint32(id)), 10) }

// UserName is the name of a user, else the number.
func UserName(uid int) string {
	number := IDText(uid)
	if u, err := LookupUser(number); err == nil && u.UID == uid {
		return u.Name
	}
	return number // somebody else has it for a name
}

// GroupName is the name of a group, else the number.
func GroupName(gid int) string {
	name := strconv.Itoa(gid)
	fields(groupFile, 3, func(f []string) bool {
		id, ok := parseID(f[2])
		found := ok && id == gid
		if found {
			name = f[0]
		}
		return found
	})
	return name
}

func findUser(path, word string) (u User, err error) {
	id, isID := parseID(word)
	err = fields(path, 7, func(f []string) bool {
		uid, ok := parseID(f[2])
		gid, ok2 := parseID(f[3])
		named := ok && ok2 && f[0] == word
		if named || ok && ok2 && isID && uid == id && u.Name == "" {
			u = User{f[0], uid, gid, f[5], f[6]}
		}
		return named
	})
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
	found := false
	err = fields(path, 3, func(f []string) bool {
		if f[0] == word {
			gid, found = parseID(f[2])
		}
		return found
	})
	if !found {
		gid, found = parseID(word)
	}
	switch {
	case found:
		return gid, nil
	case err == nil:
		err = fmt.Errorf("%s: unknown group", Escape(word))
	}
	return 0, err
}

func findMember(path, user string, gid int) (gids []int, err error) {
	gids = []int{gid}
	err = fields(path, 4, func(f []string) bool {
		id, ok := parseID(f[2])
		if ok && !slices.Contains(gids, id) && slices.Contains(strings.Split(f[3], ","), user) {
			gids = append(gids, id)
		}
		return false
	})
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

// fields goes through the lines of passwd(5) or group(5) that have at least so
// many fields and a name, until done. A line of more than 1 MiB is an error,
// so that memory is bounded.
func fields(path string, least int, done func([]string) bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if f := strings.Split(lines.Text(), ":"); len(f) >= least && f[0] != "" && done(f) {
			return nil
		}
	}
	return lines.Err()
}
