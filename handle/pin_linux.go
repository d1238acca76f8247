package handle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// pinDirs returns the directories with the pins of a type: the first is where new ones go, the others are looked into
// too. For network namespaces they are those of ip-netns(8). Where only /var/run/netns exists, it is the first: a container
// that shares it with the host has a /run of its own.
func (o Of) pinDirs() []string {
	const run, varRun = "/run/netns", "/var/run/netns"
	switch {
	case o.t() != species.CLONE_NEWNET:
		return []string{"/run/nsops/" + o.t().Name()}
	case !exists(run) && exists(varRun):
		return []string{varRun, run}
	}
	return []string{run, varRun}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// checkName refuses what is not the name of a file in a directory.
func (o Of) checkName(op, name string) error {
	if err := o.valid(op, strconv.Quote(name)); err != nil {
		return err
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || len(name) > 255 {
		return o.err(op, strconv.Quote(name), fmt.Errorf("no name of a pin: %w", syscall.EINVAL))
	}
	return nil
}

// GetFromName returns a handle of the pinned namespace of that name, which the caller closes. fs.ErrNotExist: there is
// none; EINVAL: no name, or the file is not a namespace.
func (o Of) GetFromName(name string) (NsHandle, error) {
	if err := o.checkName("open", name); err != nil {
		return None(), err
	}
	var first error
	for _, dir := range o.pinDirs() {
		ns, err := o.GetFromPath(filepath.Join(dir, name))
		if !errors.Is(err, fs.ErrNotExist) {
			return ns, err
		}
		if first == nil {
			first = err
		}
	}
	return None(), first
}

// NewNamed makes a namespace, pins it, moves the calling thread into it as New does and returns a handle that the caller
// closes. If there is an error, there is no pin and the thread is where it was. Pins of network namespaces are those of
// `ip netns`; the others are in /run/nsops/TYPE. PID, user and time: ErrNeedsReexec; use Create and Pin.
func (o Of) NewNamed(name string) (NsHandle, error) {
	if err := o.checkName("create", name); err != nil {
		return None(), err
	}
	if o.t() == species.CLONE_NEWPID || needsReexec.Has(o.t()) {
		return None(), o.err("create", name, ErrNeedsReexec)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	created, err := Create(o.t())
	if err != nil {
		return None(), err
	}
	defer func() { _ = created[0].Close() }()
	if err := o.Pin(name, created[0]); err != nil {
		return None(), err
	}
	ns, err := created[0].Handle()
	if err == nil {
		if err = o.Set(ns); err == nil {
			return ns, nil
		}
		_ = ns.Close()
	}
	return None(), errors.Join(err, o.DeleteNamed(name))
}

// Pin keeps the namespace alive under that name, without switching. If there is an error, no pin is left. fs.ErrExist:
// the name is taken; ETIMEDOUT: the directory was to be mounted, and somebody else holds its lock for more than five
// seconds, which any user can (the error says which process). It takes CAP_SYS_ADMIN over the caller's mount namespace.
// A mount namespace can be pinned only in an older one (EINVAL).
func (o Of) Pin(name string, ref Relation) error {
	if err := o.checkName("pin", name); err != nil {
		return err
	}
	fd, _, closer, err := open(ref, o.t())
	if err != nil {
		return o.err("pin", name, err)
	}
	defer closer()
	dir := o.pinDirs()[0]
	if err := o.prepareDir(dir); err != nil {
		return o.err("pin", name, err)
	}
	if err := mountPin(fd, filepath.Join(dir, name)); err != nil {
		return o.err("pin", name, err)
	}
	return nil
}

// mountPin leaves no file if it cannot mount there.
func mountPin(fd int, path string) error {
	if err := sys.CreateFile(path); err != nil {
		return &fs.PathError{Op: "create", Path: path, Err: err}
	}
	if err := sys.BindNamespace(fd, path); err != nil {
		return errors.Join(&fs.PathError{Op: "mount", Path: path, Err: sys.ExplainMount(err)}, os.Remove(path))
	}
	return nil
}

// pinPatience is how long Pin waits for the lock of the directory.
var pinPatience = 5 * time.Second

// prepareDir makes the directory and a mount of it, as ip-netns(8) does under the same lock. The mount is shared so that
// pins show in mount namespaces that are made from now on; but pins of mount namespaces can only be on a private one.
// Once it is a mount, nothing is left to lock, which is as well: any user may hold the lock for ever.
func (o Of) prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // everybody may read pins, as those of ip-netns
		return err
	}
	propagation := sys.Shared
	if o.t() == species.CLONE_NEWNS {
		propagation = sys.Private
	}
	if err := sys.SetPropagation(dir, propagation); !errors.Is(err, syscall.EINVAL) {
		return wrapPath("make shared", dir, err)
	}
	lock, err := sys.LockDir(dir, pinPatience)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := sys.SetPropagation(dir, propagation); !errors.Is(err, syscall.EINVAL) { // others were faster
		return wrapPath("make shared", dir, err)
	}
	if err := sys.BindToItself(dir); err != nil {
		return wrapPath("mount", dir, err)
	}
	return wrapPath("make shared", dir, sys.SetPropagation(dir, propagation))
}

func wrapPath(op, path string, err error) error {
	if err != nil {
		return &fs.PathError{Op: op, Path: path, Err: sys.ExplainMount(err)}
	}
	return nil
}

// DeleteNamed takes away a pin of this type; see the function DeleteNamed. A file that is no pin and not empty, or that
// is something else than a regular file, is left alone.
func (o Of) DeleteNamed(name string) error {
	if err := o.checkName("delete", name); err != nil {
		return err
	}
	var first error
	for _, dir := range o.pinDirs() {
		err := deletePin(filepath.Join(dir, name))
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return o.err("delete", name, err)
		}
	}
	return o.err("delete", name, first)
}

// deletePin takes off everything that is mounted there, then the file.
func deletePin(path string) error {
	const layers = 1000
	var err error
	for range layers {
		if err = sys.Detach(path); err != nil {
			break
		}
	}
	switch {
	case err == nil:
		return &fs.PathError{Op: "unmount", Path: path, Err: syscall.EBUSY}
	case !errors.Is(err, syscall.EINVAL):
		return &fs.PathError{Op: "unmount", Path: path, Err: sys.ExplainMount(err)}
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || info.Size() > 0 {
		return &fs.PathError{Op: "delete", Path: path, Err: fmt.Errorf("no pin: %w", syscall.EINVAL)}
	}
	return os.Remove(path)
}

// List returns the names of the pinned namespaces of this type, sorted. Files on which nothing is mounted are not among
// them. It takes no rights.
func (o Of) List() ([]string, error) {
	if err := o.valid("list", "pins"); err != nil {
		return nil, err
	}
	var names []string
	for _, dir := range o.pinDirs() {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, o.err("list", "pins", err)
		}
		for _, entry := range entries {
			if sys.IsNamespace(filepath.Join(dir, entry.Name()), o.t()) {
				names = append(names, entry.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
