//go:build linux

package sys

import (
	"errors"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// OpenNamespaceOfThread opens the namespace of type t of the process's thread tid, as numbered in our PID namespace.
// ESRCH: the process has no such thread, or is gone. The way leads through /proc/PID/task, which has only threads of
// that process; the pidfd says whether the process was still there afterwards.
func (p *Process) OpenNamespaceOfThread(tid int, t species.NamespaceType) (*FD, error) {
	defer runtime.KeepAlive(p)
	dir, err := p.ProcDir()
	if err != nil {
		return nil, err
	}
	fd, err := OpenNamespace(dir + "/task/" + strconv.Itoa(tid) + "/ns/" + t.Name())
	if err == nil && !p.Alive() {
		_ = fd.Close()
		return nil, unix.ESRCH
	}
	return fd, gone(err)
}

// Start returns when the process started, in clock ticks after boot.
func (p *Process) Start() (uint64, error) {
	stat, err := p.Stat()
	return stat.Start, err
}

// OpenRoot opens the root directory of the process, as a place to resolve paths from (O_PATH). It takes the right to
// inspect the process, but none over its mount namespace.
func (p *Process) OpenRoot() (*FD, error) {
	defer runtime.KeepAlive(p)
	dir, err := p.ProcDir()
	if err != nil {
		return nil, err
	}
	fd, err := openDir(dir + "/root")
	if err == nil && !p.Alive() {
		_ = fd.Close()
		return nil, unix.ESRCH
	}
	return fd, gone(err)
}

// IsMissing says whether the error of a call means that the kernel does not know it.
func IsMissing(err error) bool {
	for _, errno := range []syscall.Errno{unix.ENOSYS, unix.ENOTTY, unix.EOPNOTSUPP, unix.ENOPROTOOPT} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
