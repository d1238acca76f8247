package sys

import (
	"errors"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
)

// FD is a descriptor with one owner, who closes it; a lost one is closed when it is collected.
// Whoever passes Int to the kernel keeps the FD alive until the call is over.
type FD struct {
	number  int
	cleanup runtime.Cleanup
}

// Own takes ownership of what a call of package raw returned, as in Own(raw.Owner(fd)).
func Own(fd int, errno syscall.Errno) (*FD, error) {
	if errno != 0 {
		return nil, errno
	}
	return NewFD(fd), nil
}

// NewFD takes ownership of number.
func NewFD(number int) *FD {
	f := &FD{number: number}
	f.cleanup = runtime.AddCleanup(f, raw.Close, number)
	return f
}

// Int returns the number, -1 after Close or Disown, or of nil.
func (f *FD) Int() int {
	if f == nil {
		return raw.NoFD
	}
	return f.number
}

// Disown returns the number and leaves it to the caller to close.
func (f *FD) Disown() int {
	number := f.number
	f.number = raw.NoFD
	f.cleanup.Stop()
	return number
}

// Close closes the descriptor; again, or on nil, it does nothing.
func (f *FD) Close() error {
	if f == nil || f.number < 0 {
		return nil
	}
	return unix.Close(f.Disown())
}

// Retry calls f until it is not interrupted by a signal.
func Retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// open owns what f opens, which is retried when a signal interrupts it.
func open(f func() (int, error)) (*FD, error) {
	fd := raw.NoFD
	if err := Retry(func() (err error) { fd, err = f(); return err }); err != nil {
		return nil, err
	}
	return NewFD(fd), nil
}

// orClose returns the descriptor, or closes it if there is an error.
func orClose(fd *FD, err error) (*FD, error) {
	if err != nil {
		_ = fd.Close()
		return nil, err
	}
	return fd, nil
}

// openFile opens what is at path, found from the directory dir. A file that it makes has no permissions yet.
func openFile(dir int, path string, flags int) (*FD, error) {
	return open(func() (int, error) { return unix.Openat(dir, path, flags|unix.O_CLOEXEC, 0) })
}

func openDir(path string) (*FD, error) {
	return openFile(raw.CurrentDir, path, unix.O_PATH|unix.O_DIRECTORY)
}

// isOn returns other unless an open file, also one that cannot be read (O_PATH), is on a file system of that type.
func isOn(fd int, magic uint32, other error) error {
	var fs unix.Statfs_t
	err := Retry(func() error { return unix.Fstatfs(fd, &fs) })
	if err == nil && uint32(fs.Type) != magic {
		return other
	}
	return err
}

func statfsAt(path string) (fs unix.Statfs_t, err error) {
	err = Retry(func() error { return unix.Statfs(path, &fs) })
	return fs, err
}

// fstat looks at an open file.
func fstat(fd int) (st unix.Stat_t, err error) {
	err = Retry(func() error { return unix.Fstat(fd, &st) })
	return st, err
}

// DupFD returns another descriptor of an open file that somebody else owns.
func DupFD(fd int) (*FD, error) { return Own(raw.DupFrom(fd, 0)) }

// OSFile makes an os.File of a descriptor, which takes it over.
func OSFile(fd *FD, name string) *os.File { return os.NewFile(uintptr(fd.Disown()), name) }

// DescriptorLimit returns how many descriptors the process may have at a time.
func DescriptorLimit() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 256
	}
	return int(min(limit.Cur, 1<<20))
}

// asError returns nil for errno 0.
func asError(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}
