// Package posix is what daemonize, pidkill and pgtree share: sessions, process
// groups, processes, signals and pidfiles, and the few things a POSIX utility
// does on its command line and on standard error.
//
// The boundary: a function belongs here when two programs call it, or when it
// talks to the kernel. It returns; it never prints, exits or decides on a
// policy. Statuses are named here, and given out by each program's run.
//
// Linux alone is supported: what the programs promise rests on pidfds, /proc,
// close_range(2) and lock queries, which have no likes elsewhere. All of that
// sits in *_linux.go; the files without a suffix would compile anywhere.
package posix
