package call

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// target is the process to be joined, or one of its threads, and the namespaces to be joined. It is used with the
// goroutine locked to its thread, since the worker starts in that thread's namespaces.
type target struct {
	process *sys.Process
	types   species.NamespaceType // to be joined: those that differ from ours
	files   []*sys.FD             // the namespaces, in the order of the types, where setns(2) does not accept a pidfd
	user    species.NamespaceID   // of the user namespace, if that is to be joined
	root    *sys.FD               // root directory for the worker, nil if it is ours or that of the mount namespace
}

// identify returns the identity of the process that has the PID now.
func identify(pid int) (sys.Identity, error) {
	p, err := openProcess(pid)
	if err != nil {
		return sys.Identity{}, err
	}
	defer func() { _ = p.Close() }()
	return p.Identity()
}

func openProcess(pid int) (*sys.Process, error) {
	if pid <= 0 {
		return nil, fmt.Errorf("a PID must be positive: %w", syscall.EINVAL)
	}
	p, err := sys.OpenProcess(pid)
	if errors.Is(err, syscall.ESRCH) {
		return nil, fmt.Errorf("no process has this PID: %w", err)
	}
	return p, err
}

// find opens the call's target and its root directory, and compares its namespaces with ours. It starts nothing.
func (t *target) find(c *Call) (err error) {
	if t.process, err = openProcess(c.pid); err == nil {
		err = t.verify(c.identity)
	}
	if err != nil {
		return &Error{Stage: StageTarget, Op: describe(c.pid), Err: err}
	}
	self := sys.OpenThread()
	defer func() { _ = self.Close() }()
	for ns := range species.Set(c.types | c.differ).All() {
		if err := t.compare(ns, self, c); err != nil {
			return &Error{Stage: StageTarget, Type: ns, Op: describe(c.pid), Err: t.explain(err)}
		}
	}
	return t.findRoot(c)
}

// verify returns an error for a process that cannot be a target: another one than at TargetPid, a zombie, a kernel
// thread. If the first thread of a process has ended, another thread becomes the target.
func (t *target) verify(identity sys.Identity) error {
	now, err := t.process.Identity()
	if err != nil {
		return err
	}
	if identity != (sys.Identity{}) && now != identity {
		return fmt.Errorf("the PID belongs to another process now: %w", ErrStale)
	}
	if !t.process.Alive() {
		return fmt.Errorf("it has ended (a zombie): %w", syscall.ESRCH)
	}
	if t.process.IsKernelThread() {
		return fmt.Errorf("it is a kernel thread: %w", syscall.EINVAL)
	}
	if t.process, err = t.process.Living(); err != nil {
		return t.explain(err)
	}
	return nil
}

// compare adds the type to those that are joined, if the target's namespace is not the one that a child of the calling
// thread starts in. If it is and must not be, it returns ErrSameNamespace.
func (t *target) compare(ns species.NamespaceType, self *sys.Process, c *Call) error {
	ours, err := self.BirthNamespaceID(ns)
	if err != nil {
		return err
	}
	theirs, err := t.process.NamespaceID(ns)
	switch {
	case err != nil:
		return err
	case theirs == ours && c.differ&ns != 0:
		return ErrSameNamespace
	case theirs == ours || c.types&ns == 0:
		return nil
	}
	t.types |= ns
	if ns == species.CLONE_NEWUSER {
		t.user = theirs
	}
	if t.process.IsJoinable() {
		return nil
	}
	file, err := t.process.OpenNamespace(ns)
	if err == nil {
		t.files = append(t.files, file)
	}
	return err
}

// joins reports whether a namespace of that type is to be joined.
func (t *target) joins(ns species.NamespaceType) bool { return t.types&ns != 0 }

// shares reports whether the target is in the calling thread's namespace of that type.
func (t *target) shares(ns species.NamespaceType) (bool, error) {
	ours, err := sys.ThreadNamespaceID(ns)
	if err != nil {
		return false, err
	}
	theirs, err := t.process.NamespaceID(ns)
	return err == nil && theirs == ours, err
}

// descriptors returns the arguments for setns(2): the pidfd or a namespace for each type; then the root if it is set.
func (t *target) descriptors() []int {
	var fds []int
	if t.types != species.NaNS && len(t.files) == 0 {
		fds = append(fds, t.process.Int())
	}
	for _, f := range t.files {
		fds = append(fds, f.Int())
	}
	if t.root != nil {
		fds = append(fds, t.root.Int())
	}
	return fds
}

func (t *target) close() {
	_ = t.process.Close()
	closeAll(t.root)
	closeAll(t.files...)
}
