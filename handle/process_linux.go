package handle

import (
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// Process is a process whose namespaces are to be used, by a pidfd: if its PID is given to another process, it is still
// the first one. The caller closes it. It does not keep the namespaces alive.
type Process struct {
	p   *sys.Process
	pid int
}

// OpenProcess opens a pidfd of the process with that PID in the caller's PID namespace, or of the thread with that TID;
// the caller closes it. It requires no capability; to use it does. ESRCH, also fs.ErrNotExist: there is none.
//
// The namespaces of a process are those of its first thread, or if that has ended while others run, of its oldest.
func OpenProcess(pid int) (*Process, error) {
	p, err := openProcess(pid)
	if err != nil {
		return nil, &Error{Op: "open", Ref: "process " + strconv.Itoa(pid), Err: err}
	}
	return &Process{p, pid}, nil
}

// Close closes the pidfd; again, it does nothing.
func (p *Process) Close() error { return p.p.Close() }

// String returns the PID.
func (p *Process) String() string { return "process " + strconv.Itoa(p.pid) }

// Namespace returns a reference to the process's namespace of that type, valid while the Process is open. A type that
// is none of the eight is EINVAL when the reference is used.
func (p *Process) Namespace(t species.NamespaceType) ProcessNamespace { return ProcessNamespace{p, t} }

// Namespaces returns references to the process's namespaces of these types. [Execute] joins them in one step, at the cost of one.
func (p *Process) Namespaces(types ...species.NamespaceType) []Relation {
	refs := make([]Relation, len(types))
	for i, t := range types {
		refs[i] = p.Namespace(t)
	}
	return refs
}

// ProcessNamespace refers to the namespace of one type that a process is in at the time of use. It keeps nothing alive.
type ProcessNamespace struct {
	process *Process
	t       species.NamespaceType
}

func (n ProcessNamespace) valid() bool {
	return n.process != nil && n.process.p != nil && n.t.Name() != ""
}

// NsFd opens the namespace. If the process has ended it is ESRCH and ErrStale.
func (n ProcessNamespace) NsFd() (int, FdCloser, error) {
	if !n.valid() {
		return -1, nil, invalid(n, syscall.EINVAL)
	}
	fd, err := n.process.p.OpenNamespace(n.t)
	return opened(n, fd, uninspected(n.process.p, err))
}

// String returns type and PID.
func (n ProcessNamespace) String() string {
	if n.process == nil {
		return "no process"
	}
	return typeWord(n.t) + " of " + n.process.String()
}
