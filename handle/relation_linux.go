package handle

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// FdCloser releases a descriptor that NsFd returned. Call it once, after the last use. It is nil only with an error.
type FdCloser func()

// ReferenceCloser releases a reference that OpenTypedReference returned.
type ReferenceCloser func()

// Relation is a way to find a namespace, with the queries that it answers. [NsHandle], [NamespacePath], [NamespaceFd],
// [*NamespaceFile], their typed variants, [ProcessNamespace], [FileHandle] and [Portable] are Relations; other packages
// may have their own, of which the functions here call NsFd and String only.
//
// Errors are an [*InvalidNamespaceError] if there is no namespace, a [*NamespaceOperationError] if it has no answer.
type Relation interface {
	// ID returns the device and inode number of the namespace.
	ID() (species.NamespaceID, error)

	// Type returns the type of the namespace.
	Type() (species.NamespaceType, error)

	// User returns the user namespace that owns the namespace, and of a user namespace the parent. The caller closes
	// it. EPERM: it is neither the caller's own nor below that (ioctl_nsfs(2)). With an error, the *NamespaceFile is nil;
	// in a variable of type Relation that is not nil, but answers every query with an error.
	User() (*NamespaceFile, error)

	// Parent returns the parent of a user or PID namespace, as User does. EPERM: it has none, or the parent is neither
	// the caller's own nor below that; EINVAL: the type has no parents.
	Parent() (*NamespaceFile, error)

	// OwnerUID returns the user ID of the creator of a user namespace, as mapped in the caller's user namespace. EINVAL:
	// the namespace is of another type; ask its User.
	OwnerUID() (int, error)

	// String returns the reference, for messages.
	String() string

	// NsFd returns a descriptor of the namespace, which is valid until closer is called.
	NsFd() (fd int, closer FdCloser, err error)

	// OpenTypedReference returns a reference that has its type and keeps the namespace alive, until closer is called.
	OpenTypedReference() (Relation, ReferenceCloser, error)
}

func invalid(r Relation, err error) *InvalidNamespaceError {
	return &InvalidNamespaceError{Ref: r.String(), Err: err}
}

func failed(op string, r Relation, err error) error {
	return &NamespaceOperationError{InvalidNamespaceError: *invalid(r, err), Op: op}
}

// opened makes the results of NsFd of a descriptor that was opened for it.
func opened(r Relation, fd *sys.FD, err error) (int, FdCloser, error) {
	if err != nil {
		return -1, nil, invalid(r, err)
	}
	return fd.Int(), func() { _ = fd.Close() }, nil
}

// open returns a descriptor of a namespace of type want, or with NaNS of any type, and the type.
func open(r Relation, want species.NamespaceType) (fd int, t species.NamespaceType, closer FdCloser, err error) {
	fd, closer, err = r.NsFd()
	if err != nil {
		if _, ok := err.(*InvalidNamespaceError); !ok { //nolint:errorlint // not one that is wrapped
			err = invalid(r, err)
		}
		return -1, t, nil, err
	}
	if t, err = checkType(fd, want); err != nil {
		closer()
		return -1, t, nil, invalid(r, err)
	}
	return fd, t, closer, nil
}

// checkType returns the type of a namespace. It is an error if that is not want, unless want is NaNS.
func checkType(fd int, want species.NamespaceType) (species.NamespaceType, error) {
	found, err := sys.TypeOf(fd)
	switch {
	case err != nil:
		return found, noNamespace(err)
	case found != want && want != species.NaNS:
		return found, fmt.Errorf("it is a %s namespace: %w", found.Name(), syscall.EINVAL)
	}
	return found, nil
}

// noNamespace adds what EINVAL means for something that should be a namespace.
func noNamespace(err error) error {
	if errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("no namespace: %w", err)
	}
	return err
}

// query runs ask on the descriptor of a namespace, and of nothing else.
func query[T any](op string, r Relation, ask func(fd int, t species.NamespaceType) (T, error)) (T, error) {
	var none T
	fd, t, closer, err := open(r, species.NaNS)
	if err != nil {
		return none, err
	}
	defer closer()
	answer, err := ask(fd, t)
	if err != nil {
		return none, failed(op, r, err)
	}
	return answer, nil
}

func idOf(r Relation) (species.NamespaceID, error) {
	return query("ID", r, func(fd int, _ species.NamespaceType) (species.NamespaceID, error) { return sys.IDOf(fd) })
}

func typeOf(r Relation) (species.NamespaceType, error) {
	return query("type", r, func(_ int, t species.NamespaceType) (species.NamespaceType, error) { return t, nil })
}

func ownerUIDOf(r Relation) (int, error) {
	return query("owner UID", r, func(fd int, _ species.NamespaceType) (int, error) { return sys.OwnerUIDOf(fd) })
}

func userOf(r Relation) (*NamespaceFile, error) { return above("owner", r, raw.Owner) }

func parentOf(r Relation) (*NamespaceFile, error) { return above("parent", r, raw.Parent) }

// above opens the owner or parent of a namespace.
func above(what string, r Relation, ask func(fd int) (int, syscall.Errno)) (*NamespaceFile, error) {
	return query(what, r, func(fd int, _ species.NamespaceType) (*NamespaceFile, error) {
		found, err := sys.Own(ask(fd))
		switch {
		case errors.Is(err, syscall.EPERM):
			return nil, fmt.Errorf("there is none, or it is neither the caller's own namespace nor below that: %w", err)
		case err != nil:
			return nil, err
		}
		return ownFile(what+" of "+r.String(), found), nil
	})
}

// ownFile makes a file of a descriptor, which it takes over.
func ownFile(name string, fd *sys.FD) *NamespaceFile {
	return &NamespaceFile{File: *os.NewFile(uintptr(fd.Disown()), name)}
}

func openTyped(r Relation) (Relation, ReferenceCloser, error) {
	fd, t, closer, err := open(r, species.NaNS)
	if err != nil {
		return nil, nil, err
	}
	return &TypedNamespaceFd{typed{NamespaceFd(fd), t}}, ReferenceCloser(closer), nil
}
