package sys

import (
	"errors"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrDescriptors says that descriptors came with a message. They were not taken.
var ErrDescriptors = errors.New("descriptors came with it")

// maxQueued is how many messages an Inbox looks at when it is closed. The send buffer of a socket holds fewer.
const maxQueued = 1 << 16

// Inbox is the end of a socket at which the messages of a process arrive that may be hostile. None of its descriptors
// gets into this process: to close a file of a FUSE file system or a TCP socket that lingers takes as long as somebody
// else likes, and not even SIGKILL ends it. That holds for descriptors that nobody has received, too: whoever closes the
// socket closes them.
type Inbox struct {
	*FD
	refuses bool // the kernel refuses descriptors, else messages are only looked at
}

// NewInbox takes over a socket, which does not block then. Nothing must have been sent to it before.
func NewInbox(socket *FD) (*Inbox, error) {
	defer runtime.KeepAlive(socket)
	if err := unix.SetNonblock(socket.Int(), true); err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(socket.Int(), unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return nil, err
	}
	if refuseDescriptors(socket.Int()) {
		return &Inbox{socket, true}, nil
	}
	return &Inbox{socket, false}, lookAt(socket, 0)
}

// lookAt sets from which byte of the queue on MSG_PEEK looks and moves on, or with -1, that it looks at the first message.
func lookAt(socket *FD, offset int) error {
	return unix.SetsockoptInt(socket.Int(), unix.SOL_SOCKET, unix.SO_PEEK_OFF, offset)
}

// Receive receives the next message into buf. EAGAIN: there is none; EMSGSIZE: it is longer than buf; ErrDescriptors:
// descriptors came along, and the next call goes on behind that message.
func (b *Inbox) Receive(buf []byte) (Message, error) {
	defer runtime.KeepAlive(b)
	if b.refuses {
		return b.receive(buf, 0)
	}
	return b.receive(buf, unix.MSG_PEEK) // it stays in the queue, see lookAt
}

// receive has room for the sender's credentials and nothing else: man 7 unix, the kernel does away with descriptors for
// which there is no room. That is harmless as long as it only looks, since the message itself still holds them.
func (b *Inbox) receive(buf []byte, how int) (Message, error) {
	control := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	n, got, flags, err := recvmsg(b.FD, buf, control, how)
	if err != nil {
		return Message{}, err
	}
	m := Message{Size: n, End: n == 0 && got == 0} // an empty message has a sender
	m.parse(control[:got])
	switch {
	case flags&unix.MSG_CTRUNC != 0:
		return Message{}, ErrDescriptors
	case flags&unix.MSG_TRUNC != 0:
		return Message{}, unix.EMSGSIZE
	}
	return m, nil
}

// Close closes the socket and does not wait for anybody.
func (b *Inbox) Close() error {
	switch {
	case b == nil || b.Int() < 0:
		return nil
	case b.refuses || b.drain():
		return b.FD.Close()
	}
	discard(b.FD)
	return nil
}

// drain takes no more messages and drops those that came without descriptors. It reports whether that were all.
func (b *Inbox) drain() bool {
	defer runtime.KeepAlive(b)
	if StopReceiving(b.FD) != nil || lookAt(b.FD, -1) != nil {
		return false
	}
	var first [1]byte
	for range maxQueued {
		m, err := b.receive(first[:], unix.MSG_PEEK)
		switch {
		case err == nil && m.End, err == unix.EAGAIN:
			return true
		case err != nil && err != unix.EMSGSIZE:
			return false
		}
		_, _ = b.receive(first[:], 0)
	}
	return false
}

// execTime is longer than any child is between fork and the end of exec, when it closes its copies of our descriptors.
const execTime = time.Second

// discard has a child close a descriptor: the last to close it is the one that waits for the end of that. The child
// executes nothing, it is stopped at its start as by a debugger, and killed when no other child of ours can be the last.
// Where that cannot be had, such as under strace -f, the descriptor stays open for as long as this process lives.
func discard(fd *FD) {
	err := HoldExecutable()
	var child *Child
	if err == nil {
		child, err = start(&syscall.SysProcAttr{Ptrace: true, Pdeathsig: unix.SIGKILL}, executable.file, nil, nil, []int{fd.Int()})
	}
	if err != nil {
		fd.Disown()
		return
	}
	_ = fd.Close()
	time.AfterFunc(execTime, func() {
		child.Kill()
		child.WaitLater()
	})
}
