package handle

import (
	"fmt"
	"runtime"
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
)

// GetFromSocket returns a handle of the network namespace of a socket, which is that in which the socket was made, not
// where its user is. The caller closes it. It takes CAP_NET_ADMIN over the namespace (EPERM); EINVAL: fd is no socket.
// It needs 4.10 (SIOCGSKNS).
func GetFromSocket(fd int) (NsHandle, error) {
	found, err := sys.NetworkOfSocket(fd)
	if err == syscall.ENOTTY { //nolint:errorlint // it comes from the system call
		err = fmt.Errorf("no socket: %w", syscall.EINVAL)
	}
	return network.own(found, "socket "+strconv.Itoa(fd), sys.ExplainSocket(err))
}

// GetFromConn is GetFromSocket for a connection or listener of package net.
func GetFromConn(conn syscall.Conn) (NsHandle, error) {
	ns := None()
	raw, err := conn.SyscallConn()
	if err != nil {
		return ns, network.err("open", "connection", err)
	}
	var found error
	err = raw.Control(func(fd uintptr) { ns, found = GetFromSocket(int(fd)) })
	runtime.KeepAlive(conn)
	if err != nil {
		return None(), network.err("open", "connection", err)
	}
	return ns, found
}
