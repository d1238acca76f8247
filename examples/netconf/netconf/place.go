package netconf

import (
	"strconv"

	"github.com/nsops/nsops/handle"
)

// DefaultRunDir is where locks and records are unless a Place says otherwise: only root must be able to write there.
const DefaultRunDir = "/run/nsops-netconf"

// Place says where a configuration goes to.
type Place struct {
	// Host is the network namespace of bridge and host end; see handle.Get. It is the caller's, who closes it.
	Host handle.NsHandle
	// Target gets the interface. It must not be Host, nor the network namespace of the calling thread.
	Target Target
	// RunDir is the folder of locks and records, "" for DefaultRunDir. It is made if it is not there.
	RunDir string
}

// Target names a network namespace: exactly one field is set.
type Target struct {
	PID  int    // a process in it; only this way there can be DNS and Sysctls
	Path string // a file that is the namespace, such as /proc/PID/ns/net or a pin
	Name string // a pin of `ip netns`
}

// String returns what the target is given by.
func (t Target) String() string {
	switch {
	case t.PID != 0:
		return "process " + strconv.Itoa(t.PID)
	case t.Name != "":
		return "netns " + t.Name
	}
	return t.Path
}

// sandbox returns a path of the namespace, for a CNI result.
func (t Target) sandbox() string {
	switch {
	case t.PID != 0:
		return "/proc/" + strconv.Itoa(t.PID) + "/ns/net"
	case t.Name != "":
		return "/run/netns/" + t.Name
	}
	return t.Path
}
