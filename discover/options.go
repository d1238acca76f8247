package discover

import (
	"cmp"
	"time"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/species"
)

// Options say what to discover. The zero value is the standard discovery of all types.
type Options struct {
	// Types are the types of the namespaces in the result, 0 for all; bits that are no type do not count. All of these
	// types are found, also where it takes a look at others.
	Types species.Set
	// Sources are where to look, 0 for Standard.
	Sources Sources
	// Proc is the directory of the proc file system, "" for /proc. It may be of another PID namespace than ours; PIDs
	// are then those of that namespace.
	Proc string
	// Workers is how many threads share the work, 0 for one, and a second where there are thousands of processes. Two
	// take up to a fifth more of CPU time than one.
	Workers int
	// Patience is how long to wait for one file, which may be on a file system that does not answer, or for one call
	// about a process, whose user may keep it waiting; 0 for a second, only a quarter of it while two do not answer.
	// What takes longer becomes a Problem, and is left waiting, 16 calls of a program at most, on a thread each.
	Patience time.Duration
	// NoSnapshot has all be looked at in /proc, also where the kernel would tell it at once: without bpf(2), for
	// which a filter of system calls may end the program.
	NoSnapshot bool
	// Namers give names to containers, in this order, after what is known of Docker and its like without asking them.
	Namers []ContainerNamer
}

const defaultPatience = time.Second

func (o Options) withDefaults() Options {
	const all = species.Set(species.AllNS)
	o.Types = cmp.Or(o.Types&all, all)
	o.Sources = cmp.Or(o.Sources, Standard)
	o.Proc = cmp.Or(o.Proc, "/proc")
	o.Patience = cmp.Or(o.Patience, defaultPatience)
	return o
}

// Sources are where a discovery looks for namespaces, and what it finds out about them.
type Sources uint32

// The sources. docs/discovery.md says what each costs and which rights it requires.
const (
	// None is not a source. It makes a set of Sources that has nothing else different from the zero value.
	None Sources = 1 << iota
	// Processes are the namespaces of processes, and those for their children. Tasks, FDs, Cgroups and Details require it.
	Processes
	// Tasks are those of threads that may be unlike their process.
	Tasks
	// FDs are those held open by descriptors; with Tasks also by those of threads with a table of their own.
	FDs
	// Sockets are network namespaces of sockets in other ones than their process. It requires FDs.
	Sockets
	// Mounts are pins in all mount namespaces that were found.
	Mounts
	// Hierarchy is the parents of user and PID namespaces.
	Hierarchy
	// Ownership is the owners of namespaces.
	Ownership
	// Cgroups are the cgroups of leaders, from which containers are known; with Details, where there is only version 2, or
	// where the kernel tells of all processes at once (Linux 6.18), of all processes.
	Cgroups
	// Details are the command lines of all processes, not only of those that lead somewhere.
	Details

	// TunTap are the network namespaces of TUN and TAP devices that are held by a descriptor elsewhere. It requires FDs.
	TunTap
	// InFlight are namespaces whose descriptors wait in unix sockets to be received. It requires FDs.
	InFlight
	// AllMountNamespaces asks the kernel for mount namespaces, also such that no process is in (Linux 6.12, CAP_SYS_ADMIN),
	// and joins those on a thread that is thrown away to open what is pinned in there. It requires Mounts.
	AllMountNamespaces
	// KernelList asks the kernel for all namespaces (listns(2), Linux 6.19).
	KernelList
	// MountTables are the mounts of each mount namespace, in Result.Mounts. It requires Mounts.
	MountTables
	// PathFDs looks at all descriptors with a path: they may have been opened through a pin. Without it, only those are
	// looked at whose pin is gone, or all where the kernel tells of them (Linux 6.18). It requires FDs.
	PathFDs

	// Standard is what the zero value stands for.
	Standard = Processes | Tasks | FDs | Sockets | Mounts | Hierarchy | Ownership | Cgroups | Details
	// Full is everything.
	Full = Standard | TunTap | InFlight | AllMountNamespaces | KernelList | MountTables | PathFDs
)

// Has reports whether all of these are among the sources.
func (s Sources) Has(these Sources) bool { return s&these == these }

// String returns the names of the sources with commas between them.
func (s Sources) String() string { return facts.Sources(s).String() }

// MarshalText returns the text of String.
func (s Sources) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the text of String.
func (s *Sources) UnmarshalText(text []byte) error {
	found, unknown := facts.ParseSources(string(text))
	if unknown != "" {
		return &Error{Op: "parse sources", Ref: unknown, Err: errUnknownWord}
	}
	*s = Sources(found)
	return nil
}
