package sys

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// IDOf returns the identity of the file behind fd, of whatever kind it is.
func IDOf(fd int) (species.NamespaceID, error) {
	var st unix.Stat_t
	if err := Retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return species.NoneID, err
	}
	return species.NamespaceID{Dev: uint64(st.Dev), Ino: st.Ino}, nil //nolint:unconvert // it has 32 bits on mips
}

// TypeOf returns the type of the namespace behind fd, and EINVAL if that is none. Another kind of file could answer, too,
// so the file system is asked first.
func TypeOf(fd int) (species.NamespaceType, error) {
	if err := CheckNsfs(fd); err != nil {
		return species.NaNS, err
	}
	t, errno := raw.Type(fd)
	return t, asError(errno)
}

// OpenNamespace opens the namespace at path. A path to anything else is EINVAL, found out before it is opened: opening
// a FIFO or a device could hang or have effects. Should it be exchanged meanwhile, O_NONBLOCK limits the damage.
func OpenNamespace(path string) (*FD, error) {
	var fs unix.Statfs_t
	if err := Retry(func() error { return unix.Statfs(path, &fs) }); err != nil {
		return nil, err
	}
	if fs.Type != unix.NSFS_MAGIC {
		return nil, unix.EINVAL
	}
	return openNamespace(path)
}

// OpenNamespaceOn is OpenNamespace when the device number of namespaces is known: what lies at path is not asked then
// whether it is one, which a file system might not answer, and nothing else is opened in any case.
func OpenNamespaceOn(dev uint64, path string) (*FD, error) {
	text := raw.NewPath(path)
	return Own(OpenOn(dev, raw.CurrentDir, &text))
}

func openNamespace(path string) (*FD, error) {
	fd, err := open(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	if _, err := TypeOf(fd.Int()); err != nil {
		_ = fd.Close()
		return nil, err
	}
	return fd, nil
}

// Setns moves the calling thread into the namespace of fd, or with a pidfd into those of its process that mask names.
func Setns(fd, mask int) error {
	return asError(raw.Setns(fd, species.NamespaceType(mask)))
}

// Unshare gives the calling thread what mask names for its own.
func Unshare(mask int) error {
	return Retry(func() error { return unix.Unshare(mask) })
}

func idOfFD(f *FD, err error) (species.NamespaceID, error) {
	if err != nil {
		return species.NoneID, err
	}
	defer runtime.KeepAlive(f)
	defer func() { _ = f.Close() }()
	return IDOf(f.Int())
}

// IsNamespace says whether a namespace of type t is at path.
func IsNamespace(path string, t species.NamespaceType) bool {
	fd, err := OpenNamespace(path)
	if err != nil {
		return false
	}
	defer func() { _ = fd.Close() }()
	found, err := TypeOf(fd.Int())
	return err == nil && found == t
}

// CheckNsfs returns EINVAL unless fd, which may be of the kind that cannot be read (O_PATH), is on the file system of
// namespaces.
func CheckNsfs(fd int) error {
	var fs unix.Statfs_t
	if err := Retry(func() error { return unix.Fstatfs(fd, &fs) }); err != nil {
		return err
	}
	if fs.Type != unix.NSFS_MAGIC {
		return unix.EINVAL
	}
	return nil
}
