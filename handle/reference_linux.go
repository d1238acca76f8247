package handle

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// NamespacePath refers to the namespace that is at a path at the time of use: a pin, or a link such as
// /proc/PID/ns/net. It keeps nothing alive. A relative path is the calling thread's, /proc/self the main thread's. A
// file that is no namespace is not opened.
type NamespacePath string

// NsFd opens the namespace.
func (p NamespacePath) NsFd() (int, FdCloser, error) {
	fd, err := openPath(string(p))
	return opened(p, fd, err)
}

// openPath opens the namespace at a path. The error says what is there instead.
func openPath(path string) (*sys.FD, error) {
	fd, err := sys.OpenNamespace(path)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, syscall.EINVAL):
		return nil, fmt.Errorf("%s: %w", instead(path), err)
	case strings.HasPrefix(path, "/proc/") && errors.Is(err, syscall.EACCES):
		return nil, sys.ExplainInspect(err)
	}
	return nil, err
}

// instead describes a file that is no namespace. A tool that crashed may have left it empty, for a pin.
func instead(path string) string {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "no namespace"
	case info.IsDir():
		return "no namespace, but a directory"
	case info.Mode().IsRegular() && info.Size() == 0 && !strings.HasPrefix(path, "/proc/"):
		return "no namespace, but an empty file, as for a pin that is not mounted, or not in this mount namespace"
	}
	return "no namespace, but another kind of file"
}

// String returns the path.
func (p NamespacePath) String() string { return "path " + string(p) }

// NamespaceFile is an open file of a namespace, which keeps it alive. Whoever got it closes it, once; one that is lost
// is closed when it is collected. [NamespaceFile.Handle] makes an [NsHandle] of it.
type NamespaceFile struct {
	os.File // by value, as an os.File is a pointer itself: &f.File is the *os.File
}

// isNone reports whether there is no file, as with an error of User and Parent; methods but those of os.File fail then.
func (f *NamespaceFile) isNone() bool { return f == nil || f.File == os.File{} }

// NewNamespaceFile makes a reference of an open file, which it owns from then on. It takes the two results of os.Open,
// and returns the error if there is one. If the file is not of a namespace, queries return an error.
func NewNamespaceFile(f *os.File, err error) (*NamespaceFile, error) {
	if err == nil && f == nil {
		err = os.ErrInvalid
	}
	if err != nil {
		return nil, &InvalidNamespaceError{Ref: "file", Err: err}
	}
	return &NamespaceFile{File: *f}, nil
}

// NsFd returns the descriptor; closer keeps the file from being collected until then.
func (f *NamespaceFile) NsFd() (int, FdCloser, error) {
	if f.isNone() {
		return -1, nil, &InvalidNamespaceError{Ref: "file", Err: os.ErrInvalid}
	}
	fd := int(f.Fd())
	if fd < 0 {
		return -1, nil, invalid(f, fmt.Errorf("%w: %w", ErrClosed, os.ErrClosed))
	}
	return fd, func() { runtime.KeepAlive(f) }, nil
}

// Handle returns a handle of the same namespace, a duplicate, that the caller closes.
func (f *NamespaceFile) Handle() (NsHandle, error) { return duplicate(f) }

// String returns the name of the file.
func (f *NamespaceFile) String() string {
	if f.isNone() {
		return "file"
	}
	return "file " + f.Name()
}

// Close closes the file; see os.File.
func (f *NamespaceFile) Close() error {
	if f.isNone() {
		return os.ErrInvalid
	}
	return f.File.Close()
}

// NamespaceFd refers to a namespace by a descriptor. Whoever opened it closes it, after the last use of this.
type NamespaceFd int

func noCloser() {}

// NsFd returns the descriptor itself; its closer does nothing.
func (n NamespaceFd) NsFd() (int, FdCloser, error) { return int(n), noCloser, nil }

// String returns the number.
func (n NamespaceFd) String() string { return "fd " + strconv.Itoa(int(n)) }

// typed is a reference with the type that its namespace must have: for another type, queries are EINVAL.
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

// NewTypedNamespacePath returns a reference to the namespace of type t, or with NaNS any, at path at the time of use.
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
