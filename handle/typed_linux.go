package handle

import (
	"os"
	"syscall"

	"github.com/nsops/nsops/species"
)

// typed is a reference together with the type that its namespace must have: for another type every query is an
// *InvalidNamespaceError with EINVAL.
type typed struct {
	ref  Relation
	want species.NamespaceType
}

// TypedNamespacePath is a [NamespacePath] to a namespace of one type.
type TypedNamespacePath struct{ typed }

// TypedNamespaceFd is a [NamespaceFd] of a namespace of one type.
type TypedNamespaceFd struct{ typed }

// TypedNamespaceFile is a [NamespaceFile] of a namespace of one type. Close closes the file.
type TypedNamespaceFile struct {
	typed
	file *NamespaceFile
}

// NewTypedNamespacePath returns a reference to the namespace of type t that is at path at the time of use; NaNS stands
// for the type that it has then.
func NewTypedNamespacePath(path string, t species.NamespaceType) *TypedNamespacePath {
	return &TypedNamespacePath{typed{NamespacePath(path), t}}
}

// NewTypedNamespaceFd returns a reference to the namespace behind fd, which must be of type t; NaNS stands for the type
// that it has. Whoever opened fd closes it.
func NewTypedNamespaceFd(fd int, t species.NamespaceType) (*TypedNamespaceFd, error) {
	r, err := newTyped(NamespaceFd(fd), t)
	if err != nil {
		return nil, err
	}
	return &TypedNamespaceFd{r}, nil
}

// NewTypedNamespaceFile returns a reference to the namespace of an open file, which must be of type t; NaNS stands for
// the type that it has. It owns the file from then on, but not if there is an error.
func NewTypedNamespaceFile(f *os.File, t species.NamespaceType) (*TypedNamespaceFile, error) {
	file, err := NewNamespaceFile(f, nil)
	if err != nil {
		return nil, err
	}
	r, err := newTyped(file, t)
	if err != nil {
		return nil, err
	}
	return &TypedNamespaceFile{r, file}, nil
}

func newTyped(ref Relation, t species.NamespaceType) (typed, error) {
	found, err := typed{ref, t}.Type()
	return typed{ref, found}, err
}

// Close closes the file.
func (f *TypedNamespaceFile) Close() error {
	if f == nil {
		return os.ErrInvalid
	}
	return f.file.Close()
}

// NsFd returns a descriptor of the namespace, having checked its type; see [Relation].
func (r typed) NsFd() (int, FdCloser, error) {
	if r.ref == nil {
		return -1, nil, invalid(r, syscall.EINVAL)
	}
	fd, _, closer, err := open(r.ref, r.want)
	return fd, closer, err
}

// String returns the type, if one is wanted, and the reference.
func (r typed) String() string {
	switch {
	case r.ref == nil:
		return "no reference"
	case r.want == species.NaNS:
		return r.ref.String()
	}
	return typeWord(r.want) + " " + r.ref.String()
}
