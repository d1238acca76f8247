package scan

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// The process that discovers has descriptors of its own, which are to be found, and those of discoveries under way,
// which come and go, and are not.

// passing counts the descriptors of namespaces, or of what may be one, that discoveries of this process have open without
// having added them to ours: open is called before one is opened, close after it was added or closed.
type passing struct{ mu sync.RWMutex }

func (p *passing) open()  { p.mu.RLock() }
func (p *passing) close() { p.mu.RUnlock() }

// inPassing comes before table.mu.
var inPassing passing

// discoverers counts for each descriptor the discoveries of this process that hold it, so that others do not report it.
// It is more than one for a moment, when one has closed it and another has got the number.
type discoverers [maxHeldFD]atomic.Int32

var ours discoverers

// maxHeldFD is the first descriptor that is not held.
const maxHeldFD = 1 << 16

func (d *discoverers) add(fd int) {
	if fd >= 0 && fd < maxHeldFD {
		d[fd].Add(1)
	}
}

func (d *discoverers) hold(fd int) bool { return fd < maxHeldFD && d[fd].Load() > 0 }

// drop closes a descriptor of ours. Until it is closed it would look like the program's own.
func (d *discoverers) drop(fd int) {
	raw.Close(fd)
	if fd < maxHeldFD {
		d[fd].Add(-1)
	}
}

// ownFD is a descriptor of this process.
type ownFD struct {
	link string
	copy int // of the same open file, for those of namespaces; raw.NoFD otherwise
}

// lookAtSelf notes which descriptors this process has before the discovery has any; given some, only of these.
func (s *scan) lookAtSelf(read *sys.ProcReader, only ...int) {
	inPassing.mu.Lock() // there are none, and no others are opened
	defer inPassing.mu.Unlock()
	s.ownFDs = map[int]ownFD{}
	path := raw.NewPath("self/fd")
	dir, errno := raw.Open(s.proc.dir, &path, raw.ForListing)
	if errno != 0 {
		if exhausted(errno) {
			s.table.mu.Lock()
			s.table.lacking = append(s.table.lacking, facts.Problem{Source: facts.FDs, PID: s.proc.self, Errno: errno})
			s.table.mu.Unlock()
		}
		return
	}
	defer raw.CloseNoWait(dir)
	if only == nil {
		only, _ = read.Numbers(dir)
	}
	for _, fd := range only {
		s.noteOwnFD(read, dir, fd)
	}
}

// noteOwnFD looks twice whether a discovery holds it: one may just have opened it, to say so at once.
func (s *scan) noteOwnFD(read *sys.ProcReader, dir, fd int) {
	if ours.hold(fd) {
		return
	}
	text, errno := read.Link(dir, read.Number(fd))
	if errno != 0 || ours.hold(fd) {
		return
	}
	own := ownFD{string(text), raw.NoFD}
	_, _, holds := procfs.ParseLink(text)
	if s.opts.mayBePin(text) {
		var st raw.Status
		holds = raw.StatAt(dir, read.Number(fd), &st) == 0 && st.Dev == s.table.dev
	}
	if holds {
		if own.copy = raw.Dup(fd); own.copy != raw.NoFD {
			ours.add(own.copy)
		}
	}
	s.ownFDs[fd] = own
}

// isOwnFD reports whether a descriptor of this process is the one that was there before the discovery began.
func (s *scan) isOwnFD(fd int, link []byte) bool {
	own, ok := s.ownFDs[fd]
	if !ok || own.link != string(link) || ours.hold(fd) {
		return false
	}
	if own.copy == raw.NoFD {
		return true
	}
	same, errno := raw.SameFile(fd, own.copy) // EBADF: it was another discovery's, which has just closed it
	return same || errno != 0 && errno != syscall.EBADF
}

func (s *scan) releaseSelf() {
	for _, own := range s.ownFDs {
		if own.copy != raw.NoFD {
			ours.drop(own.copy)
		}
	}
}
