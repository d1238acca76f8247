package facts

import (
	"cmp"
	"sort"
	"syscall"

	"github.com/nsops/nsops/species"
)

// Version is that of the form of the JSON. It changes when a reader of an earlier one would be misled.
const Version = 1

// Facts are what a discovery has found. Namespaces are sorted by type and inode number, processes by PID.
type Facts struct {
	Version    int              `json:"version"`
	Device     uint64           `json:"device"`
	Types      species.Set      `json:"types"`
	Sources    Sources          `json:"sources"`
	Proc       Text             `json:"proc"`
	Namespaces List[Namespace]  `json:"namespaces"`
	Processes  List[Process]    `json:"processes"`
	Containers List[Container]  `json:"containers"`
	Mounts     List[MountTable] `json:"mounts,omitempty"`
	Problems   List[Problem]    `json:"problems"`

	// Live reports whether this program has found them, so that 64-bit IDs are still those of the same namespaces.
	Live bool `json:"-"`
	// MountIDs are the 64-bit IDs of the mounts of each mount namespace, by the 64-bit ID of that.
	MountIDs map[uint64][]uint64 `json:"-"`
}

// Ref refers to a namespace: it is one more than the index in Facts.Namespaces, 0 for none. In JSON it is the inode number,
// which at one time is unique among all types, and of 32 bits; Resolve turns that into the index.
type Ref uint32

// Namespace is a row about a namespace.
type Namespace struct {
	Inode        uint64                `json:"inode"`
	Serial       uint64                `json:"serial,omitempty"`
	Type         species.NamespaceType `json:"type"`
	Initial      bool                  `json:"initial,omitempty"`
	OwnerHidden  bool                  `json:"ownerHidden,omitempty"`
	ParentHidden bool                  `json:"parentHidden,omitempty"`
	Owner        Ref                   `json:"owner,omitempty"`
	Parent       Ref                   `json:"parent,omitempty"`
	OwnerUID     int                   `json:"ownerUID"`
	OwnerName    Text                  `json:"ownerName,omitempty"`
	References   List[Reference]       `json:"references,omitempty"`

	// What follows from the rest, for readers of the JSON.
	Leader    int32 `json:"leader,omitempty"`
	Processes int32 `json:"processes"`
	Tasks     int32 `json:"tasks"`
}

// Reference is a row about what holds a namespace, or leads to it.
type Reference struct {
	Kind           Kind  `json:"kind"`
	PID            int32 `json:"pid,omitempty"`
	TID            int32 `json:"tid,omitempty"`
	FD             int32 `json:"fd,omitempty"`
	MountNamespace Ref   `json:"mountNamespace,omitempty"`
	Path           Text  `json:"path,omitempty"`
}

// Process is a row about a process.
type Process struct {
	PID        int        `json:"pid"`
	PPID       int        `json:"ppid"`
	Name       Text       `json:"name"`
	Cmdline    Texts      `json:"cmdline,omitempty"`
	State      State      `json:"state"`
	Kernel     bool       `json:"kernel,omitempty"`
	Frozen     bool       `json:"frozen,omitempty"`
	Container  Place      `json:"container,omitempty"`
	Start      uint64     `json:"start"`
	UID        int        `json:"uid"`
	GID        int        `json:"gid"`
	Namespaces Links      `json:"namespaces"`
	PIDs       []int      `json:"pids,omitempty"`
	Cgroup     Text       `json:"cgroup,omitempty"`
	Threads    int        `json:"threads"`
	Tasks      List[Task] `json:"tasks,omitempty"`

	FDs uint64 `json:"-"` // how many descriptors it has; 0 if not known
}

// Task is a row about a thread other than the one that has its process's PID.
type Task struct {
	TID        int    `json:"tid"`
	Name       Text   `json:"name"`
	Start      uint64 `json:"start"`
	Namespaces Links  `json:"namespaces"`
	TIDs       []int  `json:"tids,omitempty"`
}

// Container is a row about a container.
type Container struct {
	ID      Text   `json:"id"`
	Runtime string `json:"runtime,omitempty"`
	Name    Text   `json:"name,omitempty"`
	Pod     Text   `json:"pod,omitempty"`
	PodName Text   `json:"podName,omitempty"`
	Cgroup  Text   `json:"cgroup,omitempty"`
}

// MountTable are the mounts of one mount namespace.
type MountTable struct {
	Namespace Ref         `json:"namespace"`
	Mounts    List[Mount] `json:"mounts"`
}

// Mount is a row about a mount.
type Mount struct {
	ID           int    `json:"id"`
	Parent       int    `json:"parent"` // ID of another one
	Serial       uint64 `json:"serial,omitempty"`
	Dev          string `json:"dev"`
	Root         Text   `json:"root"`
	Point        Text   `json:"point"`
	Options      Text   `json:"options,omitempty"`
	Type         Text   `json:"type"`
	Source       Text   `json:"source,omitempty"`
	SuperOptions Text   `json:"superOptions,omitempty"`
	Propagation  string `json:"propagation,omitempty"`
	Hidden       bool   `json:"hidden,omitempty"` // follows from the rest
}

// Problem is a row about what could not be seen.
type Problem struct {
	Source    Sources               `json:"source"`
	PID       int                   `json:"pid,omitempty"`
	TID       int                   `json:"tid,omitempty"`
	FD        int                   `json:"fd,omitempty"`
	Type      species.NamespaceType `json:"type,omitempty"`
	Namespace uint64                `json:"namespace,omitempty"` // inode number; it need not be among the namespaces
	Path      Text                  `json:"path,omitempty"`
	Errno     syscall.Errno         `json:"errno"`
	Text      string                `json:"text"` // of the errno
}

// Process returns the index of the process with that PID, -1 if there is none.
func (f *Facts) Process(pid int) int {
	if at, ok := sort.Find(len(f.Processes), func(i int) int { return pid - f.Processes[i].PID }); ok {
		return at
	}
	return -1
}

// Namespace returns the namespace that is referred to, nil for none.
func (f *Facts) Namespace(ref Ref) *Namespace {
	if ref == 0 {
		return nil
	}
	return &f.Namespaces[ref-1]
}

// Find returns the reference to a namespace, 0 if there is none with that type and inode number.
func (f *Facts) Find(t species.NamespaceType, inode uint64) Ref {
	at, ok := sort.Find(len(f.Namespaces), func(i int) int {
		n := &f.Namespaces[i]
		return cmp.Or(TypeIndex(t)-TypeIndex(n.Type), cmp.Compare(inode, n.Inode))
	})
	if !ok {
		return 0
	}
	return Ref(at + 1)
}

// Parent returns the index of the parent of a process, -1 if it is not known, or its PID is another's by now.
func (f *Facts) Parent(i int) int {
	p := &f.Processes[i]
	if p.PPID == 0 {
		return -1
	}
	if at := f.Process(p.PPID); at >= 0 && f.Processes[at].Start <= p.Start {
		return at
	}
	return -1
}

// IsLeader reports whether the parent of a process is not in one of the namespaces that it is in.
func (f *Facts) IsLeader(i int) bool {
	parent := f.Parent(i)
	for at, ref := range f.Processes[i].Namespaces.In() {
		if ref != 0 && (parent < 0 || f.Processes[parent].Namespaces[at] != ref) {
			return true
		}
	}
	return false
}
