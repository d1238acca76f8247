//go:build linux

package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// Buffered returns how many bytes wait in a pipe.
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
