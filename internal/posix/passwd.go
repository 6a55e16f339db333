package posix

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
)

// User is a line of passwd(5).
type User struct {
	Name        string
	UID, GID    int
	Home, Shell string
}

const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// LookupUser finds a user in /etc/passwd by name, else by number. A number
// needs no entry: its group is then the one of the same number.
func LookupUser(word string) (User, error) {
	var u User
	uid, isID := parseID(word)
	found, err := lookup(passwdFile, func(f []string) bool {
		byName := f[0] == word
		if v, ok := parseUser(f); ok && (byName || isID && v.UID == uid && u.Name == "") {
			u = v
			return byName
		}
		return false
	})
	switch {
	case found || u.Name != "":
		return u, nil
	case isID:
		return User{Name: word, UID: uid, GID: uid, Home: "/", Shell: "/bin/sh"}, nil
	case err != nil:
		return User{}, err
	}
	return User{}, fmt.Errorf("%s: unknown user", Escape(word))
}

// LookupGroup finds a group's number in /etc/group by name. A number needs no
// entry.
func LookupGroup(word string) (gid int, err error) {
	found, err := lookup(groupFile, func(f []string) bool {
		id, ok := 0, false
		if len(f) >= 3 && f[0] == word {
			id, ok = parseID(f[2])
		}
		if ok {
			gid = id
		}
		return ok
	})
	if found {
		return gid, nil
	}
	if gid, ok := parseID(word); ok {
		return gid, nil
	}
	if err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("%s: unknown group", Escape(word))
}

// SupplementaryGroups lists the groups of a user as initgroups(3) sets them:
// gid, then those of /etc/group that name the user as a member.
func SupplementaryGroups(user string, gid int) ([]int, error) {
	gids := []int{gid}
	_, err := lookup(groupFile, func(f []string) bool {
		if len(f) < 4 {
			return false
		}
		id, ok := parseID(f[2])
		if ok && !slices.Contains(gids, id) && slices.Contains(strings.Split(f[3], ","), user) {
			gids = append(gids, id)
		}
		return false
	})
	return gids, err
}

// UserName is the name of a user, else the number.
func UserName(uid int) string {
	name := strconv.Itoa(uid)
	lookup(passwdFile, func(f []string) bool {
		u, ok := parseUser(f)
		ok = ok && u.UID == uid
		if ok {
			name = u.Name
		}
		return ok
	})
	return name
}

func parseUser(f []string) (u User, ok bool) {
	if len(f) < 7 {
		return u, false
	}
	uid, ok1 := parseID(f[2])
	gid, ok2 := parseID(f[3])
	return User{f[0], uid, gid, f[5], f[6]}, ok1 && ok2 && f[0] != ""
}

// parseID reads a user or group ID. The largest is no ID: to setuid(2) and its
// kin it means "leave as it is".
func parseID(s string) (id int, ok bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return int(n), err == nil && n < 1<<32-1
}

func lookup(path string, match func(fields []string) bool) (found bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return entries(f, match)
}

// entries goes through the lines of passwd(5) or group(5) until one matches.
// A line of more than 1 MiB is an error, so that memory is bounded.
func entries(r io.Reader, match func(fields []string) bool) (found bool, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if match(strings.Split(lines.Text(), ":")) {
			return true, nil
		}
	}
	return false, lines.Err()
}
