package sys

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// ErrThreads says that setns(2) refuses since the process has several threads.
var ErrThreads = errors.New("the process has several threads")

// MayJoin returns nil if the rules of the kernel permit the calling thread, to which the goroutine is locked, one call
// of setns(2) for these types with fd, a namespace or a pidfd. Otherwise the error has the errno of that call. With
// ErrThreads it also says why a process with a single thread would be refused.
//
// A mount namespace is joined by a thread that shares no root and working directory with others.
func MayJoin(types species.Set, fd int) error {
	found := refusals(types, fd)
	if len(found) == 0 {
		return nil
	}
	why := found[0].why
	if i := slices.IndexFunc(found, refusal.isForAll); why == ErrThreads && i > 0 {
		why = fmt.Errorf("%w, and %w", why, found[i].why)
	}
	return fmt.Errorf("%w: %w", why, found[0].errno)
}

// refusal is why setns(2) refuses, and its errno.
type refusal struct{ why, errno error }

// isForAll reports whether a process with a single thread would be refused as well.
func (r refusal) isForAll() bool { return r.why != ErrThreads }

// rules are those of setns(2), for one call: the functions …_install() of the kernel, such as userns_install() in
// kernel/user_namespace.c and mntns_install() in fs/namespace.c.
type rules struct {
	ours  species.NamespaceID // the thread's own user namespace
	into  *FD                 // the one to be joined, nil if none
	found []refusal
}

// refusals returns all reasons, in the order of the kernel, which returns the first one: validate_nsset() in
// kernel/nsproxy.c.
func refusals(types species.Set, fd int) []refusal {
	ours, _ := ThreadNamespaceID(species.CLONE_NEWUSER)
	r := rules{ours: ours}
	for _, t := range []species.NamespaceType{species.CLONE_NEWUSER, species.CLONE_NEWNS, species.CLONE_NEWUTS,
		species.CLONE_NEWIPC, species.CLONE_NEWPID, species.CLONE_NEWCGROUP, species.CLONE_NEWNET, species.CLONE_NEWTIME} {
		if !types.Has(t) {
			continue
		}
		ns, err := openOne(fd, t)
		defer func() { _ = ns.Close() }()
		switch {
		case errors.Is(err, syscall.EACCES):
			return []refusal{{lacksToInspect(), syscall.EPERM}}
		case err != nil:
			r.refuse(fmt.Errorf("the %s namespace cannot be opened", t.Name()), err)
		}
		r.check(t, ns)
	}
	return r.found
}

func (r *rules) refuse(why, errno error) { r.found = append(r.found, refusal{why, errno}) }

// check is for one of the namespaces, nil if it could not be opened.
func (r *rules) check(t species.NamespaceType, ns *FD) {
	id, _ := IDOf(ns.Int())
	switch t {
	case species.CLONE_NEWUSER:
		if r.into = ns; ns != nil && id == r.ours {
			r.refuse(errors.New("it is the caller's own user namespace"), syscall.EINVAL)
		}
		if hasCompany(unix.CLONE_THREAD) {
			r.refuse(ErrThreads, syscall.EINVAL)
		}
		r.require(unix.CAP_SYS_ADMIN, ns, t)
	case species.CLONE_NEWNS:
		r.over(t, ns, unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT)
	case species.CLONE_NEWTIME:
		if hasCompany(unix.CLONE_VM) {
			r.refuse(ErrThreads, syscall.EUSERS)
		}
		fallthrough
	default:
		r.over(t, ns, unix.CAP_SYS_ADMIN)
	}
	if t == species.CLONE_NEWPID && ns != nil {
		parent, err := Own(raw.Parent(ns.Int()))
		_ = parent.Close()
		if ours, failed := ThreadNamespaceID(t); err != nil && failed == nil && id != ours {
			r.refuse(errors.New("the PID namespace is neither the caller's own, nor below it"), syscall.EINVAL)
		}
	}
}

// hasCompany reports whether the process has several threads, or with CLONE_VM shares its memory with another process:
// unshare(2) changes nothing, and says so.
func hasCompany(flag int) bool { return Unshare(flag) == unix.EINVAL }

// over requires the capabilities in the user namespace of the thread, see require, and CAP_SYS_ADMIN in the owner.
func (r *rules) over(t species.NamespaceType, ns *FD, needed ...int) {
	for _, capability := range needed {
		r.require(capability, nil, species.NaNS)
	}
	owner, err := Own(raw.Owner(ns.Int()))
	defer func() { _ = owner.Close() }()
	if err == nil || errors.Is(err, syscall.EPERM) {
		r.require(unix.CAP_SYS_ADMIN, owner, t)
	}
}

// require refuses unless the thread has a capability in a user namespace: for NaNS in its own, or the one to be joined,
// otherwise in user, which is nil if it cannot be seen.
func (r *rules) require(capability int, user *FD, of species.NamespaceType) {
	if of == species.NaNS && r.into != nil {
		user, of = r.into, species.CLONE_NEWUSER
	}
	e := &species.CapabilityError{Capability: capabilityNames[capability], Of: of, User: r.ours}
	enough := hasCapability(capability)
	if of != species.NaNS {
		e.User, _ = IDOf(user.Int())
		enough = r.has(capability, user.Int())
	}
	switch {
	case enough:
	case of == species.CLONE_NEWUSER:
		r.refuse(fmt.Errorf("%w: only root of one above it and its creator have that", e), syscall.EPERM)
	default:
		r.refuse(e, syscall.EPERM)
	}
}

// has reports whether the thread has a capability in a user namespace. What it has in its own it has in all below, and
// the creator of one has all in that and below it: cap_capable() in security/commoncap.c.
func (r *rules) has(capability, user int) bool {
	if id, err := IDOf(user); err != nil || id == r.ours {
		return err == nil && hasCapability(capability)
	}
	parent, err := Own(raw.Parent(user))
	if err != nil { // it is the highest that can be seen
		return r.ours == species.NoneID && hasCapability(capability)
	}
	defer func() { _ = parent.Close() }()
	creator, err := OwnerUIDOf(user)
	if above, failed := IDOf(parent.Int()); err == nil && failed == nil && above == r.ours && creator == unix.Geteuid() {
		return true
	}
	return r.has(capability, parent.Int())
}

var capabilityNames = map[int]string{
	unix.CAP_SYS_ADMIN: "CAP_SYS_ADMIN", unix.CAP_SYS_CHROOT: "CAP_SYS_CHROOT", unix.CAP_SYS_PTRACE: "CAP_SYS_PTRACE",
}
