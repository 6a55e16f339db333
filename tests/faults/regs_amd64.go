package main

import "golang.org/x/sys/unix"

// Offsets in struct user, ptrace(2): 8 bytes for each register.
const (
	rax     = 10 * 8
	origRax = 15 * 8
)

// skipCall, at the entry of a system call, keeps the kernel from doing it.
func skipCall(tid int) error { return pokeUser(tid, origRax, -1) }

// setResult, at the exit, is what the call returns.
func setResult(tid int, result int) error { return pokeUser(tid, rax, result) }

func pokeUser(tid, offset, value int) error {
	return ptrace(unix.PTRACE_POKEUSR, tid, uintptr(offset), uintptr(value))
}

// framePointer is where the chain of stack frames begins. The function that
// is at a SYSCALL has no frame of its own: its caller is on top of the stack.
func framePointer(tid int) uint64 {
	var regs unix.PtraceRegs
	unix.PtraceGetRegs(tid, &regs)
	return regs.Rbp
}

func returnAddress(tid int, sp uint64) uint64 { return peek(tid, sp) }
