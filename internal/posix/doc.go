// Package posix is what daemonize, pidkill and pgtree share: sessions, process
// groups, processes, signals and pidfiles, and the few things a POSIX utility
// does on its command line and on standard error.
//
// The boundary: a function belongs here when two programs call it, or when it
// talks to the kernel. It returns; it never prints, exits or decides on a
// policy. Statuses are named here, and given out by each program's run.
//
// What only Linux has (pidfds, /proc, close_range, open file lock queries)
// sits in *_linux.go. The files without a suffix are plain POSIX.
package posix
