//go:build linux

package sys

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Socketpair returns the two ends of a SOCK_SEQPACKET socket. Unlike a named or abstract one, nobody else can reach it.
func Socketpair() (a, b *FD, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return NewFD(fds[0]), NewFD(fds[1]), nil
}

// Send sends one message with copies of descriptors. A peer that is gone is EPIPE, never a signal.
func Send(socket *FD, data []byte, fds ...int) error {
	defer runtime.KeepAlive(socket)
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	return Retry(func() error { return unix.Sendmsg(socket.Int(), data, rights, nil, unix.MSG_NOSIGNAL) })
}

// Receive receives one message into buf; a longer one is EMSGSIZE. n is 0 when the other end is closed. A descriptor
// that came along belongs to the caller, nil if none did; of several the others are closed.
func Receive(socket *FD, buf []byte) (n int, file *FD, err error) {
	defer runtime.KeepAlive(socket)
	control := make([]byte, unix.CmsgSpace(4*8))
	var got, flags int
	receive := func() (err error) {
		n, got, flags, _, err = unix.Recvmsg(socket.Int(), buf, control, unix.MSG_CMSG_CLOEXEC)
		return err
	}
	if err = Retry(receive); err == unix.ECONNRESET {
		err = Retry(receive) // the peer ended and left something unread; that is said once, and before what it sent
	}
	if err != nil {
		return 0, nil, err
	}
	if got > 0 {
		file = firstRight(control[:got])
	}
	if flags&unix.MSG_TRUNC != 0 {
		_ = file.Close()
		return 0, nil, unix.EMSGSIZE
	}
	return n, file, nil
}

// firstRight owns the first descriptor of a control message and closes the others.
func firstRight(control []byte) (first *FD) {
	messages, _ := unix.ParseSocketControlMessage(control)
	for i := range messages {
		fds, _ := unix.ParseUnixRights(&messages[i])
		for _, fd := range fds {
			if first == nil {
				first = NewFD(fd)
			} else {
				_ = unix.Close(fd)
			}
		}
	}
	return first
}

// SetInheritable lets the descriptor survive execve(2).
func SetInheritable(f *FD) error {
	defer runtime.KeepAlive(f)
	_, err := unix.FcntlInt(uintptr(f.Int()), unix.F_SETFD, 0)
	return err
}
