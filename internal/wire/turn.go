package wire

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/nsops/nsops/species"
)

// Turns is the order in which records may come from a worker, and from the process that forks it if there is one. Some
// of them may be forged: from the moment that the bootstrap is done, a worker may be in hostile hands. What comes out of
// turn is refused; above all, a worker that has joined cannot say any more that it failed to.
type Turns struct {
	Forks  bool // a record names the worker
	forked bool // that record came
	ready  bool // the handler was started
	after  int  // kind of the last record but FORKED
}

var errTurn = errors.New("out of turn")

// Next takes the next record, or refuses it. fromChild says that the kernel names our own child as its sender, which is
// the worker or, if Forks, the process that forks it.
func (t *Turns) Next(r Record, fromChild bool) error {
	if err := r.Check(); err != nil {
		return err
	}
	if !t.may(r, fromChild) {
		return fmt.Errorf("record of kind %d %w", r.Kind, errTurn)
	}
	if r.Kind == KindForked {
		t.forked = true
	} else {
		t.after = int(r.Kind)
		t.ready = t.ready || r.Kind == KindReady
	}
	return nil
}

// may knows two orders: JOINED, READY, RESULT, or FAILED alone. A result other than a failure takes a handler that runs.
// FORKED may come late, since its sender and the worker run at the same time.
func (t *Turns) may(r Record, fromChild bool) bool {
	switch r.Kind {
	case KindForked:
		return t.Forks && !t.forked && fromChild
	case KindJoined, KindFailed:
		return t.after == 0
	case KindReady:
		return t.after == KindJoined
	case KindResult:
		return t.after == KindReady || t.after == KindJoined && r.Stage == OutcomeFailure
	}
	return false
}

// Ready reports whether the handler was started.
func (t *Turns) Ready() bool { return t.ready }

// Done reports whether a result or a failure came.
func (t *Turns) Done() bool { return t.after == KindFailed || t.after == KindResult }

// Check returns an error if the record has what no honest sender puts into it. Before that, nothing of it is to be shown to
// anybody.
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
		return fmt.Errorf("record of kind %d with fields that it has not", r.Kind)
	}
	return nil
}

// maxErrno is the kernel's MAX_ERRNO.
const maxErrno = 4095

// failureIsPlausible reports whether the bootstrap may have sent it. It blames one type of namespace, or where the
// request itself was nonsense, several.
func (r Record) failureIsPlausible() bool {
	switch r.Stage {
	case StageSpawn, StageJoin, StageMounts, StagePrivileges:
		if bits.OnesCount32(r.Type) > 1 {
			return false
		}
	case StageProtocol:
	default:
		return false
	}
	return r.Type&^uint32(species.AllNS) == 0 && r.Errno >= 0 && r.Errno <= maxErrno && r.stepIsText()
}

// stepIsText reports whether the step is printable, and zero from its end on.
func (r Record) stepIsText() bool {
	for i, c := range r.Step {
		if i >= len(r.StepName()) {
			if c != 0 {
				return false
			}
		} else if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
