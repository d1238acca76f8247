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
// ==, and used until the next boot. It is what open_by_handle_at(2) takes for namespaces (Linux 6.18).
type FileHandle struct {
	Serial uint64                // see the function Serial
	NSType species.NamespaceType // one of the eight
	Inode  uint32                // of the NamespaceID
}

// NewFileHandle returns the file handle of a namespace. ErrNotSupported before Linux 6.18.
func NewFileHandle(ref Relation) (FileHandle, error) {
	return query("file handle", ref, func(fd int, _ species.NamespaceType) (FileHandle, error) {
		h, err := sys.HandleOf(fd)
		return FileHandle{h.Serial, h.Type, h.Inode}, notSupported(err, sys.NamespaceHandles)
	})
}

// NsFd opens the namespace. ErrStale: it is gone, or the caller lacks the rights over it, which the kernel does not
// tell apart: one needs to be in the namespace, or CAP_SYS_ADMIN over it. ErrNotSupported before Linux 6.18.
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

// encoded is a FileHandle in its binary form.
type encoded struct {
	Serial      uint64
	Type, Inode uint32
}

// MarshalBinary returns 16 bytes in big-endian order: 64-bit ID, type, inode number.
func (h FileHandle) MarshalBinary() ([]byte, error) {
	return binary.Append(nil, binary.BigEndian, encoded{h.Serial, uint32(h.NSType), h.Inode})
}

// UnmarshalBinary reads what MarshalBinary returned. Anything else is EINVAL.
func (h *FileHandle) UnmarshalBinary(b []byte) error {
	var e encoded
	n, err := binary.Decode(b, binary.BigEndian, &e)
	t := species.NamespaceType(e.Type)
	if err != nil || n != len(b) || t.Name() == "" {
		err = fmt.Errorf("%d bytes, namespace type %s: %w", len(b), typeWord(t), syscall.EINVAL)
		return &Error{Op: "parse", Ref: "file handle", Err: err}
	}
	*h = FileHandle{e.Serial, t, e.Inode}
	return nil
}

// Serial returns the number of a namespace that no other has or will have until the next boot, unlike its inode number.
// It requires Linux 6.18; for a mount namespace 6.11; for a network namespace 5.14 and the rights to join it ([Go]), as
// a thread has to look. ErrNotSupported otherwise.
func Serial(ref Relation) (uint64, error) {
	return query("64-bit ID", ref, func(fd int, t species.NamespaceType) (uint64, error) {
		feature := sys.NamespaceSerials
		switch t {
		case species.CLONE_NEWNS:
			feature = sys.MountSerials
		case species.CLONE_NEWNET:
			feature = sys.NetworkCookies
		}
		serial, err := sys.SerialOf(fd, t)
		if sys.IsMissing(err) && t == species.CLONE_NEWNET {
			serial, err = cookie(fd)
		}
		return serial, notSupported(err, feature)
	})
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
