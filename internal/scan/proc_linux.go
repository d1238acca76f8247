package scan

import (
	"errors"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// procDir is the proc file system that a discovery reads.
type procDir struct {
	fd      *sys.FD
	dir     int  // number of fd
	self    int  // PID of this process in there, 0 if it is not in there
	own     bool // the PIDs in it are those of our PID namespace
	unified bool // there are only cgroups of version 2; without snapshot

	askPIDNamespace sync.Once
	pidNamespace    *entry // see scan.ownPIDNamespace
}

// openProc opens the proc file system, lists its processes, and makes the table.
func (s *scan) openProc() error {
	path := raw.NewPath(s.opts.Proc)
	dir, errno := raw.Open(raw.CurrentDir, &path, raw.ForListing)
	if errno != 0 {
		return errno
	}
	s.proc.fd, s.proc.dir = sys.NewFD(dir), dir
	if !sys.IsProc(dir) {
		return errors.New("not a proc file system")
	}
	inPassing.open()
	dev, err := sys.NsfsDevice()
	inPassing.close()
	if err != nil {
		return err
	}
	if s.opts.has(facts.Processes) {
		if err := s.listProcesses(); err != nil {
			return err
		}
	}
	s.table = newTable(dev, &s.opts)
	path = raw.NewPath("self")
	text, _ := s.caller.read.Link(dir, &path)
	s.proc.self, _ = procfs.PID(text)
	return nil
}

// readSelf reads a file about this process, nil if that fails.
func (s *scan) readSelf(name string) []byte {
	path := raw.NewPath("self/" + name)
	text, errno := s.caller.read.Short(s.proc.dir, &path)
	if errno != 0 {
		return nil
	}
	return text
}

// listPatience is how long the list of processes is waited for at least.
const listPatience = 10 * time.Second

func (s *scan) listProcesses() error {
	here := raw.NewPath(".")
	var errno syscall.Errno
	s.patience.Store(int64(max(s.opts.Patience, listPatience))) // without that there is nothing
	s.share(1, func(w *worker, _ int) { s.pids, errno = w.listNumbers(facts.Processes, nil, s.proc.dir, &here) })
	s.patience.Store(int64(s.opts.Patience))
	if errno != 0 {
		return errno
	}
	if len(s.pids) == 0 {
		return errors.New("shows no process")
	}
	slices.Sort(s.pids)
	return nil
}

// haveSerials reports whether namespaces have 64-bit IDs, and handles that are not stale: in the initial PID namespace.
func haveSerials() (serials, handles bool) {
	inPassing.open()
	defer inPassing.close()
	if !sys.Have(sys.NamespaceSerials) {
		return false, false
	}
	id, err := sys.ThreadNamespaceID(species.CLONE_NEWPID)
	return true, err == nil && species.IsInitialInode(id.Ino)
}

// ownPIDNamespace returns that of this process, if it is also that of the proc file system.
func (s *scan) ownPIDNamespace() *entry {
	s.proc.askPIDNamespace.Do(func() {
		if s.proc.own {
			s.proc.pidNamespace = s.openOwn(species.CLONE_NEWPID)
		}
	})
	return s.proc.pidNamespace
}

// openOwn returns the calling thread's namespace of that type, nil if it cannot be opened.
func (s *scan) openOwn(t species.NamespaceType) *entry {
	n, _ := s.table.openFD(t, func() (*sys.FD, error) { return sys.OpenThreadNamespace(t) })
	return n
}

// isOwnProc reports whether the proc file system is of our own PID namespace: that is where we have a single PID.
func (s *scan) isOwnProc() bool {
	status, ok := procfs.ParseStatus(s.readSelf("status"), nil)
	return ok && len(status.PIDs) == 1 && status.PIDs[0] == raw.OwnPID()
}
