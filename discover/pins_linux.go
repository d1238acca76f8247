package discover

import (
	"errors"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// unknownPin is a pin of a namespace that was not opened yet.
type unknownPin struct {
	n, in *Namespace
	pid   int // a process that sees the path; 0: it is that of the mount namespace's own root
	path  string
}

// openPins opens what is known only by its pin, in order to ask it for its owner and parents. The other ways to a
// namespace were tried before: this is the only one that leads through file systems, which may not answer.
func (s *scan) openPins() {
	for _, w := range s.workers {
		for _, u := range w.unknown {
			if !u.n.unreachable || s.ctx.Err() != nil {
				continue
			}
			found, err := s.patiently(u)
			if err == nil {
				if err = s.openFound(found, u.n.Type); err == nil {
					continue
				}
			}
			if s.openBySearch(u.n) != nil { // says less than the path did
				w.problem(Problem{Source: Mounts, Type: u.n.Type, Namespace: u.n.ID, Path: u.path, Errno: errnoOf(err)})
			}
		}
		w.unknown = w.unknown[:0]
	}
}

// openFound opens what was found, which it closes.
func (s *scan) openFound(found *sys.FD, kind species.NamespaceType) error {
	_, errno := s.table.open(kind, func() (int, syscall.Errno) {
		fd, err := reopen(found, nil)
		if err != nil {
			return raw.NoFD, errnoOf(err)
		}
		return fd.Disown(), 0
	})
	if errno != 0 {
		return errno
	}
	return nil
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EIO
}

const tooManyStuck = 3

// patiently finds a pin, but waits no longer than Options.Patience, and not at all if several did not answer, or if an
// earlier discovery still waits for that one.
func (s *scan) patiently(u unknownPin) (*sys.FD, error) {
	at := place{u.in.ID, u.path}
	since, waiting := beingOpened.Load(at)
	if waiting && time.Since(since.(time.Time)) > s.opts.Patience || s.mounts.stuck >= tooManyStuck {
		return nil, syscall.ETIMEDOUT
	}
	o := opening{unknownPin: u, proc: raw.Dup(s.proc)}
	o.duplicate(s.table.fd(u.in), s.table.notHeld(u.in))
	fd, err := within(s.opts.Patience, s.ctx.Done(), func() (*sys.FD, error) {
		defer o.close()
		beingOpened.LoadOrStore(at, time.Now())
		defer beingOpened.Delete(at)
		return o.open()
	}, closeFound)
	if errors.Is(err, syscall.ETIMEDOUT) {
		s.mounts.stuck++
	}
	return fd, err
}

// beingOpened are pins that are being opened, by their places, and since when. A program that discovers again and again,
// with a file system that never answers, would have more and more threads waiting for it.
var beingOpened sync.Map

type place struct {
	in   species.NamespaceID
	path string
}

// opening is a pin that is being opened. It may take longer than the discovery, so it has descriptors of its own.
type opening struct {
	unknownPin
	proc   int           // the proc file system
	inside int           // the mount namespace that the pin is in; raw.NoFD if none is held
	lacks  syscall.Errno // why
}

// duplicate takes a duplicate of the mount namespace, which is held unless it lacks what is said.
func (o *opening) duplicate(in int, lacks syscall.Errno) {
	uncounted.RLock()
	defer uncounted.RUnlock()
	if o.inside, o.lacks = raw.Dup(in), lacks; in != raw.NoFD {
		o.lacks = syscall.EMFILE
	}
	setBeingHeld(o.inside, true)
}

func (o *opening) close() {
	raw.Close(o.proc)
	if o.inside != raw.NoFD {
		raw.Close(o.inside)
		setBeingHeld(o.inside, false)
	}
}

func (o *opening) open() (*sys.FD, error) {
	if o.pid != 0 {
		path := raw.NewPath(strconv.Itoa(o.pid) + "/root")
		root, errno := raw.Open(o.proc, &path, raw.ForPaths)
		if errno != 0 {
			return nil, errno
		}
		if fd, err := find(sys.NewFD(root), o.unknownPin); err == nil {
			return fd, nil
		}
	}
	return o.findInside()
}

// reopen opens what was found, through our own /proc: there may be none where it was found.
func reopen(found *sys.FD, err error) (*sys.FD, error) {
	if err != nil {
		return nil, err
	}
	defer closeFound(found)
	return sys.Reopen(found)
}

// closeFound closes what find has found.
func closeFound(found *sys.FD) {
	number := found.Int()
	_ = found.Close()
	setBeingHeld(number, false)
}

// findInside finds a pin in a mount namespace that no process is in.
func (o *opening) findInside() (*sys.FD, error) {
	if o.inside == raw.NoFD {
		return nil, o.lacks
	}
	return findIn(o.inside, o.unknownPin)
}

// findIn joins the mount namespace behind in, on a thread that is thrown away.
func findIn(in int, u unknownPin) (*sys.FD, error) {
	return inside(in, func() (*sys.FD, error) {
		root, err := sys.OpenRootHere()
		if err != nil {
			return nil, err
		}
		return find(root, u)
	})
}

// find finds a pin below a root, which it closes; closeFound closes what it returns. Anything else than the namespace that
// is meant is not opened.
func find(root *sys.FD, u unknownPin) (*sys.FD, error) {
	defer func() { _ = root.Close() }()
	found, err := sys.Resolve(root, u.path, true)
	if err != nil {
		return nil, err
	}
	setBeingHeld(found.Int(), true)
	id, err := sys.IDOf(found.Int())
	if err == nil && id != u.n.ID {
		err = syscall.ESTALE // mounted over
	}
	if err != nil {
		closeFound(found)
		return nil, err
	}
	return found, nil
}

// haveHandles says, as nil, that namespaces have file handles here.
func haveHandles() error {
	uncounted.RLock()
	defer uncounted.RUnlock()
	own, err := sys.OpenThreadNamespace(species.CLONE_NEWUSER)
	if err != nil {
		return err
	}
	defer func() { _ = own.Close() }()
	_, err = sys.HandleOf(own.Int())
	return err
}

// openBySearch finds a namespace of which type and inode number are known by counting the 64-bit IDs down (6.18): one that
// is mounted over has no path. It takes a third of a microsecond for each namespace ever made.
func (s *scan) openBySearch(n *Namespace) error {
	if !s.opts.has(AllMountNamespaces) {
		return syscall.ESTALE
	}
	if err := haveHandles(); err != nil {
		return err
	}
	fd, err := sys.SearchNamespace(n.Type, uint32(n.ID.Ino), s.table.highest(), s.ctx.Done())
	if err != nil {
		return err
	}
	_, _ = s.table.open(n.Type, func() (int, syscall.Errno) { return fd.Disown(), 0 })
	return nil
}
