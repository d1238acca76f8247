package sys

import (
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// NetworkOfOther opens the network namespace of another process's socket, or of its TUN or TAP descriptor.
func NetworkOfOther(pid, fd int, tun bool) (*FD, error) {
	own, err := takeFD(pid, fd)
	if err != nil {
		return nil, err
	}
	defer raw.Close(own)
	var st raw.Status
	if errno := raw.StatNoWait(own, &st); errno != 0 {
		return nil, errno
	}
	ask := raw.NetworkOfSocket
	if tun {
		ask = raw.NetworkOfTun
	} else if !st.IsSocket() {
		return nil, unix.ENOTSOCK
	}
	return Own(ask(own))
}

// NamespaceInFlight opens the namespace with that ID of which a descriptor waits in another process's unix socket. It
// goes on waiting there. ENOENT: the next message has none.
func NamespaceInFlight(pid, fd int, id species.NamespaceID) (*FD, error) {
	own, err := takeFD(pid, fd)
	if err != nil {
		return nil, err
	}
	defer raw.Close(own)
	var found *FD
	_, errno := raw.PeekFDs(own, func(fd int) {
		if got, err := IDOf(fd); found == nil && err == nil && got == id {
			found = NewFD(fd)
		} else {
			raw.Close(fd)
		}
	})
	switch {
	case errno != 0:
		return nil, errno
	case found == nil:
		return nil, unix.ENOENT
	}
	return found, nil
}

// takeFD returns a duplicate of another process's descriptor.
func takeFD(pid, fd int) (int, error) {
	process, err := OpenProcess(pid)
	if err != nil {
		return raw.NoFD, err
	}
	defer func() { _ = process.Close() }()
	own, errno := raw.GetFD(process.Int(), fd)
	return own, asError(errno)
}
