package handle

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// reference is what a query needs of a Relation.
type reference interface {
	NsFd() (fd int, closer FdCloser, err error)
	String() string
}

func invalid(r reference, err error) *InvalidNamespaceError {
	return &InvalidNamespaceError{Ref: r.String(), Err: err}
}

func failed(op string, r reference, err error) error {
	return &NamespaceOperationError{InvalidNamespaceError: *invalid(r, err), Op: op}
}

// query runs ask on the descriptor of a namespace. A descriptor of anything else is not asked.
func query[T any](op string, r reference, ask func(fd int, t species.NamespaceType) (T, error)) (T, error) {
	var none T
	fd, closer, err := r.NsFd()
	if err != nil {
		return none, asInvalid(r, err)
	}
	defer closer()
	t, err := sys.TypeOf(fd)
	if err != nil {
		return none, invalid(r, noNamespace(err))
	}
	answer, err := ask(fd, t)
	if err != nil {
		return none, failed(op, r, err)
	}
	return answer, nil
}

// asInvalid leaves the errors of our own references alone.
func asInvalid(r reference, err error) error {
	if _, ok := err.(*InvalidNamespaceError); ok { //nolint:errorlint // not one that is wrapped
		return err
	}
	return invalid(r, err)
}

// noNamespace says what EINVAL means of something that was to be a namespace.
func noNamespace(err error) error {
	if errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("no namespace: %w", err)
	}
	return err
}

func idOf(r reference) (species.NamespaceID, error) {
	return query("ID", r, func(fd int, _ species.NamespaceType) (species.NamespaceID, error) { return sys.IDOf(fd) })
}

func typeOf(r reference) (species.NamespaceType, error) {
	return query("type", r, func(_ int, t species.NamespaceType) (species.NamespaceType, error) { return t, nil })
}

func userOf(r reference) (*NamespaceFile, error) {
	return query("owner", r, func(fd int, _ species.NamespaceType) (*NamespaceFile, error) {
		f, err := newFile("owner of "+r.String(), sys.OwnerOf, fd)
		return f, outOfSight(err)
	})
}

func parentOf(r reference) (*NamespaceFile, error) {
	return query("parent", r, func(fd int, _ species.NamespaceType) (*NamespaceFile, error) {
		f, err := newFile("parent of "+r.String(), sys.ParentOf, fd)
		return f, outOfSight(err)
	})
}

// outOfSight says what EPERM means of owners and parents.
func outOfSight(err error) error {
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("there is none, or it is not the caller's own namespace, nor below that: %w", err)
	}
	return err
}

func newFile(name string, open func(fd int) (*sys.FD, error), fd int) (*NamespaceFile, error) {
	found, err := open(fd)
	if err != nil {
		return nil, err
	}
	return ownFile(name, found), nil
}

// ownFile makes a file of a descriptor.
func ownFile(name string, fd *sys.FD) *NamespaceFile {
	return &NamespaceFile{File: *os.NewFile(uintptr(fd.Disown()), name)}
}

func ownerUIDOf(r reference) (int, error) {
	return query("owner UID", r, func(fd int, _ species.NamespaceType) (int, error) { return sys.OwnerUIDOf(fd) })
}

func openTyped(r reference) (Relation, ReferenceCloser, error) {
	fd, closer, err := r.NsFd()
	if err != nil {
		return nil, nil, asInvalid(r, err)
	}
	t, err := sys.TypeOf(fd)
	if err != nil {
		closer()
		return nil, nil, invalid(r, noNamespace(err))
	}
	return &TypedNamespaceFd{typed{NamespaceFd(fd), t}}, ReferenceCloser(closer), nil
}
