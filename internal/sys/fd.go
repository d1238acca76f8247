//go:build linux

package sys

import (
	"errors"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// FD is a descriptor with one owner, who closes it; a lost one is closed when it is collected.
// Whoever passes Int to the kernel keeps the FD alive until the call is over.
type FD struct {
	raw     int
	cleanup runtime.Cleanup
}

// NewFD takes ownership of raw.
func NewFD(raw int) *FD {
	f := &FD{raw: raw}
	f.cleanup = runtime.AddCleanup(f, func(raw int) { _ = unix.Close(raw) }, raw)
	return f
}

// Int returns the number, -1 after Close or Disown, or of nil.
func (f *FD) Int() int {
	if f == nil {
		return NoFD
	}
	return f.raw
}

// Disown returns the number and leaves it to the caller to close.
func (f *FD) Disown() int {
	raw := f.raw
	f.raw = -1
	f.cleanup.Stop()
	return raw
}

// Close closes the descriptor; again, or on nil, it does nothing.
func (f *FD) Close() error {
	if f == nil || f.raw < 0 {
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
	var raw int
	err := Retry(func() (err error) {
		raw, err = f()
		return err
	})
	if err != nil {
		return nil, err
	}
	return NewFD(raw), nil
}
