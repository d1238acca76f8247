package taskiter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// The namespaces of a thread: the eight types in listing order, then the two for its children.
const (
	PIDForChildren = 8 + iota
	TimeForChildren
	Links
)

// Namespace names a namespace by its 64-bit ID, and by the inode number that it has or would have. Both are 0 if there is
// none. Owner is the 64-bit ID of its owner, where that is told: for user and PID namespaces, and of descriptors, it is 0.
type Namespace struct {
	Serial, Owner uint64
	Inode         uint32
}

// Task is a thread. TGID is the PID of its process; both are those of our PID namespace.
type Task struct {
	TGID, TID int
	Parent    int // 0: beyond our PID namespace
	UID, GID  int
	Kernel    bool
	State     byte   // of proc_pid_stat(5)
	Start     uint64 // nanoseconds after boot
	Threads   int    // of its process
	Groups    uint64 // the same for threads that are in the same cgroups of all hierarchies
	Name      []byte
	Links     [Links]Namespace
	Numbers   []int // TIDs in each PID namespace, from the initial one to that of the thread
	Level     int   // which of them is that in our PID namespace
}

// FileKind is what a descriptor is of.
type FileKind uint32

// The kinds.
const (
	Held   FileKind = 1 + iota // a namespace
	Socket                     // a socket, in Namespace
	Tun                        // a TUN or TAP device, which may be elsewhere
)

// File is a descriptor of a process, or of a thread with a table of its own.
type File struct {
	TGID, TID, FD int
	Kind          FileKind
	Type          species.NamespaceType // of a Held one
	Namespace     Namespace
}

// Snapshot is what the iterators tell. The threads are in the order of their TIDs, not by process.
type Snapshot struct {
	tasks, files []byte
	local        map[uint32]int // PIDs in the initial PID namespace to ours
	initial      bool           // they are the same
}

// Read reads all threads, and the descriptors that lead to other namespaces than those of their process. With unix all
// unix sockets are among these. The programs are kept, each with a descriptor.
func Read(unix bool) (*Snapshot, error) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 || ^uintptr(0)>>32 == 0 {
		return nil, errors.ErrUnsupported
	}
	files := &fileReader
	if unix {
		files = &unixReader
	}
	s, err := readTasks(nil)
	if err != nil {
		return nil, err
	}
	if s.files, err = files.read(nil); err != nil {
		return nil, err
	}
	return s, nil
}

// Release makes room for the next Snapshot. This one is empty then.
func (s *Snapshot) Release() {
	tasks, files := s.tasks, s.files
	s.tasks, s.files = nil, nil
	rooms.Put(&tasks)
	rooms.Put(&files)
}

// Again reads all threads once more, and no descriptors. The first Snapshot is of no use any more.
func (s *Snapshot) Again() (*Snapshot, error) { return readTasks(s.tasks) }

func readTasks(buf []byte) (*Snapshot, error) {
	if err := sys.MayTrace(); err != nil {
		return nil, err
	}
	tasks, err := taskReader.read(buf)
	if err != nil {
		return nil, err
	}
	s := Snapshot{tasks: tasks}
	s.local = make(map[uint32]int, s.Len())
	for i := range s.Len() {
		r := s.record(i)
		s.local[u32(r, taskTID)] = localNumber(r)
		s.initial = u32(r, taskReaderLevel) == 0
	}
	return &s, nil
}

// Len returns the number of threads.
func (s *Snapshot) Len() int { return len(s.tasks) / taskSize }

func (s *Snapshot) record(i int) []byte { return s.tasks[i*taskSize : (i+1)*taskSize] }

func u32(b []byte, at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
func u64(b []byte, at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }

// localNumber returns the TID in our PID namespace, 0 if the thread has just ended.
func localNumber(r []byte) int {
	level := u32(r, taskReaderLevel)
	if level > u32(r, taskLevel) || level >= maxNumbers {
		return 0
	}
	return int(u32(r, taskNumbers+4*int(level)))
}

// localOf returns the number in our PID namespace of a thread that may not be among those told.
func (s *Snapshot) localOf(number uint32) int {
	if s.initial {
		return int(number)
	}
	return s.local[number]
}

const kernelThread = 0x00200000 // PF_KTHREAD

var mountNamespace = place(species.CLONE_NEWNS)

// Task reads one of the threads. It is false if that had just ended, or was about to: it has left its namespaces by then,
// and is no zombie yet. What it returns is valid as long as the Snapshot; its Numbers, until the next call with the same t.
func (s *Snapshot) Task(i int, t *Task) bool {
	r := s.record(i)
	*t = Task{
		TGID:    s.localOf(u32(r, taskTGID)),
		TID:     localNumber(r),
		Parent:  s.localOf(u32(r, taskParent)),
		UID:     int(int32(u32(r, taskUID))),
		GID:     int(int32(u32(r, taskGID))),
		Kernel:  u32(r, taskFlags)&kernelThread != 0,
		State:   stateLetter(u32(r, taskState), u32(r, taskExit)),
		Start:   u64(r, taskStart),
		Threads: int(u32(r, taskThreads)),
		Groups:  u64(r, taskGroups),
		Numbers: t.Numbers[:0],
		Level:   int(u32(r, taskReaderLevel)),
	}
	t.Name, _, _ = bytes.Cut(r[taskName:taskName+nameSize], []byte{0})
	for i := range t.Links {
		t.Links[i] = namespaceIn(r[taskLinks+i*linkSize:])
	}
	for level := range min(int(u32(r, taskLevel))+1, maxNumbers) {
		t.Numbers = append(t.Numbers, int(u32(r, taskNumbers+4*level)))
	}
	left := t.Links[mountNamespace].Serial == 0 && t.State != 'Z' && t.State != 'X'
	return t.TID != 0 && t.TGID != 0 && !left
}

func namespaceIn(link []byte) Namespace {
	return Namespace{u64(link, linkSerial), u64(link, linkOwner), u32(link, linkInode)}
}

// stateLetter is how proc_pid_stat(5) writes a state: the highest bit counts. What waits for a lock of a real-time
// kernel, or is frozen by version 1 of cgroups, is uninterruptible there.
func stateLetter(state, exit uint32) byte {
	const idle, lockOrFrozen, reported = 0x402, 0x9000, 0x7f // TASK_IDLE, TASK_RTLOCK_WAIT|TASK_FROZEN, TASK_REPORT
	switch {
	case state&lockOrFrozen != 0:
		return 'D'
	case state&idle == idle:
		return 'I'
	}
	return "RSDTtXZP"[bits.Len32((state|exit)&reported)]
}

// Files calls f with each descriptor.
func (s *Snapshot) Files(f func(File)) {
	for r := s.files; len(r) >= fileSize; r = r[fileSize:] {
		f(File{
			TGID: s.localOf(u32(r, fileTGID)), TID: s.localOf(u32(r, fileTID)), FD: int(u32(r, fileFD)),
			Kind: FileKind(u32(r, fileKind)), Type: species.NamespaceType(u32(r, fileType)),
			Namespace: namespaceIn(r[fileLink:]),
		})
	}
}
