package facts

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/nsops/nsops/species"
)

// Types are the eight types in listing order. What there is one of for each type has it at that index.
var Types = [8]species.NamespaceType(slices.Collect(species.Set(species.AllNS).All()))

// TypeIndex returns the index of a type in Types, -1 for no type.
func TypeIndex(t species.NamespaceType) int { return slices.Index(Types[:], t) }

// Links are the namespaces of a process or thread: those that it is in, at the indices of Types, and those that its
// children will be in, if these are others.
type Links [TimeForChildren + 1]Ref

// Indices in Links.
var (
	Mnt  = TypeIndex(species.CLONE_NEWNS)
	PID  = TypeIndex(species.CLONE_NEWPID)
	Net  = TypeIndex(species.CLONE_NEWNET)
	Time = TypeIndex(species.CLONE_NEWTIME)
)

// The indices in Links that come after those of the types.
const (
	PIDForChildren = len(Types) + iota
	TimeForChildren
)

// In returns those that the process or thread is in.
func (l *Links) In() *[len(Types)]Ref { return (*[len(Types)]Ref)(l[:]) }

// LinkType returns the type at an index in Links.
func LinkType(i int) species.NamespaceType {
	switch i {
	case PIDForChildren:
		return species.CLONE_NEWPID
	case TimeForChildren:
		return species.CLONE_NEWTIME
	}
	return Types[i]
}

// LinkName returns the name of the link in /proc/PID/ns that is at an index in Links.
func LinkName(i int) string {
	name := LinkType(i).Name()
	if i >= PIDForChildren {
		name += "_for_children"
	}
	return name
}

// MarshalJSON returns an object of inode numbers by the names of links.
func (l Links) MarshalJSON() ([]byte, error) {
	links := map[string]Ref{}
	for i, ref := range l {
		if ref != 0 {
			links[LinkName(i)] = ref
		}
	}
	return json.Marshal(links)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (l *Links) UnmarshalJSON(text []byte) error {
	var links map[string]Ref
	if err := json.Unmarshal(text, &links); err != nil {
		return err
	}
	for i := range l {
		l[i] = links[LinkName(i)]
	}
	return nil
}

// Place refers to a container: it is one more than the index in Facts.Containers, 0 for none. In JSON it is the index.
type Place int32

// MarshalJSON returns the index.
func (p Place) MarshalJSON() ([]byte, error) { return json.Marshal(int32(p) - 1) }

// UnmarshalJSON reads what MarshalJSON writes.
func (p *Place) UnmarshalJSON(text []byte) error {
	var index *int32
	if err := json.Unmarshal(text, &index); err != nil || index == nil {
		return err
	}
	if *p = Place(*index + 1); *p <= 0 {
		return errors.New("not the index of a container")
	}
	return nil
}

// State is the state of a process, as proc_pid_stat(5) has it.
type State byte

// Zombie reports whether it is that of a process or thread that has ended.
func (s State) Zombie() bool { return s == 'Z' || s == 'X' || s == 'x' }

// MarshalJSON returns it as a string.
func (s State) MarshalJSON() ([]byte, error) { return json.Marshal(string(rune(s))) }

// UnmarshalJSON reads what MarshalJSON writes.
func (s *State) UnmarshalJSON(text []byte) error {
	var word string
	err := json.Unmarshal(text, &word)
	if word != "" {
		*s = State(word[0])
	}
	return err
}
