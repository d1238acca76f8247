package handle

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// Of is the functions of this package for namespaces of another type: what Get is for network namespaces,
// Of(species.CLONE_NEWUTS).Get is for UTS namespaces. The table in the documentation of the package says what differs.
//
// A type that is none of the eight is EINVAL everywhere.
type Of species.NamespaceType

func (o Of) t() species.NamespaceType { return species.NamespaceType(o) }

// err makes an *Error of the cause, and nil of nil.
func (o Of) err(op, ref string, cause error) error {
	if cause == nil {
		return nil
	}
	return &Error{Op: op, Type: o.t(), Ref: ref, Err: cause}
}

// valid returns an error unless it is one of the eight types.
func (o Of) valid(op, ref string) error {
	if o.t().Name() == "" {
		return o.err(op, ref, fmt.Errorf("not a single type of namespaces: %w", syscall.EINVAL))
	}
	return nil
}

// own makes a handle of a descriptor.
func (o Of) own(fd *sys.FD, ref string, err error) (NsHandle, error) {
	if err != nil {
		return None(), o.err("open", ref, err)
	}
	return NsHandle(fd.Disown()), nil
}

// Get returns a handle of the calling thread's namespace; without runtime.LockOSThread that may be another thread by
// the next line. The caller closes it. It requires no capability.
func (o Of) Get() (NsHandle, error) {
	if err := o.valid("open", "thread-self"); err != nil {
		return None(), err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if o.t() != species.CLONE_NEWPID { // the raw call is for that of the children
		if fd, err := sys.OpenCurrent(o.t()); err == nil {
			return NsHandle(fd), nil
		}
	}
	fd, err := sys.OpenThreadNamespace(o.t())
	return o.own(fd, "thread-self", err)
}

// GetFromPath returns a handle of the namespace at path, such as /proc/PID/ns/uts or a pin. The caller closes it.
// Anything else, also a namespace of another type, is EINVAL; what is no namespace, such as a FIFO, is not opened.
func (o Of) GetFromPath(path string) (NsHandle, error) {
	if err := o.valid("open", path); err != nil {
		return None(), err
	}
	fd, err := openPath(path)
	if err == nil {
		if _, err = checkType(fd.Int(), o.t()); err != nil {
			_ = fd.Close()
		}
	}
	return o.own(fd, path, err)
}

// GetFromPid returns a handle of the namespace of the process with that PID in the caller's PID namespace, or of the
// thread with that TID: see [OpenProcess]. The caller closes it. It requires the right to inspect the process
// (ptrace(2), PTRACE_MODE_READ_FSCREDS): EACCES without it. ESRCH: there is no such process, or it is a zombie. If the
// process ends meanwhile it is ESRCH and ErrStale, and never the namespace of another process that got its PID.
func (o Of) GetFromPid(pid int) (NsHandle, error) {
	return o.fromProcess(pid, "process "+strconv.Itoa(pid), (*sys.Process).OpenNamespace)
}

// GetFromThread is GetFromPid for the thread tid of a process. ESRCH: also if the process has no such thread.
func (o Of) GetFromThread(pid, tid int) (NsHandle, error) {
	ref := "thread " + strconv.Itoa(tid) + " of process " + strconv.Itoa(pid)
	return o.fromProcess(pid, ref, func(p *sys.Process, t species.NamespaceType) (*sys.FD, error) {
		thread, err := p.OpenThreadOf(tid)
		if err != nil {
			return nil, err
		}
		defer func() { _ = thread.Close() }()
		return thread.OpenNamespace(t)
	})
}

func (o Of) fromProcess(pid int, ref string,
	open func(*sys.Process, species.NamespaceType) (*sys.FD, error)) (NsHandle, error) {
	if err := o.valid("open", ref); err != nil {
		return None(), err
	}
	fd, err := ofProcess(pid, func(p *sys.Process) (*sys.FD, error) { return open(p, o.t()) })
	return o.own(fd, ref, err)
}

// ofProcess opens a namespace of a process, for which it requires the right to inspect that.
func ofProcess(pid int, open func(*sys.Process) (*sys.FD, error)) (*sys.FD, error) {
	p, err := openProcess(pid)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }()
	fd, err := open(p)
	return fd, uninspected(p, err)
}

