//go:build linux

package sys

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Propagation is what becomes of mounts below a directory: mount_namespaces(7).
type Propagation uintptr

// The two that pins need.
const (
	Shared  Propagation = unix.MS_SHARED | unix.MS_REC
	Private Propagation = unix.MS_PRIVATE | unix.MS_REC
)

// SetPropagation changes that of the mount at dir. EINVAL: nothing is mounted there.
func SetPropagation(dir string, p Propagation) error {
	return Retry(func() error { return unix.Mount("", dir, "none", uintptr(p), "") })
}

// BindToItself makes a mount of a directory.
func BindToItself(dir string) error {
	return Retry(func() error { return unix.Mount(dir, dir, "none", unix.MS_BIND|unix.MS_REC, "") })
}

// BindNamespace mounts the namespace behind fd on the file at path, which keeps it alive.
func BindNamespace(fd int, path string) error {
	if err := checkProc(); err != nil {
		return err
	}
	source := "/proc/thread-self/fd/" + strconv.Itoa(fd)
	return Retry(func() error { return unix.Mount(source, path, "none", unix.MS_BIND, "") })
}

// Detach takes the topmost mount off path, also one that is in use. EINVAL: nothing is mounted there.
func Detach(path string) error {
	return Retry(func() error { return unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) })
}

// LockDir takes the lock of a directory that `ip netns` takes, flock(2), and waits for it. Closing gives it back.
func LockDir(dir string) (*FD, error) {
	fd, err := open(func() (int, error) { return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	if err := Retry(func() error { return unix.Flock(fd.Int(), unix.LOCK_EX) }); err != nil {
		_ = fd.Close()
		return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
	}
	return fd, nil
}

// CreateFile makes an empty file where nothing was, not even a dangling link.
func CreateFile(path string) error {
	fd, err := open(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	return fd.Close()
}
