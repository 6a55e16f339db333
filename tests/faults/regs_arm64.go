package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Register sets of ptrace(2), from <linux/elf.h>.
const (
	ntPrstatus   = 1
	ntSystemCall = 0x404
)

// skipCall, at the entry of a system call, keeps the kernel from doing it.
func skipCall(tid int) error {
	number := int32(-1)
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(&number)), Len: 4}
	return ptrace(unix.PTRACE_SETREGSET, tid, ntSystemCall, uintptr(unsafe.Pointer(&iov)))
}

// setResult, at the exit, is what the call returns.
func setResult(tid int, result int) error {
	var regs unix.PtraceRegsArm64
	if err := unix.PtraceGetRegSetArm64(tid, ntPrstatus, &regs); err != nil {
		return err
	}
	regs.Regs[0] = uint64(result)
	return unix.PtraceSetRegSetArm64(tid, ntPrstatus, &regs)
}

// framePointer is where the chain of stack frames begins. The function that
// is at an SVC has no frame of its own: its caller is in the link register.
func framePointer(tid int) uint64 {
	var regs unix.PtraceRegsArm64
	unix.PtraceGetRegSetArm64(tid, ntPrstatus, &regs)
	return regs.Regs[29]
}

func returnAddress(tid int, _ uint64) uint64 {
	var regs unix.PtraceRegsArm64
	unix.PtraceGetRegSetArm64(tid, ntPrstatus, &regs)
	return regs.Regs[30]
}
