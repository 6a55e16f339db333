package posix

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Identity is a user as credentials(7) has it: whom a command runs as, or with
// whose rights something is done.
type Identity struct {
	UID, GID int
	Groups   []int
}

// noGroup is the group of a user who has no entry in /etc/passwd: the kernel's
// overflowgid, which stands for a group without a number.
const noGroup = 65534

// identityOf is the user who owns something, with the groups that /etc knows.
func identityOf(uid int) *Identity {
	id := &Identity{UID: uid, GID: noGroup}
	if u, err := LookupUser(IDText(uid)); err == nil && u.UID == uid && u.GID != -1 {
		id.GID = u.GID
		id.Groups, _ = SupplementaryGroups(u.Name, u.GID)
	}
	return id
}

// unusedUID is a user ID that no process has, (uid_t)-3, and unusedUID16 one that a
// user namespace of only 65536 has too.
const unusedUID, unusedUID16 = -3, 1<<16 - 3

// Do calls f with the rights of this user and no capability, so that the
// kernel allows what it would allow that user: opening files, and sending
// signals. The caller is root. A nil Identity is the caller's own rights.
//
// Only the thread that f runs on has these rights, and it ends with f; what f
// starts as a goroutine does not have them. The real user ID there is one that
// no process has, the saved one root's: as the sender of a signal such a thread
// may do what the user may, but the user may neither stop nor kill it. (Kill(2)
// looks at real and effective ID of the sender, at real and saved ID of the
// receiver.)
func (id *Identity) Do(f func() error) error {
	if id == nil {
		return f()
	}
	return onThread(func() error {
		err := id.assume(unusedUID, 0)
		if err == unix.EINVAL {
			err = id.assume(unusedUID16, 0)
		}
		if err != nil {
			return fmt.Errorf("cannot take on the rights of user %s: %w", Escape(UserName(id.UID)), err)
		}
		return f()
	})
}

// Become calls f as this user for good: f is to call execve(2), which ends all
// other threads. Where it returns, the process is still root's. Capabilities
// and the caller's session keyring (keyrings(7)) are left behind. A nil
// Identity is the caller.
func (id *Identity) Become(f func() error) error {
	if id == nil {
		return f()
	}
	return onThread(func() error {
		// As root, because the user could have used up a quota of keys. A kernel
		// or container without keyrings has none to leave.
		_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
		if err != nil && err != unix.ENOSYS && err != unix.EPERM {
			return fmt.Errorf("cannot leave the session keyring: %w", err)
		}
		if err := id.assume(id.UID, id.UID); err != nil {
			return fmt.Errorf("%s: cannot become this user: %w", Escape(UserName(id.UID)), err)
		}
		return f()
	})
}

// onThread calls f on a thread that nothing else runs on, and that ends with
// it. The first thread of a process cannot end: it is kept busy then.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			done <- onThread(f)
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}

// assume changes the calling thread alone, by raw system calls: those of
// package syscall change every thread, and those of the C library too.
func (id *Identity) assume(realUID, savedUID int) error {
	if err := unix.Setgroups(id.Groups); err != nil {
		return err
	}
	gid := uintptr(id.GID)
	if _, _, errno := unix.RawSyscall(setresgid, gid, gid, gid); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(setresuid, uintptr(realUID), uintptr(id.UID), uintptr(savedUID)); errno != 0 {
		return errno
	}
	// All sets, also the inheritable and, with it, the ambient one, which
	// outlive a change of user (capabilities(7)).
	var none [2]unix.CapUserData
	return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0])
}
