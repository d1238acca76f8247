package sys

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
)

// keptFrom is the least number of what is kept for good: a mistaken second close usually hits a low number.
const keptFrom = 256

// keep opens what is kept, on a thread that nobody has switched, as those are locked to their goroutines: in the
// process's own mount namespace, and in the descriptors that the threads share.
func keep(open func() (*FD, error)) (*FD, error) {
	var fd *FD
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if fd, err = open(); err != nil {
			return
		}
		if moved, refused := Own(raw.DupFrom(fd.Int(), keptFrom)); refused == nil { // else it serves where it is
			_ = fd.Close()
			fd = moved
		}
	}()
	<-done
	return fd, err
}

// procDir is the root of the proc file system, once it was needed.
var procDir atomic.Pointer[FD]

func keptProcDir() (*FD, error) {
	if proc := procDir.Load(); proc != nil {
		return proc, nil
	}
	proc, err := keep(openProcDir)
	if err == nil && !procDir.CompareAndSwap(nil, proc) { // another goroutine was faster
		_ = proc.Close()
		return procDir.Load(), nil
	}
	return proc, err
}

// openProcDir opens /proc if it is the root of a proc file system, of a PID namespace that we are in.
func openProcDir() (*FD, error) {
	fd, err := openDir("/proc")
	if err != nil {
		return nil, err
	}
	if !IsProc(fd.Int()) {
		return orClose(fd, errNoProc)
	}
	var target [32]byte
	if _, err := unix.Readlinkat(fd.Int(), "thread-self", target[:]); err != nil {
		err = fmt.Errorf("/proc is of a PID namespace that does not show this process: %w", unix.ESRCH)
		return orClose(fd, err)
	}
	return fd, nil
}

var errNoProc = errors.New("/proc is not a proc file system")

// IsProc reports whether fd is the root of a proc file system.
func IsProc(fd int) bool {
	const rootInode = 1
	id, err := IDOf(fd)
	return err == nil && id.Ino == rootInode && isOn(fd, unix.PROC_SUPER_MAGIC, errNoProc) == nil
}
