package sys

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// Living returns p if its first thread lives. It has ended when a program's main() did so by pthread_exit(3): such a
// process has no namespaces, although it lives on. Then another thread is returned, its oldest, for which p is closed. So
// what is returned takes the place of p, and is p if there is an error.
func (p *Process) Living() (*Process, error) {
	if p.hasNamespaces() {
		return p, nil
	}
	thread, err := p.otherThread()
	if err != nil {
		return p, err
	}
	_ = p.Close()
	return thread, nil
}

// hasNamespaces says whether the thread itself lives. Of a first thread whose process lives on, the pidfd does not tell.
func (p *Process) hasNamespaces() bool {
	fd, err := p.openNamespace(species.CLONE_NEWUTS)
	_ = fd.Close()
	return err != unix.ESRCH
}

// insteadOf returns a thread that answers for the process if the first one has ended, which err says; nil if there is none.
func (p *Process) insteadOf(err error) *Process {
	if err != unix.ESRCH || p.thread || !p.Alive() {
		return nil
	}
	thread, _ := p.otherThread()
	return thread
}

// otherThread takes hold of a thread that lives, the oldest. ESRCH: there is none.
func (p *Process) otherThread() (*Process, error) {
	dir, err := p.ProcDir()
	if err != nil {
		return nil, err
	}
	tasks, err := os.Open(dir + "/task")
	if err != nil {
		return nil, gone(err)
	}
	defer func() { _ = tasks.Close() }()
	names, _ := tasks.Readdirnames(-1) // as /proc has them
	for _, name := range names {
		tid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		thread, err := p.OpenThreadOf(tid)
		if err != nil { // perhaps as /proc is of another PID namespace than ours
			thread, err = p.openTask(tid)
		}
		if err == nil && thread.hasNamespaces() && p.Alive() {
			return thread, nil
		}
		_ = thread.Close()
	}
	return nil, unix.ESRCH
}
