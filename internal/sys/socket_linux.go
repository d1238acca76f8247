package sys

import (
	"runtime"
	"time"

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

// StopReceiving makes whatever is sent to a socket fail with EPIPE, from now on.
func StopReceiving(socket *FD) error {
	defer runtime.KeepAlive(socket)
	return unix.Shutdown(socket.Int(), unix.SHUT_RD)
}

// StopSending makes the other end of a socket receive its end after what was sent before. It can still send.
func StopSending(socket *FD) error {
	defer runtime.KeepAlive(socket)
	return unix.Shutdown(socket.Int(), unix.SHUT_WR)
}

// Message is what was received.
type Message struct {
	Size   int
	End    bool // there is no message: the other end is closed
	Sender int  // PID of the process that sent it, vouched for by the kernel; 0 without SO_PASSCRED
	File   *FD  // the descriptor that came along, of several the first; the caller's to close, nil if none came
}

// Receive receives one message of a trusted process into buf; Inbox is for others. EMSGSIZE: it is longer; EMFILE:
// there was no room for its descriptor.
func Receive(socket *FD, buf []byte) (Message, error) {
	return receive(socket, buf, make([]byte, unix.CmsgSpace(4*8)), 0, unix.EMFILE)
}

// receive receives one message with as many control messages as there is room for; with more, the error is tooMany.
func receive(socket *FD, buf, control []byte, how int, tooMany error) (Message, error) {
	defer runtime.KeepAlive(socket)
	var n, got, flags int
	next := func() (err error) {
		n, got, flags, _, err = unix.Recvmsg(socket.Int(), buf, control, how|unix.MSG_CMSG_CLOEXEC)
		return err
	}
	err := Retry(next)
	if err == unix.ECONNRESET {
		err = Retry(next) // the peer ended and left something unread; that is said once, and before what it sent
	}
	if err != nil {
		return Message{}, err
	}
	m := Message{Size: n, End: n == 0 && got == 0}
	m.parse(control[:got])
	switch {
	case flags&unix.MSG_CTRUNC != 0:
		err = tooMany
	case flags&unix.MSG_TRUNC != 0:
		err = unix.EMSGSIZE
	}
	if err != nil {
		_ = m.File.Close()
		return Message{}, err
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
	runtime.KeepAlive(event)
}
