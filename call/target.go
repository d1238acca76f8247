package call

import (
	"os"
	"strconv"

	"github.com/nsops/nsops/internal/sys"
)

// Target is what a Func runs in. The zero Target is an error of the call.
type Target struct {
	name     string
	identity sys.Identity
	source   source
	err      error
}

// String returns what the target is, for messages.
func (t Target) String() string { return t.name }

// PID is the process, or thread, that has this PID in the caller's PID namespace now: if it ends and another one gets
// the number, Do returns ErrStale. See Call.TargetPid. It requires nothing but that the process exists.
func PID(pid int) Target {
	t := Target{name: describe(pid), source: processSource(pid)}
	var err error
	if t.identity, err = identify(pid); err != nil {
		t.err = &Error{Stage: StageTarget, Op: t.name, Err: err}
	}
	return t
}

// Process is a process of package os. It must not have been waited for.
func Process(p *os.Process) Target {
	if p == nil {
		return Target{err: &Error{Stage: StageTarget, Op: "process", Err: os.ErrInvalid}}
	}
	return PID(p.Pid)
}

func describe(pid int) string { return "process " + strconv.Itoa(pid) }
