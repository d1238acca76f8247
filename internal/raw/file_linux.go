package raw

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Path is a path as the kernel reads it, which is made once and used often.
type Path struct{ text []byte }

// NewPath returns the Path of a text without zero bytes; of others, the part before the first.
func NewPath(text string) Path { return Path{append([]byte(text), 0)} }

// Number sets the path to a number in decimal, without allocating the second time.
func (p *Path) Number(n int) *Path {
	p.text = append(strconv.AppendInt(p.text[:0], int64(n), 10), 0)
	return p
}

// Below sets the path to one below a directory whose name is a number.
func (p *Path) Below(n int, path *Path) *Path {
	p.text = append(append(strconv.AppendInt(p.text[:0], int64(n), 10), '/'), path.text...)
	return p
}

// Set sets the path to a text without zero bytes.
func (p *Path) Set(text []byte) *Path {
	p.text = append(append(p.text[:0], text...), 0)
	return p
}

func (p *Path) pointer() unsafe.Pointer { return unsafe.Pointer(&p.text[0]) }

// CurrentDir is in place of a directory for absolute paths, and for those that are relative to the working directory.
const CurrentDir = unix.AT_FDCWD

// NoFD is what a call returns in place of a descriptor if there is an error.
const NoFD = -1

// What Open opens a file for.
const (
	ForListing = unix.O_RDONLY | unix.O_DIRECTORY
	ForPaths   = unix.O_PATH | unix.O_DIRECTORY // to find paths from
	ForReading = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY
	always     = unix.O_CLOEXEC | unix.O_LARGEFILE
)

// Open opens what is at path, found from the directory dir.
func Open(dir int, path *Path, flags int) (int, syscall.Errno) {
	flags |= always
	for {
		fd, errno := descriptor(unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(path.pointer()), uintptr(flags), 0, 0, 0))
		if errno != unix.EINTR {
			return fd, errno
		}
	}
}

// OpenNoWait is Open for a namespace of a task, below the root of a proc file system.
func OpenNoWait(dir int, path *Path, flags int) (int, syscall.Errno) {
	flags |= always
	return descriptor(unix.RawSyscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(path.pointer()), uintptr(flags), 0, 0, 0))
}

// descriptor takes what a system call returns.
func descriptor(fd, _ uintptr, errno syscall.Errno) (int, syscall.Errno) {
	if errno != 0 {
		return NoFD, errno
	}
	return int(fd), 0
}

// Read reads what fits into buf; 0 is the end of the file.
func Read(fd int, buf []byte) (int, syscall.Errno) { return fill(unix.SYS_READ, fd, buf) }

// List reads entries of a directory, for Entry. 0 is the end.
func List(fd int, buf []byte) (int, syscall.Errno) { return fill(unix.SYS_GETDENTS64, fd, buf) }

func fill(call uintptr, fd int, buf []byte) (int, syscall.Errno) {
	for {
		n, _, errno := unix.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)))
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Entry returns the name of the first of the entries that List read, which is a part of them, and those after it.
func Entry(entries []byte) (name, rest []byte, ok bool) {
	const header = int(unsafe.Offsetof(unix.Dirent{}.Name))
	if len(entries) <= header {
		return nil, nil, false
	}
	size := int(binary.NativeEndian.Uint16(entries[unsafe.Offsetof(unix.Dirent{}.Reclen):]))
	if size <= header || size > len(entries) {
		return nil, nil, false
	}
	name, _, _ = bytes.Cut(entries[header:size], []byte{0})
	return name, entries[size:], true
}

// Readlink reads where a link of /proc leads, which asks no other file system. It waits for whoever lists the directory.
func Readlink(dir int, path *Path, buf []byte) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir), uintptr(path.pointer()),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	return int(n), errno
}

// Close closes a descriptor.
func Close(fd int) { _, _, _ = unix.Syscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// CloseNoWait is Close for a namespace, a pidfd, a file of /proc, and for what is not the last descriptor of its open file.
func CloseNoWait(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// Dup duplicates a descriptor. It returns NoFD if that fails.
func Dup(fd int) int {
	copied, _ := DupFrom(fd, 0)
	return copied
}

// DupFrom duplicates a descriptor to the first free number that is at least from.
func DupFrom(fd, from int) (int, syscall.Errno) {
	return descriptor(unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_DUPFD_CLOEXEC, uintptr(from)))
}

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
		_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dir), uintptr(path.pointer()), flags|statFlags,
			unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(&st)), 0)
		if errno != unix.EINTR {
			found.set(&st)
			return errno
		}
	}
}

// StatNoWait is Stat for a namespace, a pidfd, a socket and a file of /proc.
func StatNoWait(fd int, found *Status) syscall.Errno {
	var st unix.Statx_t
	_, _, errno := unix.RawSyscall6(unix.SYS_STATX, uintptr(fd), uintptr(noPath.pointer()), unix.AT_EMPTY_PATH|statFlags,
		unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(&st)), 0)
	found.set(&st)
	return errno
}

func (s *Status) set(st *unix.Statx_t) {
	*s = Status{
		Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino, Size: st.Size,
		Mode: uint32(st.Mode), Rdev: unix.Mkdev(st.Rdev_major, st.Rdev_minor),
	}
}
