package handle

import (
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// NamespacePath refers to the namespace that is at a path whenever it is asked: a pin, or a link such as
// /proc/PID/ns/net. It holds nothing open. A relative path and /proc/self are those of the calling thread and the main
// thread. Whatever else is at the path is not opened.
type NamespacePath string

// NsFd opens the namespace.
func (p NamespacePath) NsFd() (int, FdCloser, error) {
	fd, err := sys.OpenNamespace(string(p))
	if err != nil {
		return -1, nil, invalid(p, noNamespace(err))
	}
	return fd.Int(), func() { _ = fd.Close() }, nil
}

// String returns the path.
func (p NamespacePath) String() string { return "path " + string(p) }

// ID returns the identity; see [Relation].
func (p NamespacePath) ID() (species.NamespaceID, error) { return idOf(p) }

// Type returns the type; see [Relation].
func (p NamespacePath) Type() (species.NamespaceType, error) { return typeOf(p) }

// User returns the owner, which the caller closes; see [Relation].
func (p NamespacePath) User() (*NamespaceFile, error) { return userOf(p) }

// Parent returns the parent, which the caller closes; see [Relation].
func (p NamespacePath) Parent() (*NamespaceFile, error) { return parentOf(p) }

// OwnerUID returns the creator's user ID; see [Relation].
func (p NamespacePath) OwnerUID() (int, error) { return ownerUIDOf(p) }

// OpenTypedReference returns an open reference; see [Relation].
func (p NamespacePath) OpenTypedReference() (Relation, ReferenceCloser, error) { return openTyped(p) }
