//go:build linux

package sys

import (
	"errors"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

// maxSearch is how many 64-bit IDs are tried: for a second or so.
const maxSearch = 3 << 20

// SearchNamespace opens the namespace with that type and inode number by trying 64-bit IDs down from somewhat beyond the
// highest known, since most namespaces that are there were made lately (6.18). ESTALE: there is none, or the caller lacks the rights.
func SearchNamespace(t species.NamespaceType, inode uint32, highest uint64, stop <-chan struct{}) (*FD, error) {
	beyond := highest + 4096*uint64(runtime.NumCPU()+1) // each processor has that many in store
	for serial, tries := beyond, 0; serial > 0 && tries < maxSearch; serial, tries = serial-1, tries+1 {
		fd, err := NamespaceHandle{Serial: serial, Type: t, Inode: inode}.Open()
		if err == nil || !errors.Is(err, unix.ESTALE) {
			return fd, err
		}
		select {
		case <-stop:
			return nil, unix.EINTR
		default:
		}
	}
	return nil, unix.ESTALE
}

// namespaceRequest is struct ns_id_req of linux/nsfs.h.
type namespaceRequest struct {
	size, _ uint32
	after   uint64
	kind, _ uint32
	owner   uint64 // 0: any
}

// ListNamespaces returns the 64-bit IDs of all active namespaces of a type (listns(2), 6.19). ENOSYS: the kernel has no
// such call.
func ListNamespaces(t species.NamespaceType) ([]uint64, syscall.Errno) {
	const batch, listns = 512, 470
	request := namespaceRequest{size: uint32(unsafe.Sizeof(namespaceRequest{})), kind: uint32(t)}
	var ids []uint64
	for {
		start := len(ids)
		ids = append(ids, make([]uint64, batch)...)
		n, _, errno := unix.Syscall6(listns, uintptr(unsafe.Pointer(&request)), uintptr(unsafe.Pointer(&ids[start])), batch, 0, 0, 0)
		if errno != 0 {
			return ids[:start], errno
		}
		ids = ids[:start+int(n)]
		if n < batch {
			return ids, 0
		}
		request.after = ids[len(ids)-1]
	}
}
