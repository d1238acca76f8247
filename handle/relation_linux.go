package handle

import "github.com/nsops/nsops/species"

// FdCloser gives a descriptor back that NsFd returned. It is called once, after the last use, and is never nil unless
// NsFd failed.
type FdCloser func()

// ReferenceCloser gives a reference back that OpenTypedReference returned.
type ReferenceCloser func()

// Relation is a way to find a namespace, and what can be asked of it. [NsHandle], [NamespacePath], [NamespaceFd],
// [*NamespaceFile], their typed variants, [ProcessNamespace], [FileHandle] and [Portable] are Relations; other packages
// may have their own, of which the functions here call NsFd and String only.
//
// Errors are [*InvalidNamespaceError] where the reference leads to no namespace, and [*NamespaceOperationError] where
// the namespace has no answer.
type Relation interface {
	// ID returns the device and inode number of the namespace.
	ID() (species.NamespaceID, error)

	// Type returns the type of the namespace (4.11).
	Type() (species.NamespaceType, error)

	// User, as Parent, returns a nil *NamespaceFile with an error: in a variable of type Relation that is not nil, and
	// answers every query with an error.
	//
	// User returns the user namespace that owns the namespace, and of a user namespace the parent. The caller closes
	// it. EPERM: it lies above or beside the caller's own (4.9, ioctl_ns(2)).
	User() (*NamespaceFile, error)

	// Parent returns the parent of a user or PID namespace. The caller closes it. EPERM: it has none, or the parent
	// lies above or beside the caller's own; EINVAL: the type has no parents (4.9).
	Parent() (*NamespaceFile, error)

	// OwnerUID returns the user ID of who created the user namespace, as the caller's user namespace sees it. EINVAL:
	// it is of another type; ask its User (4.11).
	OwnerUID() (int, error)

	// String returns the reference for messages.
	String() string

	// NsFd returns a descriptor of the namespace, which is valid until closer is called.
	NsFd() (fd int, closer FdCloser, err error)

	// OpenTypedReference returns a reference that holds the namespace open and knows its type, until closer is called.
	OpenTypedReference() (Relation, ReferenceCloser, error)
}
