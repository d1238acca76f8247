//go:build linux

package sys

import (
	"time"

	"golang.org/x/sys/unix"
)

// WaitReadable waits until one of the descriptors is readable or closed at its other end, and says which ones are. A
// negative descriptor is passed over; a zero deadline is none. No descriptor ready means that the deadline has passed.
func WaitReadable(deadline time.Time, fds ...int) ([]bool, error) {
	polled := make([]unix.PollFd, len(fds))
	for i, fd := range fds {
		polled[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	err := Retry(func() error {
		var timeout *unix.Timespec
		if !deadline.IsZero() {
			t := unix.NsecToTimespec(max(0, time.Until(deadline)).Nanoseconds())
			timeout = &t
		}
		_, err := unix.Ppoll(polled, timeout, nil)
		return err
	})
	ready := make([]bool, len(fds))
	for i := range polled {
		ready[i] = polled[i].Revents != 0
	}
	return ready, err
}

// Eventfd returns a descriptor that is readable after a call of Signal.
func Eventfd() (*FD, error) {
	return open(func() (int, error) { return unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK) })
}

// Signal makes an eventfd readable.
func Signal(event *FD) {
	one := [8]byte{1, 1, 1, 1, 1, 1, 1, 0}
	_, _ = unix.Write(event.Int(), one[:])
}
