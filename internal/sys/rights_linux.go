package sys

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// The functions of this file put before an EPERM or EACCES what the calling thread lacks. They find out after the fact,
// and do nothing for other errors.

// ExplainJoin is for setns(2) of these types, NaNS for whatever it is, and what is opened for it. fd is the namespace or
// the pidfd that it was called with, raw.NoFD if that is not at hand.
func ExplainJoin(err error, types species.NamespaceType, fd int) error {
	if !errors.Is(err, syscall.EPERM) {
		return ExplainInspect(err)
	}
	if types == species.NaNS {
		types, _ = TypeOf(fd)
	}
	return because(lacksToJoin(species.Set(types), fd), err)
}

// ExplainInspect is for opening or comparing the namespaces of a process, or its root.
func ExplainInspect(err error) error {
	if !errors.Is(err, syscall.EACCES) {
		return err
	}
	return because(lacksToInspect(), err)
}

// ExplainCreate is for unshare(2) and clone(2) of these types.
func ExplainCreate(err error, types species.NamespaceType) error {
	switch {
	case !errors.Is(err, syscall.EPERM):
		return err
	case species.Set(types).Has(species.CLONE_NEWUSER):
		return because("new user namespaces are denied by a seccomp filter, a security module or a sysctl, or to whoever is in a "+
			"chroot or has no mapped ID, or the ID mappings take more rights (user_namespaces(7))", err)
	}
	return because(lacksOwn(unix.CAP_SYS_ADMIN), err)
}

// ExplainMount is for mount(2) and umount(2).
func ExplainMount(err error) error {
	if !errors.Is(err, syscall.EPERM) {
		return err
	}
	fd, openErr := OpenThreadNamespace(species.CLONE_NEWNS)
	if openErr != nil {
		return because(lacksOwn(unix.CAP_SYS_ADMIN), err)
	}
	defer func() { _ = fd.Close() }()
	return because(lacksOver(species.CLONE_NEWNS, fd.Int(), unix.CAP_SYS_ADMIN), err)
}

// ExplainSocket is for asking a socket for its network namespace.
func ExplainSocket(err error) error {
	if !errors.Is(err, syscall.EPERM) {
		return err
	}
	return because("CAP_NET_ADMIN is lacking in the user namespace that owns the socket's network namespace, or "+refuser(), err)
}

func because(why string, err error) error { return fmt.Errorf("%s: %w", why, err) }

func capabilityName(capability int) string {
	switch capability {
	case unix.CAP_SYS_CHROOT:
		return "CAP_SYS_CHROOT"
	case unix.CAP_SYS_PTRACE:
		return "CAP_SYS_PTRACE"
	}
	return "CAP_SYS_ADMIN"
}

// hasCapability says whether the calling thread has a capability in its own user namespace.
func hasCapability(capability int) bool {
	var sets [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	err := unix.Capget(&header, &sets[0])
	return err == nil && sets[capability/32].Effective&(1<<(capability%32)) != 0
}

// refuser names who else may refuse.
func refuser() string {
	if mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0); err == nil && mode == 0 {
		return "a security module (such as SELinux or AppArmor) refuses it"
	}
	return "the seccomp filter or a security module (such as SELinux or AppArmor) refuses it"
}

// lacksOwn is about the caller's own user namespace.
func lacksOwn(capabilities ...int) string {
	for _, c := range capabilities {
		if !hasCapability(c) {
			return capabilityName(c) + " is lacking in the caller's own user namespace"
		}
	}
	return "the caller's capabilities suffice, so " + refuser()
}

// lacksOver is about the caller's own user namespace and the one that owns the namespace behind fd.
func lacksOver(t species.NamespaceType, fd int, capabilities ...int) string {
	for _, c := range capabilities {
		if !hasCapability(c) {
			return lacksOwn(c)
		}
	}
	owner, err := OwnerOf(fd)
	_ = owner.Close()
	if errors.Is(err, syscall.EPERM) {
		return "CAP_SYS_ADMIN is lacking in the user namespace that owns the " + t.Name() +
			" namespace, which is not the caller's own, nor below it"
	}
	return lacksOwn()
}

func lacksToInspect() string {
	if !hasCapability(unix.CAP_SYS_PTRACE) {
		return "no right to inspect the process: CAP_SYS_PTRACE is lacking, and it is another user's, or not dumpable (ptrace(2))"
	}
	return "no right to inspect the process, although CAP_SYS_PTRACE is there: it is in a user namespace that is not the " +
		"caller's own, nor below it, or " + refuser()
}

// lacksToJoin goes through the types in the order of the kernel: a user namespace, if it is among them, gives the rights
// over what it owns.
func lacksToJoin(types species.Set, fd int) string {
	if types.Has(species.CLONE_NEWUSER) {
		return lacksToJoinUser(types, fd)
	}
	for t := range types.All() {
		needed := []int{unix.CAP_SYS_ADMIN}
		if t == species.CLONE_NEWNS {
			needed = append(needed, unix.CAP_SYS_CHROOT)
		}
		one, err := openOne(fd, t)
		if errors.Is(err, syscall.EACCES) {
			return lacksToInspect()
		}
		why := lacksOwn(needed...)
		if err == nil {
			why = lacksOver(t, one.Int(), needed...)
			_ = one.Close()
		}
		if why != lacksOwn() {
			return why
		}
	}
	return lacksOwn()
}

func lacksToJoinUser(types species.Set, fd int) string {
	user, err := openOne(fd, species.CLONE_NEWUSER)
	if errors.Is(err, syscall.EACCES) {
		return lacksToInspect()
	}
	const over = "CAP_SYS_ADMIN is lacking in the user namespace: only root of one above it and its creator have that"
	if err != nil {
		return over
	}
	defer func() { _ = user.Close() }()
	uid, _ := OwnerUIDOf(user.Int())
	parent, err := ParentOf(user.Int())
	_ = parent.Close()
	switch {
	case errors.Is(err, syscall.EPERM), !hasCapability(unix.CAP_SYS_ADMIN) && uid != unix.Geteuid():
		return over
	case types == species.Set(species.CLONE_NEWUSER):
		return "the caller's rights suffice, so " + refuser()
	}
	return "the user namespace that is joined does not own all the others, or " + refuser()
}

// openOne opens the namespace of type t behind fd, which is it or a pidfd.
func openOne(fd int, t species.NamespaceType) (*FD, error) {
	if found, err := TypeOf(fd); err == nil && found == t {
		return DupFD(fd)
	}
	return Own(raw.PidfdNamespace(fd, raw.PidfdRequest(t)))
}
