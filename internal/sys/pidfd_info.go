//go:build linux

package sys

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pidfdInfo is struct pidfd_info of linux/pidfd.h, in the size that 6.13 brought.
type pidfdInfo struct {
	Mask, CgroupID         uint64
	PID, TGID, PPID        uint32
	RUID, RGID, EUID, EGID uint32
	SUID, SGID, FSUID      uint32
	FSGID                  uint32
	ExitCode               int32
}

const (
	pidfdGetInfo = 0xc000ff0b | uint(unsafe.Sizeof(pidfdInfo{}))<<16
	pidfdInfoPID = 1 // mask: the PIDs are wanted
)

// info asks the pidfd who its process is (PIDFD_GET_INFO, 6.13).
func (p *Process) info() (pidfdInfo, error) {
	if pretended(PidfdInfo) || p.fd == nil {
		return pidfdInfo{}, ErrNotSupported
	}
	info := pidfdInfo{Mask: pidfdInfoPID}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(p.fd.Int()), uintptr(pidfdGetInfo), uintptr(unsafe.Pointer(&info)))
	runtime.KeepAlive(p)
	if errno != 0 {
		return pidfdInfo{}, errno
	}
	return info, nil
}
