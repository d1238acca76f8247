package scan

import (
	"cmp"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/taskiter"
	"github.com/nsops/nsops/species"
)

// snapshot is what the kernel tells of all threads and descriptors at once, without a look into /proc.
type snapshot struct {
	records *taskiter.Snapshot
	tasks   []numberedTask
	files   []taskiter.File
}

// numberedTask is where the snapshot has a thread.
type numberedTask struct{ pid, tid, index int32 }

// worthASnapshot is the number of processes from which on it costs less to read the kernel's types and have it check two
// programs than to read /proc. That is done once, so a program that discovers a second time does it in any case.
const worthASnapshot = 160

// discoveries is how many this program has made.
var discoveries atomic.Int64

// takeSnapshot asks the kernel for one before the discovery has any descriptors of namespaces. It does without if that
// fails, if the proc file system is not of the same processes, or if namespaces cannot be opened by what it tells of them.
func (s *scan) takeSnapshot() {
	if s.opts.NoSnapshot || len(s.pids) == 0 || s.first && len(s.pids) < worthASnapshot {
		return
	}
	records, err := taskiter.Read(s.opts.has(facts.InFlight))
	if err != nil {
		return
	}
	all := &snapshot{records: records, tasks: make([]numberedTask, 0, records.Len())}
	var t taskiter.Task
	var own [taskiter.Links]taskiter.Namespace
	for i := range records.Len() {
		if !records.Task(i, &t) {
			continue
		}
		all.tasks = append(all.tasks, numberedTask{int32(t.TGID), int32(t.TID), int32(i)})
		if t.TID == raw.OwnPID() {
			s.proc.own = s.isOwnProcFor(&t) && s.hasSameClock(&t)
			own = t.Links
		}
	}
	if !s.proc.own || !all.opens(&own) {
		return
	}
	slices.SortFunc(all.tasks, func(a, b numberedTask) int { return cmp.Or(int(a.pid-b.pid), int(a.tid-b.tid)) })
	var fds []int
	records.Files(func(f taskiter.File) {
		all.files = append(all.files, f)
		if f.TID == s.proc.self {
			fds = append(fds, f.FD)
		}
	})
	if fds != nil {
		s.lookAtSelf(s.caller.read, fds...)
	}
	slices.SortFunc(all.files, func(a, b taskiter.File) int { return cmp.Or(a.TGID-b.TGID, a.TID-b.TID, a.FD-b.FD) })
	s.snapshot, s.table.serials, s.table.handles = all, true, true
	s.addNewcomers()
}

// opens reports whether namespaces can be opened by their file handles. It tries some that are not our own: newer kernels
// than 6.18 call these stale outside the initial PID namespace.
func (s *snapshot) opens(own *[taskiter.Links]taskiter.Namespace) bool {
	inPassing.open()
	defer inPassing.close()
	const enough = 8 // some may be gone
	var t taskiter.Task
	tries := 0
	for i := 0; i < s.records.Len() && tries < enough; i++ {
		if !s.records.Task(i, &t) {
			continue
		}
		for at, is := range t.Links[:len(facts.Types)] {
			if is.Serial == 0 || is.Serial == own[at].Serial {
				continue
			}
			fd, errno := sys.OpenHandle(raw.Handle{Serial: is.Serial, Type: facts.Types[at], Inode: is.Inode})
			if errno == 0 {
				raw.Close(fd)
				return true
			}
			tries++
		}
	}
	return tries == 0
}

// isOwnProcFor reports whether /proc is of our PID namespace, given our record: only there we have that PID.
func (s *scan) isOwnProcFor(t *taskiter.Task) bool {
	for level, number := range t.Numbers {
		if number == s.proc.self && level != t.Level {
			return s.isOwnProc()
		}
	}
	return t.TID == s.proc.self
}

// ticks turns nanoseconds into clock ticks, of which the kernel shows user space 100 in a second.
func ticks(nanoseconds uint64) uint64 { return nanoseconds / 10_000_000 }

// hasSameClock reports whether /proc counts from boot like the kernel: not so in some time namespaces.
func (s *scan) hasSameClock(t *taskiter.Task) bool {
	if species.IsInitialInode(uint64(t.Links[facts.Time].Inode)) {
		return true
	}
	stat, ok := procfs.ParseStat(s.readSelf("stat"))
	return ok && stat.Start == ticks(t.Start)
}

// addNewcomers adds processes that came after /proc was listed, or that it does not show. The snapshot may lack others.
func (s *scan) addNewcomers() {
	listed := len(s.pids)
	for _, t := range s.snapshot.tasks {
		if t.tid != t.pid {
			continue
		}
		if _, found := slices.BinarySearch(s.pids[:listed], int(t.pid)); !found {
			s.pids = append(s.pids, int(t.pid))
		}
	}
	slices.Sort(s.pids)
}

// of returns the threads of a process, and the descriptors.
func (s *snapshot) of(pid int) (tasks []numberedTask, files []taskiter.File) {
	return ofProcess(s.tasks, pid, func(t *numberedTask) int { return int(t.pid) }),
		ofProcess(s.files, pid, func(f *taskiter.File) int { return f.TGID })
}

func ofProcess[T any](all []T, pid int, pidOf func(*T) int) []T {
	first := sort.Search(len(all), func(i int) bool { return pidOf(&all[i]) >= pid })
	end := first
	for end < len(all) && pidOf(&all[end]) == pid {
		end++
	}
	return all[first:end]
}
