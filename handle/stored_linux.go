package handle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// Portable is a reference as plain data, for another program or a later time: where the namespace was, and how to tell
// that it is the same. It keeps nothing alive, and is valid until the next boot, where paths and PIDs mean the same.
//
// One that was not made by NewPortable must have NSID, which may lack the device number, and NSType, and a path, a PID
// or a 64-bit ID; EINVAL otherwise. Other fields that are zero are not compared.
type Portable struct {
	NSID   species.NamespaceID   `json:"id"`
	NSType species.NamespaceType `json:"type"`
	Serial uint64                `json:"serial,omitempty"` // see the function Serial; 0 if the kernel has none
	Path   string                `json:"path,omitempty"`   // where it was, absolute
	PID    int                   `json:"pid,omitempty"`    // of a process that was in it
	Start  uint64                `json:"start,omitempty"`  // of that process, in clock ticks after boot
}

// NewPortable returns what is known of a reference. A [NamespacePath] keeps its path, a [ProcessNamespace] its process;
// for others, such as a handle, the 64-bit ID is enough (Linux 6.18), and ErrNotSupported before.
func NewPortable(ref Relation) (Portable, error) {
	p, err := query("identity", ref, identify)
	if err != nil {
		return Portable{}, err
	}
	if err := p.addPlace(ref); err != nil {
		return Portable{}, failed("place", ref, err)
	}
	return p, nil
}

// identify returns a Portable without a place.
func identify(fd int, t species.NamespaceType) (Portable, error) {
	id, err := sys.IDOf(fd)
	if err != nil {
		return Portable{}, err
	}
	serial, err := sys.SerialOf(fd, t)
	if sys.IsMissing(err) {
		err = nil
	}
	return Portable{NSID: id, NSType: t, Serial: serial}, err
}

// addPlace adds where the namespace was found.
func (p *Portable) addPlace(ref Relation) (err error) {
	if typed, ok := ref.(*TypedNamespacePath); ok {
		ref = typed.ref
	}
	switch r := ref.(type) {
	case NamespacePath:
		p.Path, err = filepath.Abs(string(r))
	case ProcessNamespace:
		stat, statErr := r.process.p.Stat()
		p.PID, p.Start = r.process.pid, stat.Start
		err = ended(r.process.p, statErr)
	default:
		if _, err := NewFileHandle(ref); p.Serial == 0 || err != nil {
			return fmt.Errorf("%w: a reference without a path requires Linux 6.18", ErrNotSupported)
		}
	}
	return err
}

// Open opens the namespace, which the caller closes. ErrStale: what is there now is another one, or nothing.
func (p Portable) Open() (*NamespaceFile, error) {
	fd, err := p.open()
	if err != nil {
		return nil, invalid(p, err)
	}
	return ownFile(p.String(), fd), nil
}

// NsFd opens the namespace; see Open.
func (p Portable) NsFd() (int, FdCloser, error) {
	fd, err := p.open()
	return opened(p, fd, err)
}

func (p Portable) open() (*sys.FD, error) {
	if lacking := p.lacking(); lacking != "" {
		return nil, fmt.Errorf("incomplete, without %s: %w", lacking, syscall.EINVAL)
	}
	fd, err := p.find()
	for _, gone := range []error{fs.ErrNotExist, syscall.ESRCH, syscall.ESTALE, syscall.EINVAL} {
		if errors.Is(err, gone) {
			return nil, fmt.Errorf("%w: %w", ErrStale, err)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := p.compare(fd.Int()); err != nil {
		_ = fd.Close()
		return nil, err
	}
	return fd, nil
}

// lacking names what is needed to find the namespace, "" if nothing is lacking.
func (p Portable) lacking() string {
	switch {
	case p.NSType.Name() == "":
		return "a type"
	case p.NSID.Ino == 0:
		return "an ID"
	case p.PID < 0, p.PID == 0 && p.Path == "" && p.Serial == 0:
		return "a path, PID or 64-bit ID"
	}
	return ""
}

// find opens what is there now.
func (p Portable) find() (*sys.FD, error) {
	switch {
	case p.PID != 0:
		return ofProcess(p.PID, p.findIn)
	case p.Path != "":
		return openPath(p.Path)
	}
	return sys.Own(sys.OpenHandle(raw.Handle{Serial: p.Serial, Type: p.NSType, Inode: uint32(p.NSID.Ino)}))
}

func (p Portable) findIn(process *sys.Process) (*sys.FD, error) {
	stat, err := process.Stat()
	if err != nil {
		return nil, err
	}
	if stat.Start != p.Start && p.Start != 0 {
		return nil, fmt.Errorf("%w: the PID is that of another process", ErrStale)
	}
	return process.OpenNamespace(p.NSType)
}

// compare returns ErrStale unless it is the same namespace.
func (p Portable) compare(fd int) error {
	now, err := query("identity", NamespaceFd(fd), identify)
	switch {
	case err != nil:
		return err
	case now.NSType != p.NSType:
		return fmt.Errorf("%w: it is a %s namespace", ErrStale, now.NSType.Name())
	case now.NSID.Ino != p.NSID.Ino || now.NSID != p.NSID && p.NSID.Dev != 0:
		return fmt.Errorf("%w: the namespace is %s", ErrStale, now.NSID)
	case now.Serial != p.Serial && now.Serial != 0 && p.Serial != 0:
		return fmt.Errorf("%w: the inode number was given to a later namespace", ErrStale)
	}
	return nil
}

// String returns the link text and where it was found.
func (p Portable) String() string {
	text := p.NSID.LinkText(p.NSType)
	switch {
	case text == "":
		return "no namespace"
	case p.PID != 0:
		return fmt.Sprintf("%s of process %d", text, p.PID)
	case p.Path != "":
		return text + " at " + p.Path
	}
	return text
}

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
			serial, err = inside(sys.NetworkCookie, NamespaceFd(fd))
		}
		return serial, notSupported(err, feature)
	})
}

// notSupported names the feature and its first kernel, if that is what the error is about.
func notSupported(err error, feature sys.Feature) error {
	if sys.IsMissing(err) {
		return feature.Missing(err)
	}
	return err
}
