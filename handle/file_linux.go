package handle

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
)

// NamespaceFile is an open file of a namespace, which keeps it alive. Whoever got it closes it, once; one that is lost
// is closed when it is collected. [NamespaceFile.Handle] makes an [NsHandle] of it.
type NamespaceFile struct {
	os.File // by value, as an os.File is a pointer itself: &f.File is the *os.File
}

// isNone reports whether there is no file: User and Parent return nil with an error, and the zero value has none. All
// methods but those of os.File return an error then.
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
