package raw

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Cookie returns the 64-bit ID of a socket's network namespace (SO_NETNS_COOKIE, Linux 5.14), or ENOPROTOOPT.
func Cookie(socket int) (uint64, syscall.Errno) {
	var cookie uint64
	size := uint32(unsafe.Sizeof(cookie))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(socket), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE,
		uintptr(unsafe.Pointer(&cookie)), uintptr(unsafe.Pointer(&size)), 0)
	return cookie, errno
}

// NetworkOfSocket opens the network namespace of a socket. It requires CAP_NET_ADMIN over it; ENOTTY: it is no socket.
func NetworkOfSocket(socket int) (int, syscall.Errno) { return ioctl(socket, unix.SIOCGSKNS, 0) }

// NetworkOfTun opens the network namespace that a descriptor of /dev/net/tun has its device from. EBADFD: it has none.
func NetworkOfTun(tun int) (int, syscall.Errno) { return ioctl(tun, unix.TUNGETDEVNETNS, 0) }

// PeekFDs calls f with duplicates, which f owns, of the descriptors that came with the first message in a unix socket,
// and returns their number. The message stays there. EBUSY: SO_PEEK_OFF is set, which looking would change.
func PeekFDs(socket int, f func(fd int)) (int, syscall.Errno) {
	offset, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEEK_OFF)
	if err != nil {
		return 0, Errno(err)
	}
	if offset >= 0 {
		return 0, unix.EBUSY
	}
	const most = 253 // SCM_MAX_FD
	control, data := make([]byte, unix.CmsgSpace(most*4)+unix.CmsgSpace(64)), make([]byte, 1)
	const flags = unix.MSG_PEEK | unix.MSG_DONTWAIT | unix.MSG_CMSG_CLOEXEC
	_, got, _, _, err := unix.Recvmsg(socket, data, control, flags)
	if err != nil {
		return 0, Errno(err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:got])
	if err != nil {
		return 0, Errno(err)
	}
	count := 0
	for i := range messages {
		fds, _ := unix.ParseUnixRights(&messages[i])
		for _, fd := range fds {
			f(fd)
			count++
		}
	}
	return count, 0
}

// Errno returns the errno of an error that is nothing else, EIO for others and 0 for nil.
func Errno(err error) syscall.Errno {
	switch errno, ok := err.(syscall.Errno); {
	case ok:
		return errno
	case err == nil:
		return 0
	}
	return unix.EIO
}
