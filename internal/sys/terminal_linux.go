package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

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

// NewSession makes the process the leader of a session without a terminal, and of a process group.
func NewSession() error {
	_, err := unix.Setsid()
	return err
}
