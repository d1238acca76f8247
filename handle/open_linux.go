package handle

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// pinDirs are where `ip netns` keeps named network namespaces.
var pinDirs = []string{"/run/netns", "/var/run/netns"}

// Get returns a handle of the calling thread's network namespace; the goroutine should be locked to its thread
// (runtime.LockOSThread). The caller closes it. See man 7 network_namespaces.
func Get() (NsHandle, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := sys.OpenThreadNamespace(species.CLONE_NEWNET)
	return own(fd, "thread-self", err)
}

// GetFromPid returns a handle of the network namespace of the process with that PID. The caller closes it. The right
// to inspect the process is needed (man 2 ptrace): EACCES without it, ESRCH if there is no such process.
func GetFromPid(pid int) (NsHandle, error) {
	ref := "process " + strconv.Itoa(pid)
	if pid <= 0 {
		return None(), &Error{"open", species.CLONE_NEWNET, ref, fmt.Errorf("a PID is positive: %w", syscall.EINVAL)}
	}
	process, err := sys.OpenProcess(pid)
	if err != nil {
		return None(), &Error{"open", species.CLONE_NEWNET, ref, err}
	}
	defer func() { _ = process.Close() }()
	fd, err := process.OpenNamespace(species.CLONE_NEWNET)
	return own(fd, ref, err)
}

// GetFromPath returns a handle of the network namespace at path, such as /proc/PID/ns/net or a pin. The caller closes
// it. Anything else at path is EINVAL and is not opened.
func GetFromPath(path string) (NsHandle, error) {
	fd, err := sys.OpenNamespace(path)
	if errors.Is(err, syscall.EINVAL) {
		err = fmt.Errorf("no namespace (a stale file of a crashed tool?): %w", err)
	}
	if err == nil {
		var t species.NamespaceType
		if t, err = sys.TypeOf(fd.Int()); err == nil && t != species.CLONE_NEWNET {
			err = fmt.Errorf("it is a %s namespace: %w", t.Name(), syscall.EINVAL)
		}
		if err != nil {
			_ = fd.Close()
		}
	}
	return own(fd, path, err)
}

// GetFromName returns a handle of the network namespace that `ip netns` knows by that name: /run/netns/NAME, else
// /var/run/netns/NAME. The caller closes it.
func GetFromName(name string) (NsHandle, error) {
	if name == "" || name == "." || name == ".." || strings.Contains(name, "/") {
		return None(), &Error{"open", species.CLONE_NEWNET, strconv.Quote(name), fmt.Errorf("no name of a pin: %w", syscall.EINVAL)}
	}
	var err error
	for _, dir := range pinDirs {
		var ns NsHandle
		if ns, err = GetFromPath(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return ns, err
		}
	}
	return None(), err
}

// Close closes the handle and sets it to None; again, it is EBADF.
func (ns *NsHandle) Close() error {
	err := syscall.Close(int(*ns))
	*ns = None()
	return err
}

// Equal says whether both handles are of the same namespace.
func (ns NsHandle) Equal(other NsHandle) bool {
	if ns == other {
		return true
	}
	a, err := sys.IDOf(int(ns))
	if err != nil {
		return false
	}
	b, err := sys.IDOf(int(other))
	return err == nil && a == b
}

// String returns the descriptor and the identity, as netns does: NS(fd: dev, ino), NS(none) or NS(fd: unknown).
func (ns NsHandle) String() string {
	if !ns.IsOpen() {
		return "NS(none)"
	}
	id, err := sys.IDOf(int(ns))
	if err != nil {
		return fmt.Sprintf("NS(%d: unknown)", ns)
	}
	return fmt.Sprintf("NS(%d: %d, %d)", ns, id.Dev, id.Ino)
}

// UniqueId returns the identity alone, NS(dev:ino), or NS(none) or NS(unknown).
func (ns NsHandle) UniqueId() string {
	if !ns.IsOpen() {
		return "NS(none)"
	}
	id, err := sys.IDOf(int(ns))
	if err != nil {
		return "NS(unknown)"
	}
	return fmt.Sprintf("NS(%d:%d)", id.Dev, id.Ino)
}

// own makes a handle of a descriptor.
func own(fd *sys.FD, ref string, err error) (NsHandle, error) {
	if err != nil {
		return None(), &Error{"open", species.CLONE_NEWNET, ref, err}
	}
	return NsHandle(fd.Disown()), nil
}
