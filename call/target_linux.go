package call

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// target is a process, or a thread that stands for it, and those of its namespaces that are to be joined. It is used with
// the goroutine locked to its thread: that thread's namespaces are the ones that the worker starts in.
type target struct {
	process *sys.Process
	types   species.NamespaceType // that differ from ours
	files   []*sys.FD             // of these, in the same order, where setns(2) does not take a pidfd
	user    species.NamespaceID   // of the user namespace, if that is to be joined
	root    *sys.FD               // root directory to take, nil if it is ours or that of the mount namespace
}

func describe(pid int) string { return "process " + strconv.Itoa(pid) }

// identify says which process has the PID now.
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
		return nil, fmt.Errorf("a PID is positive: %w", syscall.EINVAL)
	}
	if pid > math.MaxInt32 { // pidfd_open(2) takes no more, and would take the rest for a PID
		return nil, fmt.Errorf("there is none: %w", syscall.ESRCH)
	}
	p, err := sys.OpenProcess(pid)
	if errors.Is(err, syscall.ESRCH) {
		return nil, fmt.Errorf("there is none: %w", err)
	}
	return p, err
}

// findTarget opens the call's target and compares its namespaces with ours. Nothing was started when it fails.
func (c *Call) findTarget() (*target, error) {
	p, err := openProcess(c.pid)
	if err != nil {
		return nil, &Error{Stage: StageTarget, Op: describe(c.pid), Err: err}
	}
	t := &target{process: p}
	if err := t.verify(c.identity); err != nil {
		t.close()
		return nil, &Error{Stage: StageTarget, Op: describe(c.pid), Err: err}
	}
	self := sys.OpenThread()
	defer func() { _ = self.Close() }()
	for ns := range species.Set(c.types | c.foreign).All() {
		if err := t.compare(ns, self, c); err != nil {
			t.close()
			return nil, &Error{Stage: StageTarget, Type: ns, Op: describe(c.pid), Err: t.explain(err)}
		}
	}
	return t, nil
}

// verify refuses what cannot be a target: another process than the one meant, a zombie, a kernel thread. Of a process
// whose first thread has ended it takes another one.
func (t *target) verify(identity sys.Identity) error {
	now, err := t.process.Identity()
	if err != nil {
		return err
	}
	if identity != (sys.Identity{}) && now != identity {
		return fmt.Errorf("the PID belongs to another process by now: %w", ErrStale)
	}
	if !t.process.Alive() {
		return fmt.Errorf("it has ended (a zombie): %w", syscall.ESRCH)
	}
	if t.process.IsKernelThread() {
		return fmt.Errorf("that is a kernel thread: %w", syscall.EINVAL)
	}
	if t.process, err = t.process.Living(); err != nil {
		return t.explain(err)
	}
	return nil
}

// compare takes up a type that is to be joined, if the target's namespace is not the one that a child of the calling
// thread starts in, and refuses one that must not be.
func (t *target) compare(ns species.NamespaceType, self *sys.Process, c *Call) error {
	ours, err := self.BirthNamespaceID(ns)
	if err != nil {
		return err
	}
	theirs, err := t.process.NamespaceID(ns)
	switch {
	case err != nil:
		return err
	case theirs == ours && c.foreign&ns != 0:
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

// joins says whether a namespace of that type is to be joined.
func (t *target) joins(ns species.NamespaceType) bool { return t.types&ns != 0 }

// descriptors returns what setns(2) is called with: the pidfd, or a file for each type; and the root, if there is one.
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
