package discover

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// The process that discovers has descriptors of its own, which are to be found, and those of discoveries under way,
// which come and go, and are not.

// ownFD is a descriptor of this process.
type ownFD struct {
	link string
	copy int // of the same open file, for those of namespaces; raw.NoFD otherwise
}

// uncounted is held for reading while a descriptor of a namespace is open that is neither held yet nor closed again, and
// for writing while it is looked which ones this process has. It comes before table.mu.
var uncounted sync.RWMutex

// lookAtSelf notes which descriptors this process has before the discovery has any; given some, only of these.
func (s *scan) lookAtSelf(read *sys.ProcReader, only ...int) {
	uncounted.Lock()
	defer uncounted.Unlock()
	s.ownFDs = map[int]ownFD{}
	path := raw.NewPath("self/fd")
	dir, errno := raw.Open(s.proc, &path, raw.ForListing)
	if errno != 0 {
		if exhausted(errno) {
			s.table.mu.Lock()
			s.table.lacking = append(s.table.lacking, Problem{Source: FDs, PID: s.self, Errno: errno})
			s.table.mu.Unlock()
		}
		return
	}
	defer raw.CloseNoWait(dir)
	if only == nil {
		_ = read.Numbers(dir, func(fd int) { s.noteOwnFD(read, dir, fd) })
	}
	for _, fd := range only {
		s.noteOwnFD(read, dir, fd)
	}
}

// noteOwnFD looks twice whether a discovery holds it: one may just have opened it, to say so at once.
func (s *scan) noteOwnFD(read *sys.ProcReader, dir, fd int) {
	if beingHeld(fd) {
		return
	}
	text, errno := read.Link(dir, read.Number(fd))
	if errno != 0 || beingHeld(fd) {
		return
	}
	own := ownFD{string(text), raw.NoFD}
	_, _, holds := procfs.ParseLink(text)
	if s.mayBePin(text) {
		var st raw.Status
		holds = raw.StatAt(dir, read.Number(fd), &st) == 0 && st.Dev == s.table.dev
	}
	if holds {
		if own.copy = raw.Dup(fd); own.copy != raw.NoFD {
			setBeingHeld(own.copy, true)
		}
	}
	s.ownFDs[fd] = own
}

// isOwnFD says whether a descriptor of this process is the one that was there before the discovery began.
func (s *scan) isOwnFD(fd int, link []byte) bool {
	own, ok := s.ownFDs[fd]
	if !ok || own.link != string(link) || beingHeld(fd) {
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
			raw.Close(own.copy)
			setBeingHeld(own.copy, false)
		}
	}
}

// holds counts for each descriptor the discoveries of this process that hold it, so that others do not report it. It is
// more than one for a moment, when one has closed it and another has got the number.
var holds [maxHeldFD]atomic.Int32

// maxHeldFD is the first descriptor that is not held.
const maxHeldFD = 1 << 16

func setBeingHeld(fd int, held bool) {
	switch {
	case fd < 0 || fd >= maxHeldFD:
	case held:
		holds[fd].Add(1)
	default:
		holds[fd].Add(-1)
	}
}

func beingHeld(fd int) bool { return fd < maxHeldFD && holds[fd].Load() > 0 }
