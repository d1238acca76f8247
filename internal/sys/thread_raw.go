//go:build linux

package sys

import (
	"sync"
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
// that of the thread's children. The goroutine is locked to its thread. It looks into the process's own /proc, not into
// one of a container that the thread may be in.
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
