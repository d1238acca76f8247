package raw

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Status is what statx(2) tells of a file.
type Status struct {
	Dev, Ino, Size uint64
	Mode           uint32
	Rdev           uint64 // of a device
}

// IsSocket reports whether the file is a socket.
func (s *Status) IsSocket() bool { return s.Mode&unix.S_IFMT == unix.S_IFSOCK }

// IsTun reports whether the file is the device that makes TUN and TAP devices.
func (s *Status) IsTun() bool {
	const major, minor = 10, 200
	return s.Mode&unix.S_IFMT == unix.S_IFCHR && s.Rdev == unix.Mkdev(major, minor)
}

// The kernel answers with what it knows, and asks no server.
const statFlags = unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT

var noPath = NewPath("")

// Stat looks at an open file.
func Stat(fd int, found *Status) syscall.Errno { return stat(fd, &noPath, unix.AT_EMPTY_PATH, found) }

// StatAt looks at what is at path, found from the directory dir. It follows a link.
func StatAt(dir int, path *Path, found *Status) syscall.Errno { return stat(dir, path, 0, found) }

func stat(dir int, path *Path, flags uintptr, found *Status) syscall.Errno {
	for {
		var st unix.Statx_t
		_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(path.pointer()), flags|statFlags, unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(&st)), 0)
		if errno != unix.EINTR {
			found.set(&st)
			return errno
		}
	}
}

// StatNoWait is Stat for a namespace, a pidfd, a socket and a file of /proc.
func StatNoWait(fd int, found *Status) syscall.Errno {
	var st unix.Statx_t
	_, _, errno := unix.RawSyscall6(unix.SYS_STATX, uintptr(fd), uintptr(noPath.pointer()), unix.AT_EMPTY_PATH|statFlags, unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(&st)), 0)
	found.set(&st)
	return errno
}

func (s *Status) set(st *unix.Statx_t) {
	*s = Status{
		Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino, Size: st.Size,
		Mode: uint32(st.Mode), Rdev: unix.Mkdev(st.Rdev_major, st.Rdev_minor),
	}
}
