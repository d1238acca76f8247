package handle

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

const network = Of(species.CLONE_NEWNET)

// The flags of clone(2) that netns has, untyped as there.
//
// Deprecated: use the typed constants of package species.
const (
	CLONE_NEWUTS  = syscall.CLONE_NEWUTS
	CLONE_NEWIPC  = syscall.CLONE_NEWIPC
	CLONE_NEWUSER = syscall.CLONE_NEWUSER
	CLONE_NEWPID  = syscall.CLONE_NEWPID
	CLONE_NEWNET  = syscall.CLONE_NEWNET
	CLONE_IO      = syscall.CLONE_IO
)

// Get returns a handle of the calling thread's network namespace; lock the goroutine to its thread first
// (runtime.LockOSThread). The caller closes it. It requires no capability.
func Get() (NsHandle, error) { return peers(network.Get()) }

// Set moves the calling thread into a network namespace, where it stays; lock the goroutine to its thread first. It
// requires CAP_SYS_ADMIN over the namespace and in the caller's user namespace. [Execute] and [Visit] come back.
func Set(ns NsHandle) error {
	if errno := raw.SetnsNoWait(int(ns), species.CLONE_NEWNET); errno != 0 {
		return asPeer(network.err("join", ns.String(), notJoined(errno, int(ns), species.CLONE_NEWNET)))
	}
	return nil
}

// Setns moves the calling thread into a namespace of a type given as a flag of clone(2), 0 for any, as setns(2) does.
// What no thread of a Go program can join is EINVAL (user namespaces, and mount namespaces without unshare(CLONE_FS)
// before) or EUSERS (time namespaces).
//
// Deprecated: use Set, or Of(type).Set.
func Setns(ns NsHandle, nstype int) error {
	if err := sys.Setns(int(ns), nstype); err != nil {
		t := species.NamespaceType(uint32(nstype))
		return asPeer(&Error{Op: "join", Type: t, Ref: ns.String(), Err: notJoined(err, int(ns), t)})
	}
	return nil
}

// New makes a network namespace, moves the calling thread into it and returns a handle that the caller closes. Lock the
// goroutine to its thread first; [Create] does not move the thread. It requires CAP_SYS_ADMIN. On an error, the thread
// is where it was.
func New() (NsHandle, error) { return peers(network.New()) }

// NewNamed makes a network namespace, pins it as `ip netns add` does, moves the calling thread into it and returns a
// handle that the caller closes. On an error, there is no pin and the thread is where it was; fs.ErrExist: the name is
// taken. A name is a file name without "/".
func NewNamed(name string) (NsHandle, error) { return peers(network.NewNamed(name)) }

// DeleteNamed removes a pin, also one that `ip netns add` made, one that is in use, and the empty file that a crashed
// tool has left. The namespace exists as long as anything else keeps it alive. fs.ErrNotExist: there is no such pin.
func DeleteNamed(name string) error { return asPeer(network.DeleteNamed(name)) }

// List returns the names of the pinned network namespaces, sorted, also those of `ip netns`, without stale files.
func List() ([]string, error) { return network.List() }

// GetFromPath returns a handle of the namespace at path, such as /proc/PID/ns/net or a pin, of any type, as netns does:
// [Setns] accepts all of them, Set network namespaces only. The caller closes it. What is no namespace is EINVAL and is
// not opened.
func GetFromPath(path string) (NsHandle, error) {
	fd, err := openPath(path)
	return peers(Of(species.NaNS).own(fd, path, err))
}

// GetFromName returns a handle of the network namespace that `ip netns` knows by that name: /run/netns/NAME, else
// /var/run/netns/NAME. The caller closes it.
func GetFromName(name string) (NsHandle, error) { return peers(network.GetFromName(name)) }

// GetFromPid returns a handle of the network namespace of the process with that PID. The caller closes it. It requires
// the right to inspect the process (ptrace(2)): EACCES without it. If there is no such process it is ESRCH, which is
// fs.ErrNotExist for errors.Is, but nothing to os.IsNotExist. A PID that is given to another process is ErrStale.
func GetFromPid(pid int) (NsHandle, error) { return peers(network.GetFromPid(pid)) }

// GetFromThread returns a handle of the network namespace of the thread tid of a process, otherwise as GetFromPid.
func GetFromThread(pid, tid int) (NsHandle, error) { return peers(network.GetFromThread(pid, tid)) }

// GetFromDocker returns a handle of the network namespace of a running container by its ID, the beginning of it, or its
// name: of docker, containerd, Kubernetes (CRI), podman, LXC, systemd-nspawn, runc, crun and others that name cgroups
// by IDs; see [Of.GetFromDocker]. The caller closes it. ErrUnknownContainer: there is none; ErrAmbiguous: several.
func GetFromDocker(id string) (NsHandle, error) { return peers(network.GetFromDocker(id)) }

// GetFromSocket returns a handle of the network namespace in which a socket was made, which need not be its user's. The
// caller closes it. It requires CAP_NET_ADMIN over the namespace (EPERM); EINVAL: fd is no socket.
func GetFromSocket(fd int) (NsHandle, error) {
	found, err := sys.Own(raw.NetworkOfSocket(fd))
	if err == syscall.ENOTTY { //nolint:errorlint // it comes from the system call
		err = fmt.Errorf("no socket: %w", syscall.EINVAL)
	}
	return network.own(found, "socket "+strconv.Itoa(fd), sys.ExplainSocket(err))
}

// GetFromConn is GetFromSocket for a connection or listener of package net.
func GetFromConn(conn syscall.Conn) (NsHandle, error) {
	ns, found := None(), error(nil)
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { ns, found = GetFromSocket(int(fd)) })
		runtime.KeepAlive(conn)
	}
	if err != nil {
		return None(), network.err("open", "connection", err)
	}
	return ns, found
}

// asPeer is for the functions that netns has, too, whose callers ask os.IsNotExist, os.IsExist and os.IsPermission.
// These look into an *fs.PathError and nowhere else, for an errno that is wrapped in nothing. So the rest of the error
// becomes a part of the path. ESRCH, a process that is gone, is nothing to them, and our own errors would be hidden.
func asPeer(err error) error {
	if err == nil {
		return nil
	}
	for _, own := range []error{ErrStale, ErrTainted, ErrUnknownContainer, ErrAmbiguous} {
		if errors.Is(err, own) {
			return err
		}
	}
	var errno syscall.Errno
	var e *Error
	if !errors.As(err, &errno) || !errors.As(err, &e) {
		return err
	}
	if !errno.Is(fs.ErrNotExist) && !errno.Is(fs.ErrExist) && !errno.Is(fs.ErrPermission) {
		return err
	}
	text := strings.TrimSuffix(err.Error(), ": "+errno.Error())
	return &fs.PathError{Op: e.Op, Path: strings.TrimPrefix(text, e.Op+" "), Err: errno}
}

// peers is asPeer for the results of a function that opens.
func peers(ns NsHandle, err error) (NsHandle, error) { return ns, asPeer(err) }
