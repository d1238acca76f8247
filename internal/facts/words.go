package facts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Sources are those of package discover.
type Sources uint32

// The sources, as package discover has them.
const (
	None Sources = 1 << iota
	Processes
	Tasks
	FDs
	Sockets
	Mounts
	Hierarchy
	Ownership
	Cgroups
	Details
	TunTap
	InFlight
	AllMountNamespaces
	KernelList
	MountTables
	PathFDs
)

var sourceNames = []string{"none", "processes", "tasks", "fds", "sockets", "mounts", "hierarchy", "ownership", "cgroups",
	"details", "tuntap", "inflight", "allmountnamespaces", "kernellist", "mounttables", "pathfds"}

// Has reports whether all of these are among the sources.
func (s Sources) Has(these Sources) bool { return s&these == these }

// String returns the names of the sources with commas between them.
func (s Sources) String() string {
	var names []string
	for i, name := range sourceNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}

// MarshalText returns the text of String.
func (s Sources) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the text of String.
func (s *Sources) UnmarshalText(text []byte) error {
	found, unknown := ParseSources(string(text))
	if unknown != "" {
		return fmt.Errorf("unknown source %q", unknown)
	}
	*s = found
	return nil
}

// ParseSources reads the text of String, and returns the first word that is not a source, "" if there is none.
func ParseSources(text string) (found Sources, unknown string) {
	for word := range strings.SplitSeq(text, ",") {
		at := slices.Index(sourceNames, word)
		switch {
		case at >= 0:
			found |= 1 << at
		case word != "":
			return 0, word
		}
	}
	return found, ""
}

// Kind is how something holds a namespace, as package discover has it.
type Kind uint8

// The kinds, in the order in which references are sorted.
const (
	ByProcess Kind = iota
	ByTask
	ForChildren
	ByFD
	BySocket
	ByTun
	ByMessage
	ByPin
	ByKernel
)

var kindNames = []string{"process", "task", "children", "fd", "socket", "tun", "message", "pin", "kernel"}

// String returns a word for it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return strconv.Itoa(int(k))
}

// MarshalText returns the word of String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the word of String.
func (k *Kind) UnmarshalText(text []byte) error {
	at := slices.Index(kindNames, string(text))
	if at < 0 {
		return fmt.Errorf("unknown kind of holder %q", text)
	}
	*k = Kind(at)
	return nil
}
