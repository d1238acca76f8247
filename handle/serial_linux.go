package handle

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// FileHandle refers to a namespace without keeping it alive, and never to another one: it can be stored, compared with
// ==, and used until the next boot. It is what open_by_handle_at(2) takes for namespaces (6.18).
type FileHandle struct {
	Serial uint64                // see the function Serial
	NSType species.NamespaceType // one of the eight
	Inode  uint32                // of the NamespaceID
}

// NewFileHandle returns the file handle of a namespace. ErrNotSupported before 6.18.
func NewFileHandle(ref Relation) (FileHandle, error) {
	return query("file handle", ref, func(fd int, _ species.NamespaceType) (FileHandle, error) {
		h, err := sys.HandleOf(fd)
		return FileHandle{h.Serial, h.Type, h.Inode}, notSupported(err, sys.NamespaceHandles)
	})
}

// NsFd opens the namespace. ErrStale: it is gone, or the caller lacks the rights over it, which the kernel does not
// tell apart: one needs to be in the namespace, or CAP_SYS_ADMIN over it. ErrNotSupported before 6.18.
func (h FileHandle) NsFd() (int, FdCloser, error) {
	fd, err := sys.Own(sys.OpenHandle(raw.Handle{Serial: h.Serial, Type: h.NSType, Inode: h.Inode}))
	switch {
	case errors.Is(err, syscall.ESTALE):
		err = fmt.Errorf("%w: %w", ErrStale, err)
	case errors.Is(err, syscall.EBADF):
		err = sys.NamespaceHandles.Missing(err)
	default:
		err = notSupported(err, sys.NamespaceHandles)
	}
	return opened(h, fd, err)
}

// String returns "handle", the link text and the 64-bit ID.
func (h FileHandle) String() string {
	return fmt.Sprintf("handle %s:[%d]#%d", typeWord(h.NSType), h.Inode, h.Serial)
}

const fileHandleSize = 16

// MarshalBinary returns 16 bytes in big-endian order: 64-bit ID, type, inode number.
func (h FileHandle) MarshalBinary() ([]byte, error) {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, fileHandleSize), h.Serial)
	b = binary.BigEndian.AppendUint32(b, uint32(h.NSType))
	return binary.BigEndian.AppendUint32(b, h.Inode), nil
}

// UnmarshalBinary takes what MarshalBinary returned. Anything else is EINVAL.
func (h *FileHandle) UnmarshalBinary(b []byte) error {
	if len(b) != fileHandleSize {
		return &Error{Op: "parse", Ref: "file handle", Err: fmt.Errorf("%d bytes: %w", len(b), syscall.EINVAL)}
	}
	t := species.NamespaceType(binary.BigEndian.Uint32(b[8:]))
	if t.Name() == "" {
		return &Error{Op: "parse", Ref: "file handle", Err: fmt.Errorf("no type: %w", syscall.EINVAL)}
	}
	*h = FileHandle{binary.BigEndian.Uint64(b), t, binary.BigEndian.Uint32(b[12:])}
	return nil
}

// Serial returns the number of a namespace that no other has or will have until the next boot, unlike its inode number.
// It needs 6.18; for a mount namespace 6.11; for a network namespace 5.14 and the rights to join it ([Go]), as a thread
// has to look. ErrNotSupported otherwise.
func Serial(ref Relation) (uint64, error) {
	return query("64-bit ID", ref, func(fd int, t species.NamespaceType) (uint64, error) {
		serial, err := sys.SerialOf(fd, t)
		if sys.IsMissing(err) && t == species.CLONE_NEWNET {
			serial, err = cookie(fd)
		}
		return serial, notSupported(err, serials(t))
	})
}

// serials returns what the kernel needs for the 64-bit ID of a namespace.
func serials(t species.NamespaceType) sys.Feature {
	switch t {
	case species.CLONE_NEWNS:
		return sys.MountSerials
	case species.CLONE_NEWNET:
		return sys.NetworkCookies
	default:
		return sys.NamespaceSerials
	}
}

func cookie(fd int) (cookie uint64, err error) {
	failed, err := Execute(func() (err error) {
		cookie, err = sys.NetworkCookie()
		return err
	}, NamespaceFd(fd))
	return cookie, cmp.Or(err, failed)
}

// notSupported names the feature and its first kernel, if that is what the error is about.
func notSupported(err error, feature sys.Feature) error {
	if sys.IsMissing(err) {
		return feature.Missing(err)
	}
	return err
}
