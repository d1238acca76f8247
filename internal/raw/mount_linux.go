package raw

import (
	"bytes"
	"encoding/binary"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mountRequest is struct mnt_id_req of linux/mount.h.
type mountRequest struct {
	size, _   uint32
	mount     uint64
	param     uint64
	namespace uint64
}

// ListMounts appends the unique IDs of the mounts of a mount namespace, which is given by its 64-bit ID (listmount(2),
// Linux 6.8; of other namespaces than the caller's 6.11). ENOENT: there is none, or it requires CAP_SYS_ADMIN over it.
func ListMounts(namespace uint64, ids []uint64) ([]uint64, syscall.Errno) {
	const fromRoot = ^uint64(0) // LSMT_ROOT
	request := mountRequest{size: unix.MNT_ID_REQ_SIZE_VER1, mount: fromRoot, namespace: namespace}
	return list(unix.SYS_LISTMOUNT, unsafe.Pointer(&request), &request.param, ids)
}

// MountStat is what StatMount tells of a mount. The texts are parts of the caller's buffer.
type MountStat struct {
	Magic                     uint64 // of the file system
	Major, Minor              uint32
	ID                        uint64 // unique
	OldID, OldParent          uint32 // those of mountinfo
	Propagation               uint64
	PeerGroup, Master         uint64
	Root, Point, Type, Source []byte
}

// What StatMount is to tell.
const (
	MountSuper  = 0x1   // STATMOUNT_SB_BASIC: Magic, Major, Minor
	MountBasics = 0x2   // STATMOUNT_MNT_BASIC: IDs, propagation
	MountTexts  = 0x38  // STATMOUNT_MNT_ROOT, _MNT_POINT, _FS_TYPE: Root, Point, Type
	MountSource = 0x200 // STATMOUNT_SB_SOURCE, Linux 6.13

	statMountBuf = 512 + 3*4096 // more is asked for when it does not suffice
)

// StatMount asks about one mount of a mount namespace (statmount(2), Linux 6.8), and returns the buffer for the next
// call. ENOENT: the mount is gone. Its point is empty if neither the caller's root nor that of the namespace leads
// there.
func StatMount(namespace, mount, mask uint64, buf []byte, found *MountStat) ([]byte, syscall.Errno) {
	request := mountRequest{size: unix.MNT_ID_REQ_SIZE_VER1, mount: mount, param: mask, namespace: namespace}
	if len(buf) < statMountBuf {
		buf = make([]byte, statMountBuf)
	}
	for {
		_, _, errno := unix.Syscall6(unix.SYS_STATMOUNT, uintptr(unsafe.Pointer(&request)),
			uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0, 0)
		const limit = 1 << 20
		switch {
		case errno == unix.EOVERFLOW && len(buf) < limit:
			buf = make([]byte, 2*len(buf))
		case errno == unix.EINTR:
		case errno != 0:
			return buf, errno
		default:
			parseStatMount(buf, found)
			return buf, 0
		}
	}
}

// parseStatMount reads struct statmount of linux/mount.h.
func parseStatMount(b []byte, found *MountStat) {
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	u64 := func(at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
	mask := u64(8)
	text := func(at int, bit uint64) []byte {
		const texts = 512
		if start := texts + int(u32(at)); mask&bit != 0 && start < len(b) {
			s, _, _ := bytes.Cut(b[start:], []byte{0})
			return s
		}
		return nil
	}
	*found = MountStat{
		Major: u32(16), Minor: u32(20), Magic: u64(24),
		ID: u64(40), OldID: u32(56), OldParent: u32(60), Propagation: u64(72),
		PeerGroup: u64(80), Master: u64(88),
		Type: text(36, 0x20), Root: text(104, 0x8), Point: text(108, 0x10), Source: text(124, MountSource),
	}
}

// mountNamespaceInfo is struct mnt_ns_info of linux/nsfs.h.
type mountNamespaceInfo struct {
	size, mounts uint32
	id           uint64
}

// CountMounts returns the number of mounts in the mount namespace behind fd (Linux 6.12).
func CountMounts(fd int) (int, syscall.Errno) {
	info := mountNamespaceInfo{size: unix.MNT_NS_INFO_SIZE_VER0}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), MountInfoRequest, uintptr(unsafe.Pointer(&info)))
	return int(info.mounts), errno
}

// NextMountNamespace opens the mount namespace that was made after the one behind fd, or before it, whoever has it (Linux
// 6.12). It requires CAP_SYS_ADMIN in the initial user namespace: EPERM. ENOENT: there is no further one.
func NextMountNamespace(fd int, before bool) (int, syscall.Errno) {
	request := uintptr(NextMountNamespaceRequest)
	if before {
		request = PreviousMountNamespaceRequest
	}
	info := mountNamespaceInfo{size: unix.MNT_NS_INFO_SIZE_VER0}
	return descriptor(unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&info))))
}
