//go:build linux

package sys

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// OSFile makes an os.File of a descriptor, which takes it over.
func OSFile(fd *FD, name string) *os.File { return os.NewFile(uintptr(fd.Disown()), name) }

// ScanOpenOn opens for reading what lies at path, if it is on the file system with that device number, and else is EINVAL.
// Nothing else is opened, whoever exchanges it meanwhile: it might not answer, or be a device for which that means something.
func ScanOpenOn(dev uint64, dir int, path *Path) (int, syscall.Errno) {
	found, errno := ScanOpen(dir, path, unix.O_PATH)
	if errno != 0 {
		return NoFD, errno
	}
	defer ScanClose(found)
	var st ScanStat
	if errno := scanStat(found, &Path{[]byte{0}}, unix.AT_EMPTY_PATH, &st); errno != 0 {
		return NoFD, errno
	}
	if st.Dev != dev {
		return NoFD, unix.EINVAL
	}
	proc, err := keptProcDir()
	if err != nil {
		return NoFD, errnoOf(err)
	}
	own := NewPath("thread-self/fd/" + strconv.Itoa(found))
	return ScanOpen(proc.raw, &own, ScanFile)
}

// NetworkOfOther opens the network namespace of another process's socket, or of its TUN or TAP descriptor.
func NetworkOfOther(pid, fd int, tun bool) (*FD, error) {
	own, err := takeFD(pid, fd)
	if err != nil {
		return nil, err
	}
	defer ScanClose(own)
	var st ScanStat
	if errno := QuickStat(own, &st); errno != 0 {
		return nil, errno
	}
	ask := ScanNetworkOfSocket
	if tun {
		ask = ScanNetworkOfTun
	} else if !st.IsSocket() {
		return nil, unix.ENOTSOCK
	}
	network, errno := ask(own)
	if errno != 0 {
		return nil, errno
	}
	return NewFD(network), nil
}

// NamespaceInFlight opens the namespace with that ID of which a descriptor waits in another process's unix socket. It
// goes on waiting there. ENOENT: the next message has none.
func NamespaceInFlight(pid, fd int, id species.NamespaceID) (*FD, error) {
	own, err := takeFD(pid, fd)
	if err != nil {
		return nil, err
	}
	defer ScanClose(own)
	var found *FD
	_, errno := PeekFDs(own, func(fd int) {
		if got, err := IDOf(fd); found == nil && err == nil && got == id {
			found = NewFD(fd)
		} else {
			ScanClose(fd)
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
		return NoFD, err
	}
	defer func() { _ = process.Close() }()
	own, errno := ScanGetFD(process.Int(), fd)
	if errno != 0 {
		return NoFD, errno
	}
	return own, nil
}