// openProcess opens a pidfd of a process: from then on it does not matter if its PID is given to another one.
func openProcess(pid int) (*sys.Process, error) {
	if pid <= 0 {
		return nil, fmt.Errorf("a PID is positive: %w", syscall.EINVAL)
	}
	return sys.OpenProcess(pid)
}

// ended adds ErrStale if the process has ended since its pidfd was opened.
func ended(p *sys.Process, err error) error {
	if err != nil && !p.Alive() {
		return fmt.Errorf("%w: the process has ended: %w", ErrStale, err)
	}
	return err
}

// uninspected is ended for what requires the right to inspect the process.
func uninspected(p *sys.Process, err error) error { return ended(p, sys.ExplainInspect(err)) }

// Set moves the calling thread, to which the goroutine is locked, into the namespace, where it stays. It requires
// CAP_SYS_ADMIN over the namespace and in the caller's own user namespace: setns(2).
//
// PID: the thread stays, but children that it starts are in the namespace. Mount: the thread gets a root and working
// directory of its own first, which cannot be undone, so the goroutine must end locked (never runtime.UnlockOSThread),
// and must not be on the main thread. User and time: ErrNeedsReexec.
func (o Of) Set(ns NsHandle) error {
	if err := o.canSwitch("join", ns.String(), needsReexec); err != nil {
		return err
	}
	if o.t() == species.CLONE_NEWNS {
		if err := sys.Unshare(cloneFS); err != nil {
			return o.err("join", ns.String(), err)
		}
	}
	if err := sys.Setns(int(ns), int(o)); err != nil {
		return o.err("join", ns.String(), notJoined(err, int(ns), o.t()))
	}
	return nil
}

// notJoined adds what setns(2) does not say: which capability is lacking, or that the namespace is of another type.
func notJoined(err error, fd int, t species.NamespaceType) error {
	if errors.Is(err, syscall.EINVAL) && t != species.NaNS {
		if _, wrong := checkType(fd, t); wrong != nil {
			return wrong
		}
	}
	return sys.ExplainJoin(err, t, fd)
}

// cloneFS is for unshare(2). Without it, joining a mount namespace could change root and working directory for all.
const cloneFS = syscall.CLONE_FS

// canSwitch returns an error for the types that threads of a Go program cannot join, or cannot make and join.
func (o Of) canSwitch(op, ref string, cannot species.Set) error {
	if err := o.valid(op, ref); err != nil {
		return err
	}
	if cannot.Has(o.t()) {
		return o.err(op, ref, ErrNeedsReexec)
	}
	return nil
}

const (
	needsReexec    = species.Set(species.CLONE_NEWUSER | species.CLONE_NEWTIME)
	newNeedsReexec = needsReexec | species.Set(species.CLONE_NEWPID)
)

// New makes a namespace, moves the calling thread into it as Set does, and returns a handle that the caller closes. On
// an error, the thread is where it was. In a new mount namespace all mounts are private. PID, user and time:
// ErrNeedsReexec; see [Create].
func (o Of) New() (NsHandle, error) {
	if err := o.canSwitch("create", "thread-self", newNeedsReexec); err != nil {
		return None(), err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := o.Get()
	if err != nil {
		return None(), err
	}
	defer func() { _ = before.Close() }()
	if err = o.err("create", "thread-self", unshare(int(o))); err == nil {
		var ns NsHandle
		if ns, err = o.Get(); err == nil {
			return ns, nil
		}
	}
	if back := comeBack(int(before), o.t()); back != nil {
		runtime.LockOSThread() // and never unlock it
		err = fmt.Errorf("%w (after %w)", back, err)
	}
	return None(), err
}

// unshare makes new namespaces for the calling thread. In a new mount namespace all mounts are private.
func unshare(mask int) error {
	err := sys.Unshare(mask)
	if err == nil && mask&int(species.CLONE_NEWNS) != 0 {
		err = sys.SetPropagation("/", sys.Private)
	}
	return sys.ExplainCreate(err, species.NamespaceType(uint32(mask)))
}
