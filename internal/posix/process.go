package posix

import (
	"bytes"
	"errors"
)

// HZ is the unit of the kernel's clock ticks, sysconf(_SC_CLK_TCK). It is part
// of the ABI: 100 wherever Go runs.
const HZ = 100

// ProcRoot is where the process table is read. Tests put a made-up one there.
var ProcRoot = "/proc"

// Process is one row of the process table: what proc_pid_stat(5) says of a
// process or thread, and what Fill was asked to add.
type Process struct {
	PID, PPID, PGID, SID int // 0 for one that this PID namespace does not have

	TGID    int    // the thread's process: in the row of a process the same as PID
	TTY     int    // device number of the controlling terminal, 0 for none
	TPGID   int    // foreground group of that terminal, -1 for none
	Threads int    // 0 in the row of a thread that has ended
	Nice    int    // -20 to 19
	UID     int    // effective user, with Owner
	RSS     int    // KiB, with Memory
	Flags   uint32 // PF_*, include/linux/sched.h
	State   byte   // a letter of R S D T t Z X I
	Start   uint64 // ticks after boot; with PID, a process's identity
	CPU     uint64 // ticks used, user and system
	Comm    string // raw bytes, at most 15 but for kernel threads
	Args    string // raw bytes, each argument ended by NUL, with Args
	Cgroup  string // the lines of cgroups(7), with Cgroup
}

// Zombie tells whether the process has ended and waits for its parent. If its
// first thread has ended while others go on, it is in state Z too, but it lives:
// Threads still counts them.
func (p *Process) Zombie() bool {
	return (p.State == 'Z' || p.State == 'X') && p.Threads <= 1
}

// Kernel tells whether it is a kernel thread, by its flag (PF_KTHREAD). Session 0
// and parent 0 are no sign of one: in a PID namespace other processes have them.
func (p *Process) Kernel() bool { return p.Flags&0x00200000 != 0 }

// Fields is a set of what Fill reads beyond stat. Each costs one to three system
// calls for each process.
type Fields uint

const (
	Owner  Fields = 1 << iota // UID
	Args                      // Args
	Memory                    // RSS
	Cgroup                    // Cgroup
)

// errStat is the error of a row that is not as proc_pid_stat(5) says.
var errStat = errors.New("malformed")

// parseStat reads a line of proc_pid_stat(5). The name may hold anything,
// parentheses and newlines too, so it ends at the last ")".
func parseStat(line []byte, p *Process) error {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open || len(line) < end+4 || line[end+1] != ' ' {
		return errStat
	}
	pid, rest, ok := number(line[:open])
	if !ok || string(rest) != " " {
		return errStat
	}
	var f [19]int64     // fields 4 to 22
	rest = line[end+3:] // each with its blank
	for i := range f {
		if f[i], rest, ok = number(rest); !ok {
			return errStat
		}
	}
	p.PID, p.TGID = int(pid), int(pid)
	p.Comm = string(line[open+1 : end])
	p.State = line[end+2]
	p.PPID, p.PGID, p.SID = int(f[0]), int(f[1]), int(f[2])
	p.TTY, p.TPGID, p.Flags = int(f[3]), int(f[4]), uint32(f[5])
	p.CPU = uint64(f[10] + f[11])
	p.Nice, p.Threads, p.Start = int(f[15]), int(f[16]), uint64(f[18])
	return nil
}

// number takes a decimal number off the front of b, with the blank before it.
// It has no more than 18 digits, as no field has that is read here, so it fits.
func number(b []byte) (n int64, rest []byte, ok bool) {
	b = bytes.TrimPrefix(b, []byte(" "))
	rest = bytes.TrimPrefix(b, []byte("-"))
	negative := len(rest) < len(b)
	for digits := 0; digits < 18 && len(rest) > 0 && '0' <= rest[0] && rest[0] <= '9'; digits++ {
		n, rest, ok = n*10+int64(rest[0]-'0'), rest[1:], true
	}
	if negative {
		n = -n
	}
	return n, rest, ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\n')
}
