package sys

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
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

// LockDir takes the lock of a directory that `ip netns` takes, flock(2). Closing gives it back. Everybody who may read the
// directory may hold it for ever: after patience it is ETIMEDOUT.
func LockDir(dir string, patience time.Duration) (*FD, error) {
	fd, err := openFile(raw.CurrentDir, dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	if err := lockWithin(fd, patience); err != nil {
		_ = fd.Close()
		return nil, &os.PathError{Op: "lock", Path: dir, Err: err}
	}
	return fd, nil
}

func lockWithin(fd *FD, patience time.Duration) error {
	const pause = 5 * time.Millisecond
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		err := Retry(func() error { return unix.Flock(fd.Int(), unix.LOCK_EX|unix.LOCK_NB) })
		if err != unix.EWOULDBLOCK {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s has held it for %s (flock(2)): %w", lockHolder(fd), patience, unix.ETIMEDOUT)
		}
	}
}

// lockHolder returns who holds the flock of a file, as proc_locks(5) has it.
func lockHolder(fd *FD) string {
	id, _ := IDOf(fd.Int())
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(id.Dev), unix.Minor(id.Dev), id.Ino)
	text, _ := os.ReadFile("/proc/locks")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 5 && f[1] == "FLOCK" && f[5] == file && f[4] != "0" {
			return "process " + f[4]
		}
	}
	return "another process"
}

// CreateFile makes an empty file where nothing was, not even a dangling link.
func CreateFile(path string) error {
	fd, err := openFile(raw.CurrentDir, path, unix.O_RDONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	return fd.Close()
}
