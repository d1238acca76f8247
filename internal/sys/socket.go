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

// ForPolling makes Receive tell who sent a message, and return EAGAIN when there is none.
func ForPolling(socket *FD) error {
	defer runtime.KeepAlive(socket)
	if err := unix.SetNonblock(socket.Int(), true); err != nil {
		return err
	}
	return unix.SetsockoptInt(socket.Int(), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
}

// Message is what Receive has received.
type Message struct {
	Size   int // 0: the other end is closed
	Sender int // PID of the process that sent it, vouched for by the kernel, after ForPolling
	File   *FD // the descriptor that came along, of several the first; the caller's to close, nil if none came
}

// Receive receives one message into buf; a longer one is EMSGSIZE.
func Receive(socket *FD, buf []byte) (Message, error) {
	defer runtime.KeepAlive(socket)
	control := make([]byte, unix.CmsgSpace(4*8)+unix.CmsgSpace(unix.SizeofUcred))
	var n, got, flags int
	receive := func() (err error) {
		n, got, flags, _, err = unix.Recvmsg(socket.Int(), buf, control, unix.MSG_CMSG_CLOEXEC)
		return err
	}
	err := Retry(receive)
	if err == unix.ECONNRESET {
		err = Retry(receive) // the peer ended and left something unread; that is said once, and before what it sent
	}
	if err != nil {
		return Message{}, err
	}
	m := Message{Size: n}
	m.parse(control[:got])
	if flags&unix.MSG_TRUNC != 0 {
		_ = m.File.Close()
		return Message{}, unix.EMSGSIZE
	}
	return m, nil
}

// parse owns the first descriptor of the control messages and closes the others.
func (m *Message) parse(control []byte) {
	messages, _ := unix.ParseSocketControlMessage(control)
	for i := range messages {
		if sender, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			m.Sender = int(sender.Pid)
		}
		fds, _ := unix.ParseUnixRights(&messages[i])
		for _, fd := range fds {
			if m.File == nil {
				m.File = NewFD(fd)
			} else {
				_ = unix.Close(fd)
			}
		}
	}
}

// SetInheritable lets the descriptor survive execve(2).
func SetInheritable(f *FD) error {
	defer runtime.KeepAlive(f)
	_, err := unix.FcntlInt(uintptr(f.Int()), unix.F_SETFD, 0)
	return err
}
