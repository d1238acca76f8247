package wire

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/nsops/nsops/species"
)

// Turns checks the order of the records from a worker and from the process that forks it. A hostile target may control
// the worker once the bootstrap has ended: a record out of order, such as a failure to join after the join, is refused.
type Turns struct {
	Forks bool // a FORKED record must name the worker
	came  uint // the kinds of records that have come, as bits
}

// Next accepts the next record or returns an error. fromChild: the kernel names our child as its sender, which is the
// worker or, if Forks, the process that forks it.
func (t *Turns) Next(r Record, fromChild bool) error {
	if err := r.Check(); err != nil {
		return err
	}
	if !t.allows(r, fromChild) {
		return fmt.Errorf("record of kind %d out of turn", r.Kind)
	}
	t.came |= 1 << r.Kind
	return nil
}

func (t *Turns) has(kind uint16) bool { return t.came&(1<<kind) != 0 }

// allows reports whether the record may come now. There are two orders: JOINED, READY, RESULT, and FAILED alone. Without
// READY the result must be a failure. FORKED may come at any time: its sender and the worker run concurrently.
func (t *Turns) allows(r Record, fromChild bool) bool {
	switch r.Kind {
	case KindForked:
		return t.Forks && !t.has(KindForked) && fromChild
	case KindJoined, KindFailed:
		return !t.has(KindJoined) && !t.Done()
	case KindReady:
		return t.has(KindJoined) && !t.has(KindReady) && !t.Done()
	case KindResult:
		return t.has(KindJoined) && !t.Done() && (t.has(KindReady) || r.Stage == OutcomeFailure)
	}
	return false
}

// Ready reports whether the handler was started.
func (t *Turns) Ready() bool { return t.has(KindReady) }

// Done reports whether the last record has come: a result or a failure.
func (t *Turns) Done() bool { return t.has(KindFailed) || t.has(KindResult) }

// Check returns an error if a field of the record is one that no honest sender sets. Print nothing of a record before.
func (r Record) Check() error {
	want := Record{Magic: r.Magic, Kind: r.Kind}
	switch r.Kind {
	case KindForked:
		want.Pid = r.Pid
	case KindFailed:
		if !r.failureIsPlausible() {
			return fmt.Errorf("failure of stage %d, type %#x, errno %d, step %+q", r.Stage, r.Type, r.Errno, r.Step)
		}
		want.Stage, want.Type, want.Errno, want.Pid, want.Step = r.Stage, r.Type, r.Errno, r.Pid, r.Step
	case KindCall:
		want.Pid, want.Type, want.Size = r.Pid, r.Type, r.Size
	case KindResult:
		want.Stage, want.Size = r.Stage, r.Size
		if r.Stage > OutcomeFailure {
			return fmt.Errorf("outcome %d of a handler", r.Stage)
		}
	}
	if r != want || r.Pid < 0 && r.Kind != KindFailed || r.Kind == KindForked && r.Pid == 0 {
		return fmt.Errorf("record of kind %d with fields of another kind", r.Kind)
	}
	return nil
}

const maxErrno = 4095 // the kernel's MAX_ERRNO

// failureIsPlausible reports whether the bootstrap may have sent the failure: of one type of namespace, or of several if
// the request itself was invalid. The step must be printable ASCII text, followed by zeros only.
func (r Record) failureIsPlausible() bool {
	ofOneType := r.Stage >= StageSpawn && r.Stage <= StagePrivileges && bits.OnesCount32(r.Type) <= 1
	step := strings.TrimRight(string(r.Step[:]), "\x00")
	odd := func(c rune) bool { return c < ' ' || c > '~' }
	return (ofOneType || r.Stage == StageProtocol) && r.Type&^uint32(species.AllNS) == 0 &&
		r.Errno >= 0 && r.Errno <= maxErrno && !strings.ContainsFunc(step, odd)
}
