package handle

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// TranslatePID returns the PID that the process with PID pid in the PID namespace from has in the PID namespace to; nil
// stands for the caller's. Both must be the caller's or below it: other processes cannot be seen. ESRCH: there is no
// such process, or it has no PID in to.
//
// The kernel answers since Linux 6.11. Before, it looks into /proc, which must show the caller's PID namespace, and
// requires the right to inspect the processes of from. The PID may be that of
// another process by the time of use: open a pidfd, then ask again.
func TranslatePID(pid int, from, to Relation) (int, error) {
	ref := "PID " + strconv.Itoa(pid)
	if pid <= 0 {
		return 0, &Error{Op: "translate", Ref: ref, Err: fmt.Errorf("a PID is positive: %w", syscall.EINVAL)}
	}
	here := pid
	var err error
	if from == nil && to == nil {
		err = sys.Exists(pid)
	}
	if from != nil {
		here, err = translation(from, pid, sys.PIDFrom, searchPID)
	}
	if err == nil && to != nil {
		here, err = translation(to, here, sys.PIDIn, pidIn)
	}
	if err != nil {
		return 0, &Error{Op: "translate", Type: species.CLONE_NEWPID, Ref: ref, Err: err}
	}
	return here, nil
}

// translation asks the kernel, or if that cannot answer, looks into /proc.
func translation(ref Relation, pid int, ask func(fd, pid int) (int, error),
	look func(pid int, ns species.NamespaceID) (int, error)) (int, error) {
	fd, _, closer, err := open(ref, species.CLONE_NEWPID)
	if err != nil {
		return 0, err
	}
	defer closer()
	translated, err := ask(fd, pid)
	if !sys.IsMissing(err) {
		return translated, err
	}
	id, err := sys.IDOf(fd)
	if err != nil {
		return 0, err
	}
	return look(pid, id)
}

// searchPID looks for the process that has that PID in the namespace.
func searchPID(pid int, ns species.NamespaceID) (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		here, ok := procfs.PID([]byte(entry.Name()))
		if !ok {
			continue
		}
		if there, err := pidIn(here, ns); err == nil && there == pid {
			return here, nil
		}
	}
	return 0, syscall.ESRCH
}

// pidIn returns the PID of a process in the namespace. The status file has its PIDs from the outermost namespace, ours,
// to the process's own, of which the other ones are the parents.
func pidIn(here int, ns species.NamespaceID) (int, error) {
	p, err := openProcess(here)
	if err != nil {
		return 0, err
	}
	defer func() { _ = p.Close() }()
	dir, err := p.ProcDir()
	if err != nil {
		return 0, err
	}
	text, err := os.ReadFile(dir + "/status")
	if err != nil {
		return 0, ended(p, err)
	}
	status, _ := procfs.ParseStatus(text, nil)
	pids := status.PIDs
	if len(pids) == 0 {
		return 0, fmt.Errorf("no NSpid in the status of a process: %w", syscall.EINVAL)
	}
	level, err := levelOf(p, ns, len(pids))
	if err != nil || !p.Alive() {
		return 0, errors.Join(err, syscall.ESRCH)
	}
	return pids[len(pids)-1-level], nil
}

// levelOf returns how many parents up from the process's PID namespace the other one is.
func levelOf(p *sys.Process, ns species.NamespaceID, levels int) (int, error) {
	at, err := p.OpenNamespace(species.CLONE_NEWPID)
	if err != nil {
		return 0, err
	}
	defer func() { _ = at.Close() }()
	for level := range levels {
		id, err := sys.IDOf(at.Int())
		if err != nil {
			return 0, err
		}
		if id == ns {
			return level, nil
		}
		parent, err := sys.Own(raw.Parent(at.Int()))
		if err != nil {
			return 0, syscall.ESRCH
		}
		_ = at.Close()
		at = parent
	}
	return 0, syscall.ESRCH
}
