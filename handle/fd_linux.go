package handle

import (
	"strconv"

	"github.com/nsops/nsops/species"
)

// NamespaceFd refers to a namespace by a descriptor that somebody else opened, and will close after the last use of
// this.
type NamespaceFd int

func noCloser() {}

// NsFd returns the descriptor itself; its closer does nothing.
func (n NamespaceFd) NsFd() (int, FdCloser, error) { return int(n), noCloser, nil }

// String returns the number.
func (n NamespaceFd) String() string { return "fd " + strconv.Itoa(int(n)) }

// ID returns the identity; see [Relation].
func (n NamespaceFd) ID() (species.NamespaceID, error) { return idOf(n) }

// Type returns the type; see [Relation].
func (n NamespaceFd) Type() (species.NamespaceType, error) { return typeOf(n) }

// User returns the owner, which the caller closes; see [Relation].
func (n NamespaceFd) User() (*NamespaceFile, error) { return userOf(n) }

// Parent returns the parent, which the caller closes; see [Relation].
func (n NamespaceFd) Parent() (*NamespaceFile, error) { return parentOf(n) }

// OwnerUID returns the creator's user ID; see [Relation].
func (n NamespaceFd) OwnerUID() (int, error) { return ownerUIDOf(n) }

// OpenTypedReference returns an open reference; see [Relation].
func (n NamespaceFd) OpenTypedReference() (Relation, ReferenceCloser, error) { return openTyped(n) }
