package discover

// Process is one process, as it was found. PIDs are those of the PID namespace of the proc file system that was read.
type Process struct {
	PID, PPID int
	Name      string // at most 15 bytes of it; may hold anything but a zero byte
	// Cmdline has at most 32 KiB. It is nil for kernel threads and zombies, for processes that have ended since, and
	// without Details for those that lead nowhere.
	Cmdline  []string
	State    byte   // of proc_pid_stat(5): 'Z' is a zombie, which may have living Tasks
	Kernel   bool   // a kernel thread
	Start    uint64 // clock ticks after boot: a PID with another Start is another process
	UID, GID int    // real, as our user namespace sees them; -1: not known

	Namespaces      NamespacesSet
	PIDForChildren  *Namespace // nil if it is that of the process
	TimeForChildren *Namespace // nil if it is that of the process

	// PIDs are those in each PID namespace that the process is visible in: that of the proc file system first, the
	// innermost, in which the process is, last. nil: not known.
	PIDs []int

	Cgroup    string // of version 2, or else of the hierarchy of version 1 that says most; "" if not looked at
	Frozen    bool   // of a process whose cgroup was not looked at: whether the leader of its PID or mount namespace is
	Container *Container

	Parent   *Process
	Children []*Process // sorted by PID
	Tasks    []*Task    // other than the one that has the PID, sorted by TID; nil without the source Tasks
	Threads  int        // number of all of them
}

// Task is a thread other than the one that has its process's PID.
type Task struct {
	Process *Process
	TID     int
	Name    string
	Start   uint64

	Namespaces      NamespacesSet
	PIDForChildren  *Namespace // nil if it is that of the task
	TimeForChildren *Namespace // nil if it is that of the task

	// TIDs are as Process.PIDs.
	TIDs []int
}

// Stray reports whether the task is in another namespace of some type than its process.
func (t *Task) Stray() bool {
	for i, n := range t.Namespaces {
		if n != nil && n != t.Process.Namespaces[i] {
			return true
		}
	}
	return false
}

// Numbered is a process or a task.
type Numbered interface{ *Process | *Task }

// NSpid returns the PIDs or TIDs in each PID namespace in which it is visible, that of the proc file system first.
func NSpid[P Numbered](p P) []int {
	switch p := any(p).(type) {
	case *Process:
		return p.PIDs
	case *Task:
		return p.TIDs
	}
	return nil
}
