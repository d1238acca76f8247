//go:build linux

package sys

import (
	"errors"
	"math"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// OpenNamespaceOfThread opens the namespace of type t of the thread tid of the process pid, as numbered in our PID
// namespace. ESRCH: there is no such thread in that process.
func OpenNamespaceOfThread(pid, tid int, t species.NamespaceType) (*FD, error) {
	process, err := OpenProcess(pid)
	if err != nil {
		return nil, err
	}
	defer func() { _ = process.Close() }()
	fd, err := process.openOfThread(pid, tid, t)
	if err == nil && !process.Alive() {
		_ = fd.Close()
		return nil, unix.ESRCH
	}
	return fd, err
}

// openOfThread goes by a pidfd of the thread (6.9). Before, the way leads through /proc/PID/task, which has only threads
// of that process, but by their numbers in the PID namespace of /proc.
func (p *Process) openOfThread(pid, tid int, t species.NamespaceType) (*FD, error) {
	if pretended(PidfdThread) {
		return p.openByTask(tid, t)
	}
	fd, err := openPidfd(tid, unix.PIDFD_THREAD)
	switch {
	case errors.Is(err, unix.EINVAL) && tid > 0:
		return p.openByTask(tid, t)
	case err != nil:
		return nil, err
	}
	thread := &Process{fd: fd}
	defer func() { _ = thread.Close() }()
	// Signal 0 tells whether the thread is the process's. If the pidfd's thread lives afterwards, it is that one.
	if err := unix.Tgkill(pid, tid, 0); err != nil && !errors.Is(err, unix.EPERM) {
		return nil, err
	}
	if !thread.Alive() {
		return nil, unix.ESRCH
	}
	return thread.OpenNamespace(t)
}

func (p *Process) openByTask(tid int, t species.NamespaceType) (*FD, error) {
	dir, err := p.ProcDir()
	if err != nil {
		return nil, err
	}
	fd, err := OpenNamespace(dir + "/task/" + strconv.Itoa(tid) + "/ns/" + t.Name())
	return fd, gone(err)
}

// Exists returns ESRCH unless there is a process or thread with that number in our PID namespace.
func Exists(pid int) error {
	if pid > math.MaxInt32 {
		return unix.ESRCH
	}
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.EPERM) {
		return err
	}
	return nil
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
