package posix

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Place is a directory entry, reached step by step: the open directory stays
// the same one whatever is renamed on the way to it afterwards.
type Place struct {
	Path    string // as it was given, for messages
	Dir     int    // O_PATH descriptor of the directory
	Name    string // the entry in it, which may not exist
	Control Control
	follow  bool // leave a link in the last place to the kernel
}

// Control says who besides root could change what a path leads to.
type Control struct {
	Link string // the first symbolic link that is not root's: it could lead anywhere

	uids, gids []int
	world      bool
	adds       bool   // others can add entries to the last, sticky directory
	where      string // the first object that showed it, for messages
}

// Only tells whether nobody but root, the user and that user's primary group
// has control. Unless it holds, root must not trust what is found there.
func (c *Control) Only(uid, gid int) bool {
	return !c.world &&
		!slices.ContainsFunc(c.uids, func(id int) bool { return id != uid }) &&
		!slices.ContainsFunc(c.gids, func(id int) bool { return id != gid })
}

// Others tells whether somebody besides root could have put a file where it
// is, a hard link to somebody else's too.
func (c *Control) Others() bool { return c.adds || !c.Only(0, 0) }

func (c *Control) String() string {
	switch {
	case c.world:
		return fmt.Sprintf("%s can be changed by everybody", Escape(c.where))
	case len(c.uids) > 0:
		return fmt.Sprintf("%s belongs to user %s", Escape(c.where), UserName(c.uids[0]))
	case len(c.gids) > 0:
		return fmt.Sprintf("%s can be changed by group %d", Escape(c.where), c.gids[0])
	}
	return "only root has control"
}

// note adds what the owner and mode of one object on the way say. In a sticky
// directory others can only add entries, and those show their owner.
func (c *Control) note(where string, st *unix.Stat_t) {
	before := len(c.uids) + len(c.gids)
	world := false
	if st.Uid != 0 {
		c.uids = append(c.uids, int(st.Uid))
	}
	mode := st.Mode
	if mode&unix.S_IFMT == unix.S_IFDIR {
		c.adds = mode&unix.S_ISVTX != 0 && mode&0o022 != 0
	}
	if mode&unix.S_IFMT != unix.S_IFLNK && (mode&unix.S_IFMT != unix.S_IFDIR || mode&unix.S_ISVTX == 0) {
		if mode&unix.S_IWGRP != 0 && st.Gid != 0 {
			c.gids = append(c.gids, int(st.Gid))
		}
		world = mode&unix.S_IWOTH != 0
	}
	if world && !c.world || c.where == "" && len(c.uids)+len(c.gids) > before {
		c.world, c.where = c.world || world, where
	}
}

// maxLinks is the kernel's own limit: path_resolution(7).
const maxLinks = 40

// Locate finds the directory of path. Root goes there component by component
// and notes who controls each, symbolic links among them; for others the
// kernel's own walk will do. With follow, a link in the last place is gone
// through too. The caller closes Dir. Errors are those of open(2).
func Locate(path string, follow bool) (_ *Place, err error) {
	p := &Place{Path: path}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if unix.Geteuid() != 0 {
		i := strings.LastIndexByte(path, '/') + 1
		p.Name, p.follow = path[i:], follow
		return p, p.enter(cmp.Or(path[:i], "."))
	}
	rest, done := path, ""
	for links := 0; ; {
		if strings.HasPrefix(rest, "/") {
			p.Close()
			done = "/"
		}
		if p.Dir == 0 {
			if err := p.enter(cmp.Or(done, ".")); err != nil {
				return nil, err
			}
		}
		name, tail, more := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		tail = strings.TrimLeft(tail, "/")
		p.Name = name
		if !more && !follow {
			return p, nil
		}
		if p.inProc() {
			// Links there are the kernel's: /dev/stdout ends in one.
			p.Name, p.follow = strings.TrimLeft(rest, "/"), true
			return p, nil
		}
		fd, st, err := look(p.Dir, name, unix.O_NOFOLLOW)
		if err == unix.ENOENT && !more {
			return p, nil
		}
		if err != nil {
			return nil, err
		}
		switch kind := st.Mode & unix.S_IFMT; {
		case kind == unix.S_IFLNK:
			p.Control.note(done+name, &st)
			if st.Uid != 0 && p.Control.Link == "" {
				p.Control.Link = done + name
			}
			target := make([]byte, unix.PathMax)
			n, err := unix.Readlinkat(fd, "", target)
			unix.Close(fd)
			if links++; err == nil && links > maxLinks {
				err = unix.ELOOP
			}
			if err != nil {
				return nil, err
			}
			if rest = string(target[:n]); more {
				rest += "/" + tail
			}
		case kind == unix.S_IFDIR && more:
			p.Control.note(done+name, &st)
			p.Close()
			p.Dir, rest, done = fd, tail, done+name+"/"
		default:
			unix.Close(fd)
			if more {
				return nil, unix.ENOTDIR
			}
			return p, nil
		}
	}
}

// enter begins the way at a directory.
func (p *Place) enter(dir string) error {
	fd, st, err := look(unix.AT_FDCWD, dir, unix.O_DIRECTORY)
	if err == nil {
		p.Dir = fd
		p.Control.note(dir, &st)
	}
	return err
}

// look opens an object only to see what it is.
func look(at int, name string, flags int) (fd int, st unix.Stat_t, err error) {
	if fd, err = unix.Openat(at, name, flags|unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
		return -1, st, err
	}
	if err = unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
	}
	return fd, st, err
}

func (p *Place) inProc() bool {
	var fs unix.Statfs_t
	return unix.Fstatfs(p.Dir, &fs) == nil && fs.Type == unix.PROC_SUPER_MAGIC
}

// Open opens the entry, never through a symbolic link that Locate was not to
// follow (ELOOP), and never waiting for the other end of a FIFO.
func (p *Place) Open(flags int, mode uint32) (fd int, err error) {
	if p.Name == "" {
		return -1, unix.EISDIR
	}
	if !p.follow {
		flags |= unix.O_NOFOLLOW
	}
	err = retry(func() error {
		fd, err = unix.Openat(p.Dir, p.Name, flags|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, mode)
		return err
	})
	return fd, err
}

// Close gives the directory's descriptor back.
func (p *Place) Close() {
	if p.Dir > 0 {
		unix.Close(p.Dir)
		p.Dir = 0
	}
}
