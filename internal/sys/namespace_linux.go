package sys

import (
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// IDOf returns the identity of the file behind fd, of whatever kind it is.
func IDOf(fd int) (species.NamespaceID, error) {
	st, err := fstat(fd)
	if err != nil {
		return species.NoneID, err
	}
	return species.NamespaceID{Dev: uint64(st.Dev), Ino: st.Ino}, nil //nolint:unconvert // it has 32 bits on mips
}

// TypeOf returns the type of the namespace behind fd; EINVAL: it is none. Other files may answer the ioctl, too.
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
	fs, err := statfsAt(path)
	switch {
	case err != nil:
		return nil, err
	case fs.Type != unix.NSFS_MAGIC:
		return nil, unix.EINVAL
	}
	fd, err := openFile(raw.CurrentDir, path, raw.ForReading)
	if err != nil {
		return nil, err
	}
	_, err = TypeOf(fd.Int())
	return orClose(fd, err)
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
	defer func() { _ = f.Close() }()
	return IDOf(f.Int())
}

// IsNamespace reports whether a namespace of type t is at path.
func IsNamespace(path string, t species.NamespaceType) bool {
	fd, err := OpenNamespace(path)
	defer func() { _ = fd.Close() }()
	found, errno := raw.Type(fd.Int())
	return err == nil && errno == 0 && found == t
}

// CheckNsfs returns EINVAL unless fd, which may be an O_PATH one, is on the file system of namespaces.
func CheckNsfs(fd int) error { return isOn(fd, unix.NSFS_MAGIC, unix.EINVAL) }

// OwnerUIDOf is raw.OwnerUID.
func OwnerUIDOf(fd int) (int, error) {
	uid, errno := raw.OwnerUID(fd)
	return int(uid), asError(errno)
}

// OnlyTrustedMade reports whether root or the calling user has made the user namespace, and each one between it and the
// caller's own: who makes one has all rights over the processes in it.
func OnlyTrustedMade(user *FD) bool {
	ours, err := ThreadNamespaceID(species.CLONE_NEWUSER)
	if err != nil {
		return false
	}
	if id, err := IDOf(user.Int()); err != nil || id == ours {
		return err == nil
	}
	if owner, err := OwnerUIDOf(user.Int()); err != nil || owner != 0 && owner != unix.Geteuid() {
		return false
	}
	parent, err := Own(raw.Parent(user.Int()))
	if err != nil {
		return false
	}
	defer func() { _ = parent.Close() }()
	return OnlyTrustedMade(parent)
}

// SerialOf returns the 64-bit ID of the namespace of type t behind fd (Linux 6.18; mnt 6.11), or ENOTTY.
func SerialOf(fd int, t species.NamespaceType) (uint64, error) {
	serial, errno := uint64(0), unix.ENOTTY
	if !pretended(NamespaceSerials) {
		serial, errno = raw.Serial(fd)
	}
	if errno == unix.ENOTTY && t == species.CLONE_NEWNS && !pretended(MountSerials) {
		serial, errno = raw.MountSerial(fd)
	}
	return serial, asError(errno)
}

// NetworkCookie is raw.Cookie for the calling thread.
func NetworkCookie() (uint64, error) {
	if pretended(NetworkCookies) {
		return 0, unix.ENOPROTOOPT
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer raw.Close(socket)
	cookie, errno := raw.Cookie(socket)
	return cookie, asError(errno)
}

// PIDFrom is raw.PIDFrom.
func PIDFrom(fd, pid int) (int, error) { return translate(raw.PIDFrom, fd, pid) }

// PIDIn is raw.PIDIn.
func PIDIn(fd, pid int) (int, error) { return translate(raw.PIDIn, fd, pid) }

func translate(ask func(fd, pid int) (int, syscall.Errno), fd, pid int) (int, error) {
	if pretended(PIDTranslation) {
		return 0, unix.ENOTTY
	}
	result, errno := ask(fd, pid)
	return result, asError(errno)
}

// HandleOf is raw.HandleOf.
func HandleOf(fd int) (raw.Handle, error) {
	if pretended(NamespaceHandles) {
		return raw.Handle{}, unix.EOPNOTSUPP
	}
	h, errno := raw.HandleOf(fd)
	return h, asError(errno)
}

// OpenHandle is raw.OpenHandle. Own makes an FD of the result.
func OpenHandle(h raw.Handle) (int, syscall.Errno) {
	if pretended(NamespaceHandles) {
		return raw.NoFD, unix.EOPNOTSUPP
	}
	return raw.OpenHandle(h)
}

// maxSearch is how many 64-bit IDs are tried: for a second or so.
const maxSearch = 3 << 20

// SearchNamespace opens the namespace with that type and inode number by trying 64-bit IDs, down from somewhat beyond
// the highest known, since most namespaces are young (Linux 6.18). ESTALE: there is none, or the caller lacks the
// rights.
func SearchNamespace(t species.NamespaceType, inode uint32, highest uint64, stop <-chan struct{}) (*FD, error) {
	beyond := highest + 4096*uint64(runtime.NumCPU()+1) // each processor has that many in store
	for serial, tries := beyond, 0; serial > 0 && tries < maxSearch; serial, tries = serial-1, tries+1 {
		fd, errno := OpenHandle(raw.Handle{Serial: serial, Type: t, Inode: inode})
		if errno != unix.ESTALE {
			return Own(fd, errno)
		}
		select {
		case <-stop:
			return nil, unix.EINTR
		default:
		}
	}
	return nil, unix.ESTALE
}

// NsfsDevice returns the device number of the file system of namespaces, which is that of every namespace.
func NsfsDevice() (uint64, error) {
	if dev := nsfsDevice.Load(); dev != 0 {
		return dev, nil
	}
	id, err := ThreadNamespaceID(species.CLONE_NEWUSER)
	nsfsDevice.Store(id.Dev)
	return id.Dev, err
}

var nsfsDevice atomic.Uint64

// NetworkOfOther opens the network namespace of another process's socket, or of its TUN or TAP descriptor.
func NetworkOfOther(pid, fd int, tun bool) (*FD, error) {
	own, err := takeFD(pid, fd)
	if err != nil {
		return nil, err
	}
	defer raw.Close(own)
	if tun {
		return Own(raw.NetworkOfTun(own))
	}
	var st raw.Status
	switch errno := raw.StatNoWait(own, &st); {
	case errno != 0:
		return nil, errno
	case !st.IsSocket():
		return nil, unix.ENOTSOCK
	}
	return Own(raw.NetworkOfSocket(own))
}

// NamespaceInFlight opens the namespace with that ID of which a descriptor is in the next message of another process's
// unix socket, and stays there. ENOENT: it is not.
func NamespaceInFlight(pid, fd int, id species.NamespaceID) (*FD, error) {
	own, err := takeFD(pid, fd)
	if err != nil {
		return nil, err
	}
	defer raw.Close(own)
	var found *FD
	_, errno := raw.PeekFDs(own, func(fd int) {
		if got, err := IDOf(fd); found == nil && err == nil && got == id {
			found = NewFD(fd)
		} else {
			raw.Close(fd)
		}
	})
	switch {
	case errno != 0:
		return nil, errno
	case found == nil:
		return nil, unix.ENOENT
	}
	return found, nil
}

// takeFD returns a duplicate of another process's descriptor.
func takeFD(pid, fd int) (int, error) {
	process, err := OpenProcess(pid)
	if err != nil {
		return raw.NoFD, err
	}
	defer func() { _ = process.Close() }()
	own, errno := raw.GetFD(process.Int(), fd)
	return own, asError(errno)
}
