package sys

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Output is the end at which what a process writes arrives that may be hostile. It is no pipe: into a pipe one can splice(2)
// a page of a FUSE file, and whoever reads it waits for the lock of that page, which not even SIGKILL ends. A stream
// socket carries bytes, and descriptors that are not taken, as by an Inbox.
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
	if n, err = lookForBytes(fd, p); n <= 0 || err != nil {
		return 0, err
	}
	err = Retry(func() (err error) { n, _, err = unix.Recvfrom(fd, p[:n], 0); return err })
	return max(n, 0), err
}

// lookForBytes has no room for descriptors, and is told when there are some; see Inbox.
func lookForBytes(fd int, p []byte) (n int, err error) {
	var flags int
	err = Retry(func() (err error) { n, _, flags, _, err = unix.Recvmsg(fd, p, nil, unix.MSG_PEEK); return err })
	if err == nil && flags&unix.MSG_CTRUNC != 0 {
		return 0, ErrDescriptors
	}
	return n, err
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

// IsTerminal says whether the file is a terminal.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
