package posix

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// thing is something that a set-up has made, a file if no more is said.
type thing struct {
	path     string // a directory's ends in a slash
	mode     fs.FileMode
	uid, gid int
	link     string // what it is a symbolic link to
	hard     string // what it is a hard link to
	fifo     bool
	acl      int // a user whom an access control list lets write
}

func (m thing) make(t *testing.T) {
	t.Helper()
	name, isDir := strings.CutSuffix(m.path, "/")
	var err error
	switch {
	case isDir:
		err = os.Mkdir(name, 0o700)
	case m.link != "":
		err = os.Symlink(m.link, name)
	case m.hard != "":
		err = os.Link(m.hard, name)
	case m.fifo:
		err = unix.Mkfifo(name, 0o600)
	default:
		err = os.WriteFile(name, []byte("content\n"), 0o600)
	}
	if err == nil && m.hard == "" {
		err = os.Lchown(name, m.uid, m.gid)
	}
	if err == nil && m.hard == "" && m.link == "" {
		err = unix.Chmod(name, uint32(m.mode))
	}
	if err == nil && m.acl != 0 {
		// Version 2, then entries of a tag, permissions and an ID: the owner,
		// that user, the group, the mask, others (acl(5), posix_acl_xattr.h).
		list := binary.LittleEndian.AppendUint32(nil, 2)
		for _, e := range [][3]uint32{{1, 7, 1<<32 - 1}, {2, 7, uint32(m.acl)}, {4, 5, 1<<32 - 1}, {0x10, 7, 1<<32 - 1}, {0x20, 5, 1<<32 - 1}} {
			list = binary.LittleEndian.AppendUint16(list, uint16(e[0]))
			list = binary.LittleEndian.AppendUint16(list, uint16(e[1]))
			list = binary.LittleEndian.AppendUint32(list, e[2])
		}
		if err = unix.Setxattr(name, "system.posix_acl_access", list, 0); err == unix.EOPNOTSUPP {
			t.Skip("the test's directory has no access control lists")
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What people have, and what attackers make of it. The expectation is with whose
// rights it was opened, or a part of the error.
func TestResolve(t *testing.T) {
	needRoot(t)
	const u, v = testUID, otherUID
	secret := []thing{{path: "mine/", mode: 0o755}, {path: "mine/secret", mode: 0o600}}
	syslog := thing{path: "log/", mode: 0o775, gid: 104}  // Ubuntu's /var/log
	staff := thing{path: "local/", mode: 0o2775, gid: 50} // Debian's /usr/local
	home := thing{path: "home/", mode: 0o755, uid: u, gid: u}
	shared := thing{path: "haproxy/", mode: 0o2775, uid: u, gid: 60} // /run/haproxy, /run/postgresql
	sticky := thing{path: "tmp/", mode: 0o1777}
	const (
		root, user = "root's rights", "the user's rights"
		group      = "can be changed by group "
		everybody  = "can be changed by everybody"
		denied     = "permission denied"
		notRegular = "refused: not a regular file"
		otherNames = "refused: it has other names"
		isLink     = "is a symbolic link"
		loop       = "too many levels"
		anothers   = "/f belongs to user 54322, and the way to it to user 54321"
		twoUsers   = "home/d belongs to user 54322, and the way to it to user 54321"
	)
	for _, test := range []struct {
		name    string
		things  []thing
		path    string
		log     string // as -o and -i open it, with what result
		pidfile string
	}{
		{"a new file in root's own directory", secret, "mine/new", root, root},
		{"root's file", secret, "mine/secret", root, root},
		{"root's file that a group may write", []thing{{path: "f", mode: 0o664, gid: 50}}, "f", root, group},
		{"root's file that everybody may write", []thing{{path: "f", mode: 0o666}}, "f", root, everybody},
		{"root's file with an access control list", []thing{{path: "f", mode: 0o644, acl: u}}, "f", root, group},
		{"a user's file in root's directory", []thing{{path: "f", mode: 0o640, uid: u}}, "f", user, user},
		{"a user's file that everybody may write", []thing{{path: "f", mode: 0o666, uid: u}}, "f", user, everybody},
		{"a user's FIFO that root has put there", []thing{{path: "f", mode: 0o600, uid: u, fifo: true}}, "f", user, user},
		{"root's link", append(secret, thing{path: "link", link: "mine/secret"}), "link", root, loop},
		{"root's absolute link to a directory", append(secret, thing{path: "link", link: "$T/mine"}), "link/new", root, root},
		{"root's dangling link", []thing{{path: "link", link: "new"}}, "link", root, loop},
		{"links in a circle", []thing{{path: "a", link: "b"}, {path: "b", link: "a"}}, "a/x", loop, loop},
		{"a file on the way", secret, "mine/secret/x", "not a directory", "not a directory"},
		{"nothing on the way", nil, "none/x", "no such file", "no such file"},
		{"a directory", secret, "mine/", "is a directory", "is a directory"},
		{"dots and slashes", secret, "mine/..//./mine/../mine/secret", root, root},

		{"a new file in Ubuntu's /var/log", []thing{syslog}, "log/new", root, group},
		{"root's file in Ubuntu's /var/log", []thing{syslog, {path: "log/f", mode: 0o640}}, "log/f", root, group},
		{"a user's directory in it", []thing{syslog, {path: "log/app/", mode: 0o755, uid: u}}, "log/app/new", user, group},
		{"a user's file in it", []thing{syslog, {path: "log/f", mode: 0o640, uid: u}}, "log/f", user, group},
		{"a link in it", append(secret, syslog, thing{path: "log/f", link: "../mine/secret"}), "log/f", isLink, group},
		{"a hard link in it", append(secret, syslog, thing{path: "log/f", hard: "mine/secret"}), "log/f", otherNames, group},
		{"a FIFO in it", []thing{syslog, {path: "log/f", mode: 0o666, uid: u, fifo: true}}, "log/f", notRegular, group},

		{"below Debian's /usr/local", []thing{staff, {path: "local/log/", mode: 0o755}}, "local/log/new", root, group},
		{"a link in it", append(secret, staff, thing{path: "local/log", link: "../mine"}), "local/log/new", isLink, group},
		{"a directory with an access control list", []thing{{path: "d/", mode: 0o755, acl: u}}, "d/new", root, group},

		{"a new file in one's home", []thing{home}, "home/new", user, user},
		{"one's own file at home", []thing{home, {path: "home/f", mode: 0o600, uid: u}}, "home/f", user, user},
		{"root's file at home", []thing{home, {path: "home/f", mode: 0o600}}, "home/f", denied, denied},
		{"root's public file at home", []thing{home, {path: "home/f", mode: 0o644}}, "home/f", denied, user},
		{"another's public file at home", []thing{home, {path: "home/f", mode: 0o644, uid: v}}, "home/f", denied, anothers},
		{"a link at home to root's file", append(secret, home, thing{path: "home/f", link: "../mine/secret"}), "home/f", denied, loop},
		{"a link at home to root's directory", append(secret, home, thing{path: "home/d", link: "$T/mine"}), "home/d/new", denied, denied},
		{"a link at home to root's public directory", append(secret, home, thing{path: "home/d", link: "../mine"}, thing{path: "mine/f", mode: 0o644}), "home/d/f", denied, user},
		{"root's link at home", append(secret, home, thing{path: "home/d", link: "../mine"}), "home/d/secret", denied, denied},
		{"a hard link at home to root's file", append(secret, home, thing{path: "home/f", hard: "mine/secret"}), "home/f", denied, denied},
		{"a FIFO at home", []thing{home, {path: "home/f", mode: 0o600, uid: u, fifo: true}}, "home/f", notRegular, notRegular},
		{"a link to our own directory", append(secret, home, thing{path: "home/d", link: "/proc/self/cwd/mine"}), "home/d/secret", loop, loop},
		{"a link to our own descriptor", append(secret, home, thing{path: "home/d", link: "/proc/self/fd/0"}), "home/d", loop, loop},
		{"another's directory at home", []thing{home, {path: "home/d/", mode: 0o755, uid: v}}, "home/d/new", twoUsers, twoUsers},
		{"root's directory at home", []thing{home, {path: "home/d/", mode: 0o755}}, "home/d/new", denied, denied},
		{"a directory at home that everybody may write", []thing{home, {path: "home/d/", mode: 0o777, uid: u}}, "home/d/new", everybody, everybody},
		{"a home that only its user may enter", []thing{{path: "home/", mode: 0o700, uid: u}, {path: "home/d/", mode: 0o700, uid: u}}, "home/d/new", user, user},

		{"a new file in /run/haproxy", []thing{shared}, "haproxy/new", user, user},
		{"its own file in it", []thing{shared, {path: "haproxy/f", mode: 0o644, uid: u}}, "haproxy/f", user, user},
		{"a group's file in it", []thing{shared, {path: "haproxy/f", mode: 0o644, uid: v, gid: 60}}, "haproxy/f", denied, anothers},
		{"root's file in it that the group may write", []thing{shared, {path: "haproxy/f", mode: 0o664, gid: 60}}, "haproxy/f", denied, group},

		{"a new file in /tmp", []thing{sticky}, "tmp/new", root, root},
		{"root's file in /tmp", []thing{sticky, {path: "tmp/f", mode: 0o644}}, "tmp/f", root, root},
		{"a user's file in /tmp", []thing{sticky, {path: "tmp/f", mode: 0o644, uid: u}}, "tmp/f", user, user},
		{"a link in /tmp", append(secret, sticky, thing{path: "tmp/f", link: "../mine/secret", uid: u}), "tmp/f", isLink, loop},
		{"a link to a directory in /tmp", append(secret, sticky, thing{path: "tmp/d", link: "../mine", uid: u}), "tmp/d/secret", isLink, isLink},
		{"a hard link in /tmp", append(secret, sticky, thing{path: "tmp/f", hard: "mine/secret"}), "tmp/f", otherNames, otherNames},
		{"a FIFO in /tmp", []thing{sticky, {path: "tmp/f", mode: 0o666, uid: u, fifo: true}}, "tmp/f", notRegular, notRegular},
		{"root's directory in /tmp", []thing{sticky, {path: "tmp/d/", mode: 0o755}}, "tmp/d/new", root, root},
		{"a user's directory in /tmp", []thing{sticky, {path: "tmp/d/", mode: 0o755, uid: u}}, "tmp/d/new", user, user},
		{"a link from one's home to /tmp", append(secret, home, sticky, thing{path: "home/d", link: "../tmp"}, thing{path: "tmp/d", link: "../home", uid: v}), "home/d/d/new", isLink, isLink},

		{"a directory that everybody may change", []thing{{path: "open/", mode: 0o777}}, "open/new", everybody, everybody},
		{"below a directory that everybody may change", []thing{{path: "open/", mode: 0o777}, {path: "open/d/", mode: 0o755}}, "open/d/new", everybody, everybody},
	} {
		for _, log := range []bool{true, false} {
			want, kind := test.pidfile, "pidfile"
			if log {
				want, kind = test.log, "log"
			}
			t.Run(test.name+", "+kind, func(t *testing.T) {
				dir := t.TempDir()
				t.Chdir(dir)
				for _, m := range test.things {
					m.link = strings.ReplaceAll(m.link, "$T", dir)
					m.make(t)
				}
				for _, path := range []string{test.path, dir + "/" + test.path} {
					got := openEntry(t, path, log)
					if want := strings.ReplaceAll(want, "$T", dir); !strings.Contains(got, want) {
						t.Errorf("%s: %q, want %q", path, got, want)
					}
				}
				if content, err := os.ReadFile("mine/secret"); err == nil && string(content) != "content\n" {
					t.Errorf("changed to %q", content)
				}
			})
		}
	}
}

// openEntry opens, or creates, and says with whose rights, or why not.
func openEntry(t *testing.T, path string, log bool) string {
	t.Helper()
	e, err := resolve(path, !log, false)
	if err != nil {
		return err.Error()
	}
	defer e.Close()
	flags := unix.O_RDONLY
	if log {
		flags = unix.O_WRONLY | unix.O_APPEND
	}
	fd, err := e.Open(flags, 0)
	if err == unix.ENXIO {
		fd, err = e.Open(unix.O_RDWR, 0) // a FIFO
	}
	created := err == unix.ENOENT
	if created {
		fd, err = e.Open(flags|unix.O_CREAT|unix.O_EXCL, 0o644)
	}
	if err != nil {
		return err.Error()
	}
	defer unix.Close(fd)
	var st, now unix.Stat_t
	if err := errors.Join(unix.Fstat(fd, &st), e.Stat(&now)); err != nil {
		t.Error(err)
	}
	if st.Ino != now.Ino {
		t.Error("Stat and Open find different files")
	}
	whose := "root's rights"
	if e.Rights != nil {
		whose = "the user's rights"
		if e.Rights.UID != testUID {
			t.Errorf("the rights of user %d", e.Rights.UID)
		}
	}
	if created {
		if uid := st.Uid; (uid == testUID) != (e.Rights != nil) {
			t.Errorf("created for %d", uid)
		}
		if err := e.Unlink(); err != nil {
			t.Error(err)
		}
	}
	return whose
}

// A FUSE mount is its user's, even if the user's program that answers for it
// says that it is root's, or never answers as this one.
func TestResolveFUSE(t *testing.T) {
	needRoot(t)
	t.Chdir(t.TempDir())
	device, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(device)
	if err := os.Mkdir("m", 0o755); err != nil {
		t.Fatal(err)
	}
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other", device, testUID, testUID)
	if err := unix.Mount("x", "m", "fuse", 0, data); err != nil {
		t.Skip(err)
	}
	defer unix.Unmount("m", unix.MNT_DETACH)
	dir, _ := filepath.Abs("m")
	for _, path := range []string{"m/x", dir + "/x"} {
		e, err := resolve(path, true, false)
		if err != nil {
			t.Fatal(err)
		}
		if e.owner == nil || e.owner.UID != testUID {
			t.Errorf("%s: the rights of %v", path, e.owner)
		}
		e.Close()
	}
}

// What the caller has open is reached by the names that /proc has for it.
func TestResolveProc(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	for _, path := range []string{"/dev/fd/%d", "/proc/self/fd/%d", "/proc/self/../self/fd/%d"} {
		e, err := Resolve(fmt.Sprintf(path, pipe[1]))
		if err != nil {
			t.Fatal(err)
		}
		fd, err := e.Open(unix.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Write(fd, []byte("x")); err != nil {
			t.Error(err)
		}
		unix.Close(fd)
		e.Close()
	}
	unix.Close(pipe[1])
	buf := make([]byte, 10)
	if n, _ := unix.Read(pipe[0], buf); n != 3 {
		t.Errorf("%d bytes came through", n)
	}
}
