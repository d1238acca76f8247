package raw

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// These lines do not compile, on any architecture, if the direction or the size of a computed request is in another place
// than in those that x/sys has.
var (
	_ = [1]int{}[unix.NS_GET_MNTNS_ID-(reads|8<<16|0xb7<<8|5)]
	_ = [1]int{}[unix.NS_GET_PID_FROM_PIDNS-(reads|4<<16|0xb7<<8|6)]
	_ = [1]int{}[unix.NS_GET_TGID_IN_PIDNS-(reads|4<<16|0xb7<<8|9)]
	_ = [1]int{}[unix.NS_GET_ID-(reads|8<<16|0xb7<<8|13)]
	_ = [1]int{}[unix.RNDGETENTCNT-(reads|4<<16|'R'<<8)]
	_ = [1]int{}[unix.TUNGETIFF-(reads|4<<16|'T'<<8|210)]
	_ = [1]int{}[MountInfoRequest-(reads|unsafe.Sizeof(mountNamespaceInfo{})<<16|0xb7<<8|10)]
	_ = [1]int{}[unix.PIDFD_GET_INFO-(0xc0000000|unsafe.Sizeof(unix.PidfdInfo{})<<16|0xff<<8|11)] // for both directions
)
