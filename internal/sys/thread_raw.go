//go:build linux

package sys

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// The calls in this file are what a visit to a namespace consists of. They tell the Go scheduler nothing and allocate
// nothing: each takes about a microsecond and waits for nobody.

var ownPID = sync.OnceValue(unix.Getpid)

// OnMainThread says whether the calling thread is the process's first, whose namespaces are those that /proc/PID/ns
// shows, and which the Go runtime never ends.
func OnMainThread() bool {
	_, main := RawThread()
	return main
}

// RawThread returns the number of the calling thread, and whether it is the main one.
func RawThread() (tid int, main bool) {
	n, _ := unix.RawSyscallNoError(unix.SYS_GETTID, 0, 0, 0)
	return int(n), int(n) == ownPID()
}

// RawSetns is Setns for namespaces that are joined at once: all but mount namespaces.
func RawSetns(fd int, mask species.NamespaceType) syscall.Errno {
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_SETNS, uintptr(fd), uintptr(mask), 0)
		if errno != unix.EINTR {
			return errno
		}
	}
}

// RawClose closes a descriptor that RawOpenCurrent opened.
func RawClose(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// RawOpenCurrent opens the calling thread's namespace of type t, to which RawSetns leads back; for PID namespaces it is
// that of the thread's children. The goroutine is locked to its thread. It looks into the /proc of the first call, not
// into one of a container that the thread may be in.
func RawOpenCurrent(t species.NamespaceType) (int, error) {
	link, ok := currentLinks[t]
	if !ok {
		return -1, unix.EINVAL
	}
	return openCurrent(link)
}

// RawOpenForChildren opens the calling thread's time namespace for children, into which unshare(2) put it.
func RawOpenForChildren() (int, error) { return openCurrent(link("time_for_children")) }

var (
	currentNet   = link("net")
	currentLinks = map[species.NamespaceType]*byte{
		species.CLONE_NEWNS:     link("mnt"),
		species.CLONE_NEWCGROUP: link("cgroup"),
		species.CLONE_NEWUTS:    link("uts"),
		species.CLONE_NEWIPC:    link("ipc"),
		species.CLONE_NEWUSER:   link("user"),
		species.CLONE_NEWPID:    link("pid_for_children"),
		species.CLONE_NEWNET:    currentNet,
		species.CLONE_NEWTIME:   link("time"),
	}
)

func link(name string) *byte {
	text := append([]byte("thread-self/ns/"+name), 0)
	return &text[0]
}

func openCurrent(path *byte) (int, error) {
	if pretended(ProcLinks) {
		return -1, unix.ENOENT
	}
	proc, err := keptProcDir()
	if err != nil {
		return -1, err
	}
	for {
		fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(proc.raw), uintptr(unsafe.Pointer(path)),
			unix.O_RDONLY|unix.O_CLOEXEC, 0, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// procDir is the root of the proc file system, once it was needed. It stays open until the process ends.
var procDir atomic.Pointer[FD]

const procRootInode = 1

func keptProcDir() (*FD, error) {
	if proc := procDir.Load(); proc != nil {
		return proc, nil
	}
	return openProcDir()
}

// openProcDir makes sure that it is a proc file system's root before it is relied on for good.
func openProcDir() (*FD, error) {
	fd, err := open(func() (int, error) {
		return unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	var fs unix.Statfs_t
	err = Retry(func() error { return unix.Fstatfs(fd.Int(), &fs) })
	id, idErr := IDOf(fd.Int())
	if err = errors.Join(err, idErr); err == nil && (fs.Type != unix.PROC_SUPER_MAGIC || id.Ino != procRootInode) {
		err = errors.New("/proc is not a proc file system")
	}
	if err != nil || !procDir.CompareAndSwap(nil, fd) {
		_ = fd.Close()
	}
	return procDir.Load(), err
}
