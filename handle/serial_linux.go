package handle

import (
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

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

func cookie(fd int) (uint64, error) {
	type answer struct {
		cookie uint64
		err    error
	}
	got, err := Execute(func() answer {
		cookie, err := sys.NetworkCookie()
		return answer{cookie, err}
	}, NamespaceFd(fd))
	if err != nil {
		return 0, err
	}
	return got.cookie, got.err
}
