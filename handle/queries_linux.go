//nolint:revive // the methods are documented at Relation
package handle

import "github.com/nsops/nsops/species"

// What can be asked of each kind of reference: see [Relation].

func (ns NsHandle) ID() (species.NamespaceID, error)                       { return idOf(ns) }
func (ns NsHandle) Type() (species.NamespaceType, error)                   { return typeOf(ns) }
func (ns NsHandle) User() (*NamespaceFile, error)                          { return userOf(ns) }
func (ns NsHandle) Parent() (*NamespaceFile, error)                        { return parentOf(ns) }
func (ns NsHandle) OwnerUID() (int, error)                                 { return ownerUIDOf(ns) }
func (ns NsHandle) OpenTypedReference() (Relation, ReferenceCloser, error) { return openTyped(ns) }

func (n NamespaceFd) ID() (species.NamespaceID, error)                       { return idOf(n) }
func (n NamespaceFd) Type() (species.NamespaceType, error)                   { return typeOf(n) }
func (n NamespaceFd) User() (*NamespaceFile, error)                          { return userOf(n) }
func (n NamespaceFd) Parent() (*NamespaceFile, error)                        { return parentOf(n) }
func (n NamespaceFd) OwnerUID() (int, error)                                 { return ownerUIDOf(n) }
func (n NamespaceFd) OpenTypedReference() (Relation, ReferenceCloser, error) { return openTyped(n) }

func (f *NamespaceFile) ID() (species.NamespaceID, error)                       { return idOf(f) }
func (f *NamespaceFile) Type() (species.NamespaceType, error)                   { return typeOf(f) }
func (f *NamespaceFile) User() (*NamespaceFile, error)                          { return userOf(f) }
func (f *NamespaceFile) Parent() (*NamespaceFile, error)                        { return parentOf(f) }
func (f *NamespaceFile) OwnerUID() (int, error)                                 { return ownerUIDOf(f) }
func (f *NamespaceFile) OpenTypedReference() (Relation, ReferenceCloser, error) { return openTyped(f) }

func (r typed) ID() (species.NamespaceID, error)                       { return idOf(r) }
func (r typed) Type() (species.NamespaceType, error)                   { return typeOf(r) }
func (r typed) User() (*NamespaceFile, error)                          { return userOf(r) }
func (r typed) Parent() (*NamespaceFile, error)                        { return parentOf(r) }
func (r typed) OwnerUID() (int, error)                                 { return ownerUIDOf(r) }
func (r typed) OpenTypedReference() (Relation, ReferenceCloser, error) { return openTyped(r) }

func (n ProcessNamespace) ID() (species.NamespaceID, error)     { return idOf(n) }
func (n ProcessNamespace) Type() (species.NamespaceType, error) { return typeOf(n) }
func (n ProcessNamespace) User() (*NamespaceFile, error)        { return userOf(n) }
func (n ProcessNamespace) Parent() (*NamespaceFile, error)      { return parentOf(n) }
func (n ProcessNamespace) OwnerUID() (int, error)               { return ownerUIDOf(n) }
func (n ProcessNamespace) OpenTypedReference() (Relation, ReferenceCloser, error) {
	return openTyped(n)
}

func (p NamespacePath) ID() (species.NamespaceID, error)                       { return idOf(p) }
func (p NamespacePath) Type() (species.NamespaceType, error)                   { return typeOf(p) }
func (p NamespacePath) User() (*NamespaceFile, error)                          { return userOf(p) }
func (p NamespacePath) Parent() (*NamespaceFile, error)                        { return parentOf(p) }
func (p NamespacePath) OwnerUID() (int, error)                                 { return ownerUIDOf(p) }
func (p NamespacePath) OpenTypedReference() (Relation, ReferenceCloser, error) { return openTyped(p) }

func (h FileHandle) ID() (species.NamespaceID, error)                       { return idOf(h) }
func (h FileHandle) Type() (species.NamespaceType, error)                   { return typeOf(h) }
func (h FileHandle) User() (*NamespaceFile, error)                          { return userOf(h) }
func (h FileHandle) Parent() (*NamespaceFile, error)                        { return parentOf(h) }
func (h FileHandle) OwnerUID() (int, error)                                 { return ownerUIDOf(h) }
func (h FileHandle) OpenTypedReference() (Relation, ReferenceCloser, error) { return openTyped(h) }

func (p Portable) ID() (species.NamespaceID, error)                       { return idOf(p) }
func (p Portable) Type() (species.NamespaceType, error)                   { return typeOf(p) }
func (p Portable) User() (*NamespaceFile, error)                          { return userOf(p) }
func (p Portable) Parent() (*NamespaceFile, error)                        { return parentOf(p) }
func (p Portable) OwnerUID() (int, error)                                 { return ownerUIDOf(p) }
func (p Portable) OpenTypedReference() (Relation, ReferenceCloser, error) { return openTyped(p) }
