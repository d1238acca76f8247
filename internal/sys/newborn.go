//go:build linux

package sys

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// Newborn is a child that was made for its namespaces and never runs an instruction of its program: it is stopped when
// execve(2) is over, as a debugger would. It is how a multithreaded process makes a user namespace without code that
// runs between fork and execve.
type Newborn struct {
	*Process
	pid    int
	reaped bool
}

// MakeNewborn makes a child with new namespaces of these types, those of the other types owned by the new user
// namespace if there is one. Mounts are private. The child dies with the calling thread, to which the goroutine is
// locked until End. It takes /proc and the right to be traced, which a process under strace -f has not.
func MakeNewborn(types species.Set, uids, gids []syscall.SysProcIDMap) (*Newborn, error) {
	const atBirth = species.Set(species.CLONE_NEWUSER | species.CLONE_NEWPID)
	if err := checkProc(); err != nil {
		return nil, err
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{""}, &syscall.ProcAttr{Dir: "/", Sys: &syscall.SysProcAttr{
		Ptrace:       true,
		Pdeathsig:    unix.SIGKILL,
		Cloneflags:   uintptr(types & atBirth),
		Unshareflags: uintptr(types &^ atBirth),
		UidMappings:  uids,
		GidMappings:  gids,
	}})
	if err != nil {
		return nil, err
	}
	n := &Newborn{pid: pid}
	if n.Process, err = OpenProcess(pid); err == nil { // nobody else waits for the child, so the PID is its own
		err = n.awaitExec()
	}
	if err != nil {
		n.End()
		return nil, err
	}
	return n, nil
}

// awaitExec waits for the stop after execve(2).
func (n *Newborn) awaitExec() error {
	var status unix.WaitStatus
	err := Retry(func() error { _, err := unix.Wait4(n.pid, &status, unix.WALL, nil); return err })
	if err == nil && !status.Stopped() {
		n.reaped = true
		return errors.New("the child did not live to be used")
	}
	return err
}

// OpenNamespace opens one of the child's namespaces. Of time namespaces that is the one for children, which before 6.3
// execve(2) does not enter.
func (n *Newborn) OpenNamespace(t species.NamespaceType) (*FD, error) {
	if t != species.CLONE_NEWTIME {
		return n.Process.OpenNamespace(t)
	}
	dir, err := n.ProcDir()
	if err != nil {
		return nil, err
	}
	return OpenNamespace(dir + "/ns/time_for_children")
}

// End kills the child and reaps it, unless that was done: then its PID may be somebody else's.
func (n *Newborn) End() {
	defer func() {
		if n.Process != nil {
			_ = n.Close()
		}
	}()
	var status unix.WaitStatus
	switch {
	case n.reaped:
		return
	case n.Process != nil:
		_ = n.Kill(unix.SIGKILL)
	default:
		_ = unix.Kill(n.pid, unix.SIGKILL)
	}
	for {
		err := Retry(func() error { _, err := unix.Wait4(n.pid, &status, unix.WALL, nil); return err })
		if err != nil || status.Exited() || status.Signaled() {
			n.reaped = true
			return
		}
	}
}
