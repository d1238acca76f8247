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
	var fd int
	err := Retry(func() (err error) {
		fd, err = f()
		return err
	})
	if err != nil {
		return nil, err
	}
	return NewFD(fd), nil
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
