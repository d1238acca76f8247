//go:build linux

package sys

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls in files named scan_ are made tens of thousands of times by one discovery: they allocate nothing, know
// neither FD nor error, and hand over plain numbers, for which the caller is responsible. Those that can wait for a
// file system, a lock or another process tell the Go scheduler; those named Quick are not interrupted by signals, and those
// that wait for nothing do not tell it either.

// NoFD is what the calls return in place of a descriptor if there is an error.
const NoFD = -1

// Path is a path as the kernel reads it, which is made once and used often.
type Path struct{ text []byte }

// NewPath returns the Path of a text without zero bytes; of others, the part before the first.
func NewPath(text string) Path { return Path{append([]byte(text), 0)} }

// Number sets the path to a number in decimal, without allocating the second time.
func (p *Path) Number(n int) *Path {
	p.text = append(appendDecimal(p.text[:0], n), 0)
	return p
}

// Below sets the path to one below a directory whose name is a number.
func (p *Path) Below(n int, path *Path) *Path {
	p.text = append(append(appendDecimal(p.text[:0], n), '/'), path.text...)
	return p
}

// Set sets the path to a text without zero bytes.
func (p *Path) Set(text []byte) *Path {
	p.text = append(append(p.text[:0], text...), 0)
	return p
}

func appendDecimal(b []byte, n int) []byte {
	var digits [20]byte
	i := len(digits)
	for {
		i--
		digits[i] = byte('0' + n%10)
		if n /= 10; n <= 0 {
			return append(b, digits[i:]...)
		}
	}
}

func (p *Path) pointer() uintptr { return uintptr(unsafe.Pointer(&p.text[0])) }

// What ScanOpen opens.
const (
	ScanDir  = unix.O_RDONLY | unix.O_DIRECTORY // to list
	ScanBase = unix.O_PATH | unix.O_DIRECTORY   // to find paths from
	ScanFile = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY
)

// ScanOpen opens what lies at path below the directory dir.
func ScanOpen(dir int, path *Path, flags int) (int, syscall.Errno) {
	for {
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), path.pointer(), uintptr(flags|unix.O_CLOEXEC|unix.O_LARGEFILE), 0, 0, 0)
		if errno == 0 {
			return int(fd), 0
		}
		if errno != unix.EINTR {
			return NoFD, errno
		}
	}
}

// QuickOpen is ScanOpen of what is in the directory of a process, whose paths have no links. It waits for whoever lists
// the directory.
func QuickOpen(dir int, path *Path, flags int) (int, syscall.Errno) {
	fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), path.pointer(), uintptr(flags|unix.O_CLOEXEC|unix.O_LARGEFILE), 0, 0, 0)
	if errno != 0 {
		return NoFD, errno
	}
	return int(fd), 0
}

// QuickRead is ScanRead of a file whose text the kernel makes from what it has at hand. It may wait for a process that
// executes a program.
func QuickRead(fd int, buf []byte) (int, syscall.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// ScanRead reads what fits into buf; 0 is the end of the file.
func ScanRead(fd int, buf []byte) (int, syscall.Errno) { return scanBuffer(unix.SYS_READ, fd, buf) }

// ScanList reads entries of a directory; ScanEntries takes them apart. 0 is the end.
func ScanList(fd int, buf []byte) (int, syscall.Errno) {
	return scanBuffer(unix.SYS_GETDENTS64, fd, buf)
}

func scanBuffer(call uintptr, fd int, buf []byte) (int, syscall.Errno) {
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

// ScanEntry returns the name of the first of the entries that ScanList read, and those after it; ok is false if there
// is none. The name is a part of entries.
func ScanEntry(entries []byte) (name, rest []byte, ok bool) {
	const header = 19 // struct linux_dirent64 up to d_name
	if len(entries) <= header {
		return nil, nil, false
	}
	size := int(entries[16]) | int(entries[17])<<8
	if hostIsBigEndian {
		size = int(entries[17]) | int(entries[16])<<8
	}
	if size <= header || size > len(entries) {
		return nil, nil, false
	}
	name = entries[header:size]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	return name, entries[size:], true
}

var hostIsBigEndian = func() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 0
}()

// QuickReadlink reads where a link of /proc leads, which asks no file system. It waits for whoever lists the directory.
func QuickReadlink(dir int, path *Path, buf []byte) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir), path.pointer(), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
	return int(n), errno
}

// ScanClose closes a descriptor.
func ScanClose(fd int) { _, _, _ = unix.Syscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// QuickClose closes a descriptor that is not the last of its open file, or one of /proc: nothing waits for that.
func QuickClose(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// ScanStat is what QuickStat finds out.
type ScanStat struct {
	Dev, Ino, Size uint64
	UID, GID       uint32
	Mode           uint32
	Rdev           uint64 // of a device; not told by QuickStat
}

// QuickStat looks at a descriptor on nsfs, pidfs, sockfs or /proc.
func QuickStat(fd int, found *ScanStat) syscall.Errno {
	var st unix.Stat_t
	_, _, errno := unix.RawSyscall(unix.SYS_FSTAT, uintptr(fd), uintptr(unsafe.Pointer(&st)), 0)
	*found = ScanStat{Dev: st.Dev, Ino: st.Ino, Size: uint64(st.Size), UID: st.Uid, GID: st.Gid, Mode: st.Mode}
	return errno
}

// ScanStatAt looks at what lies at path, after following it, with what is known of it: no server is asked.
func ScanStatAt(dir int, path *Path, found *ScanStat) syscall.Errno {
	return scanStat(dir, path, 0, found)
}

func scanStat(dir int, path *Path, flags uintptr, found *ScanStat) syscall.Errno {
	var st unix.Statx_t
	flags |= unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT
	for {
		_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(dir), path.pointer(), flags, unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(&st)), 0)
		if errno == unix.EINTR {
			continue
		}
		*found = ScanStat{Dev: unix.Mkdev(st.Dev_major, st.Dev_minor), Ino: st.Ino, Size: st.Size, UID: st.Uid, GID: st.Gid, Mode: uint32(st.Mode), Rdev: unix.Mkdev(st.Rdev_major, st.Rdev_minor)}
		return errno
	}
}

// ScanStatOf looks at any descriptor with what is known of its file: no server is asked.
func ScanStatOf(fd int, found *ScanStat) syscall.Errno {
	return scanStat(fd, &noPath, unix.AT_EMPTY_PATH, found)
}

var noPath = NewPath("")

// IsSocket says whether it is a socket.
func (s *ScanStat) IsSocket() bool { return s.Mode&unix.S_IFMT == unix.S_IFSOCK }

// IsTun says whether it is the device that makes TUN and TAP devices.
func (s *ScanStat) IsTun() bool {
	const major, minor = 10, 200
	return s.Mode&unix.S_IFMT == unix.S_IFCHR && s.Rdev == unix.Mkdev(major, minor)
}

// CurrentDir is the directory for ScanOpen of paths that are absolute, or found from where the process is.
const CurrentDir = unix.AT_FDCWD
