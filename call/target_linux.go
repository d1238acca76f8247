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
	process  *sys.Process          // nil: there are references only
	onThread bool                  // joined by a thread of this process, which may be elsewhere than the calling one
	refs     references            // for some or all types
	types    species.NamespaceType // to be joined: those that differ from ours
	files    []*sys.FD             // the namespaces, in the order of the types, where setns(2) does not accept a pidfd
	user     species.NamespaceID   // of the user namespace, if that is to be joined
	root     *sys.FD               // root directory for the worker, nil if it is ours or that of the mount namespace
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
	source := c.target.source
	if source.process != nil {
		if t.process, err = source.process(); err == nil {
			err = t.verify(c.target.identity)
		}
	}
	if err == nil {
		t.refs, err = openReferences(source.refs)
	}
	if err != nil {
		return &Error{Stage: StageTarget, Op: c.target.String(), Err: err}
	}
	self := sys.OpenThread()
	defer func() { _ = self.Close() }()
	wanted := t.wanted(c)
	for ns := range species.Set(wanted | c.differ).All() {
		if err := t.compare(ns, self, wanted, c.differ); err != nil {
			return &Error{Stage: StageTarget, Type: ns, Op: c.target.String(), Err: t.explain(err)}
		}
	}
	if c.someDiffer && t.types == species.NaNS {
		return &Error{Stage: StageTarget, Op: c.target.String(), Err: ErrSameNamespace}
	}
	return t.findRoot(wanted, c.mountedRoot)
}

// wanted returns the types to be joined if they differ.
func (t *target) wanted(c *Call) species.NamespaceType {
	types, refs := c.types, t.refs.types()
	switch {
	case t.process == nil && c.byTarget:
		types = refs
	case t.process == nil:
		types &= refs
	case c.byTarget:
		types = defaultTypes | refs
	}
	return (types | c.required) &^ c.excluded
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
// thread starts in, and it is wanted. If it is and must differ, it returns ErrSameNamespace.
func (t *target) compare(ns species.NamespaceType, self *sys.Process, wanted, differ species.NamespaceType) error {
	ours, err := self.BirthNamespaceID(ns)
	if err != nil {
		return err
	}
	theirs, err := t.idOf(ns)
	switch {
	case err != nil:
		return err
	case theirs == ours && differ&ns != 0:
		return ErrSameNamespace
	case wanted&ns == 0 || theirs == ours && (!t.onThread || ns&outOfReach != 0):
		return nil
	}
	if theirs != ours {
		t.types |= ns
	}
	if ns == species.CLONE_NEWUSER {
		t.user = theirs
	}
	if !t.onThread && len(t.refs) == 0 && t.process.IsJoinable() {
		return nil
	}
	file, err := t.openNamespace(ns)
	if err == nil {
		t.files = append(t.files, file)
	}
	return err
}

// idOf returns the ID of the target's namespace.
func (t *target) idOf(ns species.NamespaceType) (species.NamespaceID, error) {
	if ref := t.refs[ns]; ref != nil {
		return sys.IDOf(ref.Int())
	}
	if t.process == nil {
		return species.NamespaceID{}, errors.New("no reference is of this type")
	}
	return t.process.NamespaceID(ns)
}

func (t *target) openNamespace(ns species.NamespaceType) (*sys.FD, error) {
	if ref := t.refs[ns]; ref != nil {
		return sys.DupFD(ref.Int())
	}
	if t.process == nil {
		return nil, errors.New("no reference is of this type")
	}
	return t.process.OpenNamespace(ns)
}

// joins reports whether a namespace of that type is to be joined.
func (t *target) joins(ns species.NamespaceType) bool { return t.types&ns != 0 }

// shares reports whether the target is in the calling thread's namespace of that type.
func (t *target) shares(ns species.NamespaceType) (bool, error) {
	if t.process == nil && t.refs[ns] == nil {
		return true, nil // the worker stays there
	}
	ours, err := sys.ThreadNamespaceID(ns)
	if err != nil {
		return false, err
	}
	theirs, err := t.idOf(ns)
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
	t.refs.close()
}
