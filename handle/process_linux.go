package handle

import (
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// Process is a process whose namespaces are to be used, held by a pidfd: if its PID is given to another process, this
// does not follow. The caller closes it. It does not keep the namespaces alive.
type Process struct {
	p   *sys.Process
	pid int
}

// OpenProcess takes hold of the process with that PID in the caller's PID namespace, or of the thread with that TID; the
// caller closes it. It takes no rights; using it does. ESRCH, which is fs.ErrNotExist, too: there is none.
//
// The namespaces of a process are those of its first thread, and if that has ended while others live on, those of its
// oldest.
func OpenProcess(pid int) (*Process, error) {
	p, err := openProcess(pid)
	if err != nil {
		return nil, &Error{Op: "open", Ref: "process " + strconv.Itoa(pid), Err: err}
	}
	return &Process{p, pid}, nil
}

// Close lets the process go; again, it does nothing.
func (p *Process) Close() error { return p.p.Close() }

// String returns the PID.
func (p *Process) String() string { return "process " + strconv.Itoa(p.pid) }

// Namespace returns a reference to the process's namespace of that type, for as long as the Process is open. A type that
// is none of the eight is EINVAL when the reference is used.
func (p *Process) Namespace(t species.NamespaceType) ProcessNamespace { return ProcessNamespace{p, t} }

// Namespaces returns references to the process's namespaces of these types. [Execute] joins them in one step, which is
// no dearer than joining one.
func (p *Process) Namespaces(types ...species.NamespaceType) []Relation {
	refs := make([]Relation, len(types))
	for i, t := range types {
		refs[i] = p.Namespace(t)
	}
	return refs
}

func (p *Process) pidfd() int { return p.p.Int() }

// shares says whether the calling thread is in the process's namespace of type t.
func (p *Process) shares(t species.NamespaceType) (bool, error) {
	theirs, err := p.p.NamespaceID(t)
	if err != nil {
		return false, err
	}
	ours, err := sys.ThreadNamespaceID(t)
	return err == nil && ours == theirs, nil
}

// ProcessNamespace refers to the namespace of one type that a process is in whenever it is asked. It holds nothing open
// itself.
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
