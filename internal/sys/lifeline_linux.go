package sys

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OwnGroup makes a process group the one that a signal about a socket goes to, if anything ever happens at its other end
// and somebody has called KillGroupAtEnd. The signal is sent with the rights of the calling thread: man 2 fcntl, F_SETOWN.
// The group is there, or the process that will lead it; 0 is none.
func OwnGroup(socket *FD, group int) error {
	defer runtime.KeepAlive(socket)
	_, err := unix.FcntlInt(uintptr(socket.Int()), unix.F_SETOWN, -group)
	return err
}

// ownerEx is struct f_owner_ex: man 2 fcntl. F_GETOWN's number of a group is hard to tell from an error.
type ownerEx struct{ Type, ID int32 }

const ownerIsGroup = 2 // F_OWNER_PGRP

// OwnsItsGroup reports whether somebody has called OwnGroup for the group that the calling process leads.
func OwnsItsGroup(socket *FD) bool {
	defer runtime.KeepAlive(socket)
	owner := ownerEx{}
	_, _, errno := unix.Syscall(unix.SYS_FCNTL, uintptr(socket.Int()), unix.F_GETOWN_EX, uintptr(unsafe.Pointer(&owner)))
	return errno == 0 && owner == ownerEx{ownerIsGroup, int32(os.Getpid())}
}

// KillGroupAtEnd makes the kernel kill the group that OwnGroup has said when the other end of a socket is closed. The
// socket is close-on-exec.
func KillGroupAtEnd(socket *FD) error {
	defer runtime.KeepAlive(socket)
	unix.CloseOnExec(socket.Int())
	_, signal := unix.FcntlInt(uintptr(socket.Int()), unix.F_SETSIG, int(unix.SIGKILL))
	_, async := unix.FcntlInt(uintptr(socket.Int()), unix.F_SETFL, unix.O_ASYNC)
	return errors.Join(signal, async)
}

// KillSelf kills this process, and with group all of its process group that it may kill. The first process of a PID
// namespace ignores that, and ends: the rest of the namespace ends with it.
func KillSelf(group bool) {
	pid := os.Getpid()
	if group {
		pid = 0
	}
	_ = unix.Kill(pid, unix.SIGKILL)
	Exit(128 + int(unix.SIGKILL))
}

// NewSession makes the process the leader of a session without a terminal, and of a process group.
func NewSession() error {
	_, err := unix.Setsid()
	return err
}
