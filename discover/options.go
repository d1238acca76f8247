package discover

import (
	"time"

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
	// Patience is how long to wait for one file, which may be on a file system that does not answer, or for one call about
	// a process, whose user may keep it waiting; 0 for a second, and only a quarter of it while two do not answer.
	// What takes longer becomes a Problem. What was waited for is left waiting, 16 calls of a program at most, on a
	// thread each.
	Patience time.Duration
	// NoSnapshot has all be looked at in /proc, also where the kernel would tell it at once: without bpf(2), for
	// which a filter of system calls may end the program.
	NoSnapshot bool
	// Namers give names to containers, in this order, after what is known of Docker and its like without asking them.
	Namers []ContainerNamer
}

const defaultPatience = time.Second

func (o Options) withDefaults() Options {
	o.Types &= species.Set(species.AllNS)
	if o.Types == 0 {
		o.Types = species.Set(species.AllNS)
	}
	if o.Sources == 0 {
		o.Sources = Standard
	}
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	return o
}
