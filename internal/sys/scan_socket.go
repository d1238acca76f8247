//go:build linux

package sys

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// PeekFDs calls f with duplicates, which it owns, of the descriptors that came with the first message in a unix socket,
// and returns their number. The message stays where it is. A socket for which somebody set SO_PEEK_OFF is EBUSY: looking
// would change it.
func PeekFDs(socket int, f func(fd int)) (int, syscall.Errno) {
	offset, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_PEEK_OFF)
	if err != nil {
		return 0, errnoOf(err)
	}
	if offset >= 0 {
		return 0, unix.EBUSY
	}
	const most = 253 // SCM_MAX_FD
	control, data := make([]byte, unix.CmsgSpace(most*4)+unix.CmsgSpace(64)), make([]byte, 1)
	const flags = unix.MSG_PEEK | unix.MSG_DONTWAIT | unix.MSG_CMSG_CLOEXEC
	_, got, _, _, err := unix.Recvmsg(socket, data, control, flags)
	if err != nil {
		return 0, errnoOf(err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:got])
	if err != nil {
		return 0, errnoOf(err)
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

func errnoOf(err error) syscall.Errno {
	if errno, ok := err.(syscall.Errno); ok {
		return errno
	}
	return unix.EIO
}
