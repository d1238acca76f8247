package handle

import (
	"cmp"
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

// pinDirs returns the directories with the pins of a type: new ones are made in the first, existing ones are looked for
// in the others, too. For network namespaces they are those of ip-netns(8). If there is only /var/run/netns, it is the
// first: a container that shares it with the host has a /run of its own.
func (o Of) pinDirs() []string {
	const run, varRun = "/run/netns", "/var/run/netns"
	if o.t() != species.CLONE_NEWNET {
		return []string{"/run/nsops/" + o.t().Name()}
	}
	if _, err := os.Stat(run); err != nil {
		if _, err := os.Stat(varRun); err == nil {
			return []string{varRun, run}
		}
	}
	return []string{run, varRun}
}

// inPinDirs calls do with the path that the name has in each directory, until it finds something there.
func (o Of) inPinDirs(name string, do func(path string) error) (first error) {
	for _, dir := range o.pinDirs() {
		err := do(filepath.Join(dir, name))
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		first = cmp.Or(first, err)
	}
	return first
}

// checkName returns an error for what is not the name of a file in a directory.
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
	ns, err := None(), o.checkName("open", name)
	if err == nil {
		err = o.inPinDirs(name, func(path string) (err error) {
			ns, err = o.GetFromPath(path)
			return err
		})
	}
	return ns, err
}

// NewNamed makes a namespace, pins it, moves the calling thread into it as New does and returns a handle that the
// caller closes. On an error, there is no pin and the thread is where it was. Pins of network namespaces are those of
// `ip netns`; the others are in /run/nsops/TYPE. PID, user and time: ErrNeedsReexec; use Create and Pin.
func (o Of) NewNamed(name string) (NsHandle, error) {
	if err := o.checkName("create", name); err != nil {
		return None(), err
	}
	if err := o.canSwitch("create", name, newNeedsReexec); err != nil {
		return None(), err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	created, err := Create(o.t())
	if err != nil {
		return None(), err
	}
	defer func() { _ = created[0].Close() }()
	ns, err := created[0].Handle()
	if err != nil {
		return None(), err
	}
	if err = o.Pin(name, ns); err == nil {
		if err = o.Set(ns); err == nil {
			return ns, nil
		}
		err = errors.Join(err, o.DeleteNamed(name))
	}
	return None(), errors.Join(err, ns.Close())
}

// Pin keeps the namespace alive under that name, without switching. On an error, no pin is left. fs.ErrExist: the name
// is taken; ETIMEDOUT: the directory was to be mounted, and another process holds its lock for more than five seconds,
// which any user can (the error says which process). It requires CAP_SYS_ADMIN over the caller's mount namespace. A
// mount namespace can be pinned only in an older one (EINVAL).
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
	if err = o.prepareDir(dir); err == nil {
		err = mountPin(fd, filepath.Join(dir, name))
	}
	return o.err("pin", name, err)
}

// mountPin leaves no file if it cannot mount there.
func mountPin(fd int, path string) error {
	if err := sys.CreateFile(path); err != nil {
		return &fs.PathError{Op: "create", Path: path, Err: err}
	}
	if err := sys.BindNamespace(fd, path); err != nil {
		return errors.Join(mountError("mount", path, err), os.Remove(path))
	}
	return nil
}

// pinPatience is how long Pin waits for the lock of the directory.
var pinPatience = 5 * time.Second

// prepareDir makes the directory and a mount of it, as ip-netns(8) does under the same lock. The mount is shared, so
// that pins show in mount namespaces that are made later; but mount namespaces can be pinned only on a private one. If
// it is a mount already, no lock is needed: any user may hold that for ever.
func (o Of) prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // everybody may read pins, as those of ip-netns
		return err
	}
	propagation := sys.Shared
	if o.t() == species.CLONE_NEWNS {
		propagation = sys.Private
	}
	err := sys.SetPropagation(dir, propagation)
	if errors.Is(err, syscall.EINVAL) {
		lock, lockErr := sys.LockDir(dir, pinPatience)
		if lockErr != nil {
			return lockErr
		}
		defer func() { _ = lock.Close() }()
		if err = sys.SetPropagation(dir, propagation); errors.Is(err, syscall.EINVAL) { // nobody else has mounted it meanwhile
			if err = sys.BindToItself(dir); err == nil {
				err = sys.SetPropagation(dir, propagation)
			}
		}
	}
	return mountError("mount", dir, err)
}

func mountError(op, path string, err error) error {
	if err != nil {
		return &fs.PathError{Op: op, Path: path, Err: sys.ExplainMount(err)}
	}
	return nil
}

// DeleteNamed removes a pin of this type; see the function DeleteNamed. What is neither a pin nor an empty file stays.
func (o Of) DeleteNamed(name string) error {
	if err := o.checkName("delete", name); err != nil {
		return err
	}
	return o.err("delete", name, o.inPinDirs(name, deletePin))
}

// deletePin unmounts everything that is mounted there, and removes the file.
func deletePin(path string) error {
	var err error
	for layers := 0; err == nil && layers < 1000; layers++ {
		err = sys.Detach(path)
	}
	if !errors.Is(err, syscall.EINVAL) { // something is still mounted
		return mountError("unmount", path, cmp.Or(err, error(syscall.EBUSY)))
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

// List returns the names of the pinned namespaces of this type, sorted, without files on which nothing is mounted. It requires no capability.
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
