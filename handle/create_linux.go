package handle

import (
	"fmt"
	"runtime"
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// Create makes a new namespace of each of the types and returns them in that order; the caller closes them. The calling
// thread is not moved. It requires CAP_SYS_ADMIN, but no capability if a user namespace is among the types; it owns the
// others then (user_namespaces(7)). What is not new is that of the process, or with a user namespace, of the thread.
//
// A new user namespace has no IDs mapped; see [Creator]. In a new mount namespace all mounts are private. The offsets
// of a new time namespace cannot be set any more. A new PID namespace has no process and can have none any more
// (fork(2): ENOMEM): it can only be looked at. To start a process in a new one, use Cloneflags of syscall.SysProcAttr.
func Create(types ...species.NamespaceType) ([]*NamespaceFile, error) {
	return Creator{}.Create(types...)
}

// Creator has the options of Create. The zero value is what the function Create uses.
type Creator struct {
	// UIDs and GIDs are the mappings of a new user namespace; EINVAL if there is none among the types. Without CAP_SETUID
	// only one's own user ID can be mapped, and no group.
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
		return nil, Of(set).err("create", "new", err)
	}
	if set&inChild != 0 {
		return c.inChild(types, set)
	}
	return onThread(types, set)
}

// inChild are the types that a thread cannot create, or cannot show.
const inChild = species.Set(species.CLONE_NEWUSER | species.CLONE_NEWPID)

func (c Creator) inChild(types []species.NamespaceType, set species.Set) ([]*NamespaceFile, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	child, err := sys.MakeNewborn(set, c.UIDs, c.GIDs)
	if err != nil {
		return nil, Of(set).err("create", "child", sys.ExplainCreate(err, species.NamespaceType(set)))
	}
	defer child.End()
	return openAll(types, child.OpenNamespace)
}

// onThread moves a thread into the new namespaces, which ends then.
func onThread(types []species.NamespaceType, set species.Set) ([]*NamespaceFile, error) {
	return inside(func() ([]*NamespaceFile, error) {
		if err := unshare(int(set)); err != nil {
			return nil, Of(set).err("create", "thread", err)
		}
		return openAll(types, func(t species.NamespaceType) (*sys.FD, error) {
			if t == species.CLONE_NEWTIME { // unshare(2) does not move the thread itself
				t = raw.TimeForChildren
			}
			return sys.OpenThreadNamespace(t)
		})
	})
}

func openAll(types []species.NamespaceType, open func(species.NamespaceType) (*sys.FD, error)) ([]*NamespaceFile, error) {
	found := make([]*NamespaceFile, 0, len(types))
	for _, t := range types {
		fd, err := open(t)
		if err != nil {
			for _, f := range found {
				_ = f.Close()
			}
			return nil, Of(t).err("create", "new", err)
		}
		found = append(found, ownFile("new "+t.Name(), fd))
	}
	return found, nil
}
