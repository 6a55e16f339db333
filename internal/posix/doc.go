// Package posix is what daemonize, pidkill and pgtree share: sessions, process
// groups, processes, signals and pidfiles, and the few things a POSIX utility
// does on its command line and on standard error.
//
// The boundary: a function belongs here when two programs call it, or when it
// talks to the kernel. It returns; it writes only to a Writer that it is given,
// never exits, and decides on no policy. Statuses are named here, and given out by
// each program's run.
//
// Linux alone is supported: what the programs promise rests on pidfds, /proc,
// close_range(2) and lock queries, which other systems do not have. What calls the
// kernel is in *_linux.go; the other files are text, numbers and tables, and fd.go,
// read(2) and write(2).
//
// The files, by the question that each answers:
//
//	the command line        getopt, status, signal, time, escape, fd
//	whose daemon, alive?    daemon_linux (the rule), pidfile (the number in
//	                        the file), pidfile_linux (the file and its two
//	                        locks), holder_linux (which processes hold them)
//	with whose rights?      path_linux (whose a path is), rights_linux and
//	                        uid_linux (a thread with a user's), passwd
//	which processes?        process, process_linux (the table), handle_linux
//	                        (one pinned)
//	how are they started?   spawn_linux, signal_linux, sigaction_linux
//	how are they ended?     group_linux
//	how are ends awaited?   Handle.Wait for one process, Group.Wait for a
//	                        group, Await for many sets at once (watch_linux)
//
// A pidfile goes through these states. The flock is made by a start, and held by
// the daemon and all that it starts. A byte is a record lock for writing on it.
//
//	free ---------- a start: flock, byte 0, then empties it -----> starting
//	starting ------ the start: writes the PID, lets go of byte 0 -> running
//	starting ------ it fails: unlinks it, with both locks -------> no file
//	running ------- the last holder of the flock ends -----------> free
//	running ------- process and group end, heirs of it do not ---> escaped
//	running ------- the same, and a supervisor holds byte 1 -----> between runs
//	between runs -- the supervisor: byte 0, time 0, then forks --> starting
//	between runs -- it ends: unlinks it, with both locks --------> no file
//	free, or what a pidkill has just ended, escaped heirs or not
//	       -------- a pidkill: both bytes, unlinks it ----------> no file
//
// Nobody else writes the file, and nobody unlinks it while it is starting or
// running. A process that is killed leaves no lock, so the state is always what
// the locks of the living say.
package posix
