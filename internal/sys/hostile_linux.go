package sys

import (
	"cmp"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrDescriptors says that descriptors came with a message. They were not taken.
var ErrDescriptors = errors.New("descriptors came with it")

// maxQueued is how many messages an Inbox looks at when it is closed. The send buffer of a socket holds fewer.
const maxQueued = 1 << 16

// Inbox is a socket at which the messages of a process arrive that may be hostile. None of its descriptors gets into
// this process, also not those in messages that nobody has received: to close a file of a FUSE file system, or a TCP
// socket that lingers, may take for ever, and not even SIGKILL ends it.
type Inbox struct {
	*FD
	how int // to receive: MSG_PEEK, unless the kernel refuses descriptors
}

// NewInbox takes over a socket, which does not block then. Nothing must have been sent to it before.
func NewInbox(socket *FD) (*Inbox, error) {
	err := unix.SetNonblock(socket.Int(), true)
	if err == nil {
		err = unix.SetsockoptInt(socket.Int(), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	}
	how := 0
	if !refuseDescriptors(socket.Int()) {
		how = unix.MSG_PEEK // the message stays in the queue
		err = cmp.Or(err, lookAt(socket, 0))
	}
	return &Inbox{socket, how}, err
}

// lookAt sets from which byte of the queue on MSG_PEEK looks and moves on, or with -1, that it looks at the first message.
func lookAt(socket *FD, offset int) error {
	return unix.SetsockoptInt(socket.Int(), unix.SOL_SOCKET, unix.SO_PEEK_OFF, offset)
}

// Receive receives the next message into buf. EAGAIN: there is none; EMSGSIZE: it is longer than buf; ErrDescriptors:
// descriptors came along, and the next call goes on behind that message.
func (b *Inbox) Receive(buf []byte) (Message, error) { return b.receive(buf, b.how) }

// receive has room for the sender's credentials alone, which come even with an empty message: the kernel drops
// descriptors without room (man 7 unix). With MSG_PEEK that is harmless, since the message still holds them.
func (b *Inbox) receive(buf []byte, how int) (Message, error) {
	return receive(b.FD, buf, make([]byte, unix.CmsgSpace(unix.SizeofUcred)), how, ErrDescriptors)
}

// Close closes the socket and does not wait for anybody.
func (b *Inbox) Close() error {
	switch {
	case b == nil || b.Int() < 0:
		return nil
	case b.how == 0 || b.drain():
		return b.FD.Close()
	}
	discard(b.FD)
	return nil
}

// drain takes no more messages and drops those that came without descriptors. It reports whether that were all.
func (b *Inbox) drain() bool {
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

// discard has a child close a descriptor: the last process to close it waits for the end of that. The child executes
// nothing, is stopped at its start as by a debugger, and killed when no other child can be the last. Where that is
// refused, as under strace -f, the descriptor stays open.
func discard(fd *FD) {
	var child *Child
	err := HoldExecutable()
	if err == nil {
		how := &syscall.SysProcAttr{Ptrace: true, Pdeathsig: unix.SIGKILL}
		child, err = start(how, executable.file, nil, nil, []int{fd.Int()})
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

// Output is the end at which what a process writes arrives that may be hostile. A pipe could hold a page of a FUSE file
// (splice(2)), whose reader waits for its lock, and not even SIGKILL ends that. A stream socket carries bytes, and
// descriptors, which are not taken, as by an Inbox.
type Output struct {
	*os.File
	refuses bool // the kernel refuses descriptors, else they are looked for first
}

// OpenOutput returns both ends. Theirs is for writing only, and its reader is gone when ours is closed.
func OpenOutput() (ours *Output, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	_ = unix.Shutdown(fds[0], unix.SHUT_WR)
	_ = unix.SetNonblock(fds[0], true) // for deadlines
	refuses := refuseDescriptors(fds[0])
	return &Output{os.NewFile(uintptr(fds[0]), "output"), refuses}, os.NewFile(uintptr(fds[1]), "output"), nil
}

// refuseDescriptors has the kernel refuse descriptors that are sent to a socket, and reports whether it does.
func refuseDescriptors(socket int) bool {
	return !pretended(RightsRefusal) && unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0) == nil
}

// Read reads what was written. ErrDescriptors: descriptors came with it; nothing is read any more.
func (o *Output) Read(p []byte) (n int, err error) {
	if o.refuses {
		return o.File.Read(p)
	}
	raw, err := o.SyscallConn()
	if err != nil {
		return 0, err
	}
	waitErr := raw.Read(func(fd uintptr) bool {
		n, err = readBytes(int(fd), p)
		return err != unix.EAGAIN
	})
	switch {
	case waitErr != nil:
		return 0, waitErr
	case n == 0 && err == nil && len(p) > 0:
		return 0, io.EOF
	}
	return n, err
}

// readBytes takes what it has seen to come without descriptors: as much, and no more.
func readBytes(fd int, p []byte) (n int, err error) {
	var flags int // MSG_CTRUNC says that there are descriptors, for which there is no room; see Inbox
	err = Retry(func() (err error) { n, _, flags, _, err = unix.Recvmsg(fd, p, nil, unix.MSG_PEEK); return err })
	switch {
	case err != nil:
		return 0, err
	case flags&unix.MSG_CTRUNC != 0:
		return 0, ErrDescriptors
	case n <= 0:
		return 0, nil
	}
	err = Retry(func() (err error) { n, _, err = unix.Recvfrom(fd, p[:n], 0); return err })
	return max(n, 0), err
}

// Close closes our end and does not wait for anybody.
func (o *Output) Close() error {
	raw, err := o.SyscallConn()
	if o.refuses || err != nil {
		return o.File.Close()
	}
	var kept *FD
	err = raw.Control(func(fd uintptr) {
		if !drainBytes(int(fd)) {
			kept, _ = DupFD(int(fd))
		}
	})
	if err == nil {
		err = o.File.Close()
	}
	if kept != nil {
		discard(kept)
	}
	return err
}

// drainBytes takes no more, drops what is there without descriptors, and reports whether that was all.
func drainBytes(fd int) bool {
	if unix.Shutdown(fd, unix.SHUT_RD) != nil {
		return false
	}
	buf := make([]byte, 64<<10)
	for range maxQueued {
		if n, err := readBytes(fd, buf); err != nil || n == 0 {
			return err == nil || err == unix.EAGAIN || err == unix.ECONNRESET
		}
	}
	return false
}

// DevNull opens /dev/null. os.OpenFile would ask the poller, in vain, whether it can wait for it.
func DevNull() (*os.File, error) {
	fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	return os.NewFile(uintptr(fd), os.DevNull), nil
}

// Buffered returns how many bytes wait to be read.
func Buffered(f *os.File) int {
	raw, err := f.SyscallConn() // Fd would make it block
	if err != nil {
		return 0
	}
	n := 0
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}

// IsTerminal reports whether the file is a terminal.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
