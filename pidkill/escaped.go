package main

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"procgroup/internal/posix"
)

// escaped are processes that belonged to a daemon and left its group before
// it was ended. They are found while their links to it still are whole.
type escaped struct {
	session, descent []posix.Process
}

// beforehand looks for them, where the daemon has children at all. Whom it
// meets in the group meanwhile need not be looked for again.
func (k *killer) beforehand(p *prey, w *posix.Watch) (*escaped, error) {
	e := &escaped{}
	if k.quiet || p.group == nil || p.group.Leader != nil && childless(p.group.ID) {
		return e, nil
	}
	pids, err := posix.PIDs()
	if err != nil {
		return nil, err
	}
	var members, others []int
	for _, pid := range pids {
		if p.has(pid) {
			members = append(members, pid)
		} else {
			others = append(others, pid)
		}
	}
	w.Begin(members...)
	rows, _, err := posix.Table(others, 0, nil)
	if err != nil {
		return nil, err
	}
	own := map[int]bool{}
	for _, pid := range members {
		own[pid] = true
	}
	sid, err := unix.Getsid(p.root.PID)
	// A session that others lead, as a terminal's, has groups of its own.
	shared := err != nil || !own[sid] && leads(sid)
	for again := true; again; {
		again = false
		for i := range rows {
			q := &rows[i]
			switch {
			case q.PID == 0 || q.Zombie():
				continue
			case own[q.PPID]:
				e.descent = append(e.descent, *q)
			case !shared && q.SID == sid:
				e.session = append(e.session, *q)
			default:
				continue
			}
			own[q.PID], again = true, true
			q.PID = 0
		}
	}
	return e, nil
}

// childless tells whether no thread of a process has children. Not every
// kernel can tell: proc_pid_task(5), children.
func childless(pid int) bool {
	dir := posix.ProcRoot + "/" + strconv.Itoa(pid) + "/task"
	tasks, err := os.ReadDir(dir)
	for _, t := range tasks {
		var children []byte
		if children, err = os.ReadFile(dir + "/" + t.Name() + "/children"); err != nil || len(children) > 0 {
			return false
		}
	}
	return err == nil
}

// afterwards says who got away and still lives, and what would reach them.
func (k *killer) afterwards(h *hunt) {
	reported := map[int]bool{}
	report := func(rows []posix.Process, option string) {
		var pids []int
		for _, p := range rows {
			now, err := posix.ReadStat(p.PID)
			if err == nil && now.Start == p.Start && !now.Zombie() && !reported[p.PID] {
				pids = append(pids, p.PID)
				reported[p.PID] = true
			}
		}
		if len(pids) > 0 {
			k.note(h.target, "left the group and still runs (%s): %s", option, describe(pids))
		}
	}
	report(h.escaped.session, "-S would have reached it")
	report(h.escaped.descent, "-T would have reached it")
	if !h.locked {
		return
	}
	holders, err := h.file.Holders()
	if err != nil {
		return
	}
	for _, pid := range holders {
		p, err := posix.ReadStat(pid)
		if err == nil && pid != unix.Getpid() {
			report([]posix.Process{p}, fmt.Sprintf("it holds the lock; pidkill -g %d would reach it", p.PGID))
		}
	}
}
