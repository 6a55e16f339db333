//go:build amd64 || arm64

package main

import (
	"debug/elf"
	"debug/gosym"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// symbols names the functions of a Go program. The table for that is there
// in a stripped program too: the runtime prints stacks with it.
type symbols struct{ *gosym.Table }

func loadSymbols(program string) (*symbols, error) {
	f, err := elf.Open(program)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := f.Section(".gopclntab").Data()
	if err != nil {
		return nil, err
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(data, f.Section(".text").Addr))
	return &symbols{table}, err
}

// stack is the functions that a thread at a system call is in, innermost
// first, up to so many. Go keeps frame pointers.
func (s *symbols) stack(tid int, pc, sp uint64, most int) (names []string) {
	name := func(pc uint64) bool {
		fn := s.PCToFunc(pc)
		if fn != nil {
			names = append(names, fn.Name)
		}
		return fn != nil
	}
	if !name(pc) || !name(returnAddress(tid, sp)) {
		return names
	}
	for fp := framePointer(tid); len(names) < most && name(peek(tid, fp+8)); {
		next := peek(tid, fp)
		if next <= fp {
			break
		}
		fp = next
	}
	return names
}

// peek is a word of a thread's memory, 0 where there is none.
func peek(tid int, address uint64) (word uint64) {
	if address != 0 {
		ptrace(unix.PTRACE_PEEKDATA, tid, uintptr(address), uintptr(unsafe.Pointer(&word)))
	}
	return word
}

// runtimes tells whether Go's runtime makes the call on its own account, for
// its threads, its memory or its poller, and not for the program.
func runtimes(stack []string) bool {
	for _, name := range stack {
		if strings.HasPrefix(name, "internal/runtime/syscall") {
			continue // the stub that everybody shares
		}
		// The second are the runtime's under another name: what it does
		// around fork(2), and system calls on all threads.
		return strings.HasPrefix(name, "runtime.") || strings.HasPrefix(name, "syscall.runtime_")
	}
	return true // not even Go: the first instructions
}

// place is the line of the program that a stack comes from, for messages.
func place(stack []string) string {
	var names []string
	for _, name := range stack {
		if strings.HasPrefix(name, "syscall.") || strings.HasPrefix(name, "internal/runtime/syscall") ||
			strings.HasPrefix(name, "golang.org/x/sys/unix.") {
			continue
		}
		if names = append(names, strings.TrimPrefix(name, "procgroup/internal/")); len(names) == 4 {
			break
		}
	}
	return strings.Join(names, " < ")
}
