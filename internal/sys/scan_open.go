//go:build linux

package sys

import (
	"os"

	"golang.org/x/sys/unix"
)

// OSFile makes an os.File of a descriptor, which takes it over.
func OSFile(fd *FD, name string) *os.File { return os.NewFile(uintptr(fd.Disown()), name) }

// NetworkOfOther opens the network namespace of another process's socket, or of its TUN or TAP descriptor.
func NetworkOfOther(pid, fd int, tun bool) (*FD, error) {
	process, err := OpenProcess(pid)
	if err != nil {
		return nil, err
	}
	defer func() { _ = process.Close() }()
	own, errno := ScanGetFD(process.Int(), fd)
	if errno != 0 {
		return nil, errno
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
