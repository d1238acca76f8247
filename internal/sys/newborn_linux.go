package sys

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// Newborn is a child that was made for its namespaces and never runs an instruction of its program: it is stopped when
// execve(2) is over, as a debugger would. It is how a multithreaded process makes a user namespace without code that
// runs between fork and execve.
type Newborn struct {
	*Process
	child *Child
}

// MakeNewborn makes a child with new namespaces of these types, those of the other types owned by the new user
// namespace if there is one. Mounts are private. The child dies with the calling thread, to which the goroutine is
// locked until End. It takes /proc and the right to be traced, which a process under strace -f has not.
func MakeNewborn(types species.Set, uids, gids []syscall.SysProcIDMap) (*Newborn, error) {
	const atBirth = species.Set(species.CLONE_NEWUSER | species.CLONE_NEWPID)
	if err := checkProc(); err != nil {
		return nil, err
	}
	pidfd := -1
	pid, err := syscall.ForkExec("/proc/self/exe", []string{""}, &syscall.ProcAttr{Dir: "/", Sys: &syscall.SysProcAttr{
		PidFD:        &pidfd,
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
	child := &Child{PID: pid, process: NewProcess(pidfd)}
	n := &Newborn{child.process, child}
	if err := child.awaitStop(); err != nil {
		n.End()
		return nil, err
	}
	return n, nil
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

// End kills the child and reaps it.
func (n *Newborn) End() {
	n.child.Kill()
	n.child.Wait(time.Time{})
}
