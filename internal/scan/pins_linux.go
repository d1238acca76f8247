package scan

import (
	"errors"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// unopenedPin is a pin of a namespace that was not opened yet.
type unopenedPin struct {
	n, in *entry
	pid   int // a process that sees the path; 0: it is that of the mount namespace's own root
	path  string
}

// pin notes that a namespace is mounted somewhere. pid is as in unopenedPin.
func (w *worker) pin(in *entry, pid int, kind species.NamespaceType, inode uint64, path []byte) {
	n, isKnown := w.scan.table.mentioned(inode, kind)
	kept := w.intern(path)
	w.referPin(n, in, pid, kept)
	if !isKnown {
		w.unopened = append(w.unopened, unopenedPin{n: n, in: in, pid: pid, path: kept})
	}
}

func (w *worker) referPin(n, in *entry, pid int, path string) {
	w.refer(n.ref, facts.Reference{Kind: facts.ByPin, PID: int32(pid), MountNamespace: in.ref, Path: facts.Text(path)})
}

// openPins opens what is known only by its pin, in order to ask it for its owner and parents. The other ways to a
// namespace were tried before: this is the only one that leads through file systems, which may not answer.
func (s *scan) openPins() {
	for _, w := range s.workers {
		for _, u := range w.unopened {
			if u.n.state != mentioned || s.ctx.Err() != nil {
				continue
			}
			if errno := s.openPin(u); errno != 0 && !s.openBySearch(u.n) {
				w.problem(facts.Problem{Source: facts.Mounts, Type: u.n.kind, Namespace: u.n.inode, Path: facts.Text(u.path), Errno: errno})
			}
		}
		w.unopened = w.unopened[:0]
	}
}

func (s *scan) openPin(u unopenedPin) syscall.Errno {
	found, err := s.findPatiently(u)
	if err != nil {
		return errnoOf(err)
	}
	_, errno := s.table.openFD(u.n.kind, func() (*sys.FD, error) { return reopen(found, nil) })
	return errno
}

// findPatiently finds a pin within Options.Patience; not at all if several, or that one earlier, did not answer.
func (s *scan) findPatiently(u unopenedPin) (*sys.FD, error) {
	type pin struct {
		in   uint64 // inode number
		path string
	}
	key := pin{u.in.inode, u.path}
	since, waiting := beingOpened.Load(key)
	if waiting && time.Since(since.(time.Time)) > s.opts.Patience || s.mounts.stuck >= 3 {
		return nil, syscall.ETIMEDOUT
	}
	in := s.table.fd(u.in)
	inPassing.open()
	o := opening{pid: u.pid, path: u.path, id: species.NamespaceID{Dev: s.table.dev, Ino: u.n.inode}, proc: raw.Dup(s.proc.dir),
		inside: raw.Dup(in), lacks: s.table.notHeld(u.in)}
	ours.add(o.inside)
	inPassing.close()
	fd, err := Within(s.opts.Patience, s.ctx.Done(), func() (*sys.FD, error) {
		defer o.close()
		beingOpened.LoadOrStore(key, time.Now())
		defer beingOpened.Delete(key)
		return o.open()
	}, closeFound)
	if errors.Is(err, syscall.ETIMEDOUT) {
		s.mounts.stuck++
	}
	return fd, err
}

// beingOpened has for each pin that is being opened since when. A program that discovers again and again, with a file
// system that never answers, would have more and more threads waiting for it.
var beingOpened sync.Map

// opening is a pin that is being opened. It may take longer than the discovery, so it has descriptors of its own.
type opening struct {
	pid    int
	path   string
	id     species.NamespaceID // of the namespace that is mounted there
	proc   int                 // the proc file system
	inside int                 // the mount namespace that the pin is in; raw.NoFD if none is held
	lacks  syscall.Errno       // why
}

func (o *opening) close() {
	raw.Close(o.proc)
	if o.inside != raw.NoFD {
		ours.drop(o.inside)
	}
}

// open finds the pin through a process that sees it, or else inside its mount namespace.
func (o *opening) open() (*sys.FD, error) {
	if o.pid != 0 {
		path := raw.NewPath(strconv.Itoa(o.pid) + "/root")
		root, errno := raw.Open(o.proc, &path, raw.ForPaths)
		if errno != 0 {
			return nil, errno
		}
		if fd, err := findPin(sys.NewFD(root), o.path, o.id); err == nil {
			return fd, nil
		}
	}
	if o.inside == raw.NoFD {
		return nil, o.lacks
	}
	return findPinInside(o.inside, o.path, o.id)
}

// openBySearch opens a namespace of which type and inode number are known by counting the 64-bit IDs down (Linux 6.18): one
// that is mounted over has no path. It takes a third of a microsecond for each namespace ever made.
func (s *scan) openBySearch(n *entry) bool {
	inPassing.open()
	have := s.opts.has(facts.AllMountNamespaces) && sys.Have(sys.NamespaceHandles)
	inPassing.close()
	if !have {
		return false
	}
	var highest uint64
	for other := range s.table.each {
		highest = max(highest, other.serial)
	}
	fd, err := sys.SearchNamespace(n.kind, uint32(n.inode), highest, s.ctx.Done())
	if err != nil {
		return false
	}
	_, _ = s.table.open(n.kind, func() (int, syscall.Errno) { return fd.Disown(), 0 })
	return true
}

// OpenPin opens the namespace with that ID, which is mounted at a path in the mount namespace behind a descriptor. Anything
// else that is there is not opened: ESTALE.
func OpenPin(in int, path string, id species.NamespaceID) (*sys.FD, error) {
	return reopen(findPinInside(in, path, id))
}

// findPinInside finds a pin from a thread that joins the mount namespace and ends. closeFound closes what it returns.
func findPinInside(in int, path string, id species.NamespaceID) (*sys.FD, error) {
	return inside(in, func() (*sys.FD, error) {
		root, err := sys.OpenRootHere()
		if err != nil {
			return nil, err
		}
		return findPin(root, path, id)
	})
}

// findPin finds a pin below a root, which it closes; closeFound closes the result. No other namespace is opened.
func findPin(root *sys.FD, path string, id species.NamespaceID) (*sys.FD, error) {
	defer func() { _ = root.Close() }()
	found, err := sys.Resolve(root, path, true)
	if err != nil {
		return nil, err
	}
	ours.add(found.Int())
	is, err := sys.IDOf(found.Int())
	if err == nil && is != id {
		err = syscall.ESTALE // mounted over
	}
	if err != nil {
		closeFound(found)
		return nil, err
	}
	return found, nil
}

// closeFound closes what findPin has found.
func closeFound(found *sys.FD) {
	ours.drop(found.Disown())
}

// reopen opens what was found, through our own /proc: there may be none where it was found.
func reopen(found *sys.FD, err error) (*sys.FD, error) {
	if err != nil {
		return nil, err
	}
	defer closeFound(found)
	return sys.Reopen(found)
}

// inside runs f on a thread that joins the mount namespace behind fd, and waits until no discovery would find it there.
func inside[T any](fd int, f func() (T, error)) (result T, err error) {
	var failed error
	tid, err := handle.Execute(func() int {
		result, failed = f()
		return raw.OwnTID()
	}, handle.NamespaceFd(fd))
	if err != nil {
		return result, err
	}
	sys.AwaitThreadEnd(tid)
	return result, failed
}

// Within waits for f, but not longer: ETIMEDOUT, or EINTR if it is to stop. What f returns too late is dropped.
func Within[T any](patience time.Duration, stop <-chan struct{}, f func() (T, error), drop func(T)) (T, error) {
	type outcome struct {
		result T
		err    error
	}
	var none T
	done, gone := make(chan outcome), make(chan struct{})
	go func() {
		result, err := f()
		select {
		case done <- outcome{result, err}:
		case <-gone:
			if err == nil {
				drop(result)
			}
		}
	}()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	defer close(gone)
	select {
	case o := <-done:
		return o.result, o.err
	case <-limit.C:
		return none, syscall.ETIMEDOUT
	case <-stop:
		return none, syscall.EINTR
	}
}

// makePoller has the runtime open what timers need: without descriptors left, the first timer would end the program.
func makePoller() { time.AfterFunc(time.Hour, func() {}).Stop() }
