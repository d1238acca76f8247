package discover

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/nsops/nsops/internal/facts"
)

// HolderKind is how something holds a namespace or leads to it.
type HolderKind uint8

// The kinds, in the order in which references are sorted.
const (
	ByProcess   HolderKind = iota // a process is in it
	ByTask                        // a thread is in it whose process is not
	ForChildren                   // a thread's or process's children will be in it
	ByFD                          // a descriptor is open on it
	BySocket                      // a socket was made in it
	ByTun                         // a TUN or TAP device was made in it
	ByMessage                     // a descriptor is on its way in a unix socket
	ByPin                         // it is mounted
	ByKernel                      // the kernel lists it
)

// String returns a word for it.
func (k HolderKind) String() string { return facts.Kind(k).String() }

// MarshalText returns the word of String.
func (k HolderKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the word of String.
func (k *HolderKind) UnmarshalText(text []byte) error {
	if err := (*facts.Kind)(k).UnmarshalText(text); err != nil {
		return &Error{Op: "parse kind of holder", Ref: string(text), Err: errUnknownWord}
	}
	return nil
}

// Reference is one holder of a namespace.
type Reference struct {
	Kind HolderKind
	PID  int // process that holds it; of a pin, one that sees Path, 0 if that is of the mount namespace's own root
	TID  int // thread that holds it, if it is not the process
	FD   int // descriptor, for those that have one
	// MountNamespace is where it is pinned at Path; nil: not by mount.
	MountNamespace *Namespace
	Path           string
}

// String returns who holds it, such as "fd 7 of process 1234".
func (r Reference) String() string {
	who := "process " + strconv.Itoa(r.PID)
	if r.TID != 0 {
		who = "task " + strconv.Itoa(r.TID) + " of " + who
	}
	switch r.Kind {
	case ByProcess, ByTask:
		return who
	case ForChildren:
		return "children of " + who
	case ByPin:
		return fmt.Sprintf("pin %s in %s", strconv.Quote(r.Path), r.MountNamespace)
	case ByKernel:
		return "kernel"
	default:
		return r.Kind.String() + " " + strconv.Itoa(r.FD) + " of " + who
	}
}

// compareReferences sorts pins by where they are, and not by who happens to see them.
func compareReferences(a, b *Reference) int {
	if a.Kind == b.Kind && a.MountNamespace != b.MountNamespace && a.MountNamespace != nil && b.MountNamespace != nil {
		return compareNamespaces(a.MountNamespace, b.MountNamespace)
	}
	return cmp.Or(int(a.Kind)-int(b.Kind), strings.Compare(a.Path, b.Path), a.PID-b.PID, a.TID-b.TID, a.FD-b.FD)
}
