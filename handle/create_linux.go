package handle

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// Create makes a new namespace of each of the types and returns them in that order; the caller closes them. The calling
// thread stays where it is. It takes CAP_SYS_ADMIN, but with a user namespace among the types no rights at all: the
// others then belong to the new one (user_namespaces(7)). All that is not new is as in the process, and with a user
// namespace as in the calling thread.
//
// A user namespace comes with no IDs mapped; see [Creator]. In a new mount namespace all mounts are private. A time
// namespace's offsets can be set no more. A PID namespace comes without a process and cannot have one any more
// (fork(2) gives ENOMEM), so that it is of use only to look at. To start a process in a new one, set Cloneflags of
// syscall.SysProcAttr.
func Create(types ...species.NamespaceType) ([]*NamespaceFile, error) {
	return Creator{}.Create(types...)
}

// Creator has the details of new namespaces. The zero value is what the function Create uses.
type Creator struct {
	// UIDs and GIDs are the mappings of a new user namespace; EINVAL if there is none among the types. Without CAP_SETUID
	// one may map one's own ID only, and no group at all.
	UIDs, GIDs []syscall.SysProcIDMap
}

// Create is the function [Create].
func (c Creator) Create(types ...species.NamespaceType) ([]*NamespaceFile, error) {
	set := species.Set(0).With(types...)
	for _, t := range types {
		if err := Of(t).valid("create", "new"); err != nil {
			return nil, err
		}
	}
	if !set.Has(species.CLONE_NEWUSER) && len(c.UIDs)+len(c.GIDs) > 0 {
		err := fmt.Errorf("ID mappings are those of a user namespace, which is not among the types: %w", syscall.EINVAL)
		return nil, &Error{Op: "create", Type: species.NamespaceType(set), Ref: "new", Err: err}
	}
	if set&inChild != 0 {
		return c.inChild(types, set)
	}
	return onThread(types, set)
}

// inChild are the types that a thread cannot make, or cannot show.
const inChild = species.Set(species.CLONE_NEWUSER | species.CLONE_NEWPID)

func (c Creator) inChild(types []species.NamespaceType, set species.Set) ([]*NamespaceFile, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	child, err := sys.MakeNewborn(set, c.UIDs, c.GIDs)
	if err != nil {
		err = sys.ExplainCreate(err, species.NamespaceType(set))
		return nil, &Error{Op: "create", Type: species.NamespaceType(set), Ref: "child", Err: err}
	}
	defer child.End()
	return openAll(types, child.OpenNamespace)
}

func onThread(types []species.NamespaceType, set species.Set) (found []*NamespaceFile, err error) {
	done := make(chan struct{})
	onOwnThread(func() {
		defer close(done)
		found, err = makeHere(types, set)
	})
	<-done
	return found, err
}

// makeHere makes the namespaces by moving the calling thread, which is to be thrown away.
func makeHere(types []species.NamespaceType, set species.Set) ([]*NamespaceFile, error) {
	err := sys.Unshare(int(set) | cloneFS)
	if err == nil && set.Has(species.CLONE_NEWNS) {
		err = sys.SetPropagation("/", sys.Private)
	}
	if err != nil {
		err = sys.ExplainCreate(err, species.NamespaceType(set))
		return nil, &Error{Op: "create", Type: species.NamespaceType(set), Ref: "thread", Err: err}
	}
	return openAll(types, func(t species.NamespaceType) (*sys.FD, error) {
		fd, err := openMade(t)
		if err != nil {
			return nil, err
		}
		return sys.NewFD(fd), nil
	})
}

// openMade opens what unshare(2) made: the thread itself does not enter a time namespace.
func openMade(t species.NamespaceType) (int, error) {
	if t == species.CLONE_NEWTIME {
		return sys.OpenForChildren()
	}
	return openHome(t, raw.OwnTID())
}

func openAll(types []species.NamespaceType, open func(species.NamespaceType) (*sys.FD, error)) ([]*NamespaceFile, error) {
	found := make([]*NamespaceFile, 0, len(types))
	for _, t := range types {
		fd, err := open(t)
		if err != nil {
			return nil, &Error{Op: "create", Type: t, Ref: "new", Err: errors.Join(err, closeAll(found))}
		}
		found = append(found, ownFile("new "+t.Name(), fd))
	}
	return found, nil
}

func closeAll(files []*NamespaceFile) error {
	var err error
	for _, f := range files {
		err = errors.Join(err, f.Close())
	}
	return err
}
