package call

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/nsenter"
	"github.com/nsops/nsops/species"
)

// outOfReach are the types that no thread of a process with several can join.
const outOfReach = species.CLONE_NEWUSER | species.CLONE_NEWPID | species.CLONE_NEWTIME

// runInThread runs the function on a thread of this process. Argument, result and errors are encoded, as for a worker, so
// that neither side shares memory with the other.
func (c *Call) runInThread(arg []byte) ([]byte, error) {
	r, registered := lookUp(c.name)
	if !registered {
		return nil, spawnError("check", ErrNotRegistered)
	}
	refs, t, err := c.threadTarget()
	if err != nil {
		return nil, err
	}
	var text []byte
	var failure wire.Failure
	done := make(chan struct{})
	err = handle.Go(func() {
		defer close(done)
		defer t.close()
		if t.root == nil || stepInto(t.root, &failure) {
			r.runThen(c.ctx, bytes.Clone(arg), func(t []byte, f wire.Failure) { text, failure = bytes.Clone(t), f })
		}
	}, refs...)
	if err != nil {
		t.close()
		return nil, &Error{Stage: StageJoin, Op: "thread", Err: err}
	}
	if err := c.await(done); err != nil {
		return nil, err
	}
	switch {
	case text == nil:
		return nil, remoteFailure(textOf(failure))
	case uint64(len(text)) > c.limit:
		err := fmt.Errorf("too large: %d bytes, the limit is %d", len(text), c.limit)
		return nil, &Error{Stage: StageProtocol, Op: "receive", Err: err}
	}
	return text, nil
}

// await waits for the function, and when the context ends, once more for its grace.
func (c *Call) await(done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-c.ctx.Done():
	}
	select {
	case <-done:
	case <-time.After(c.grace):
	}
	return &Error{Stage: StageHandler, Op: "given up", Err: context.Cause(c.ctx)}
}

// stepInto makes a directory the root of the calling thread, which is to be thrown away and shares it with no other.
func stepInto(root *sys.FD, failure *wire.Failure) bool {
	err := sys.ChangeRoot(root)
	if err != nil {
		*failure = newFailure(fmt.Errorf("the target's root directory: %w", err))
	}
	return err == nil
}

func (c *Call) needsWorker() bool {
	return c.flags != 0 || c.asTarget || c.confined || c.onlyEnv || c.dir != "" || len(c.env)+len(c.args) > 0 ||
		c.stdin != nil || c.stdout != nil || c.stderr != nil
}

// threadTarget opens the target, and returns the namespaces to be joined. Options that require a worker are errors.
func (c *Call) threadTarget() ([]handle.Relation, *target, error) {
	if c.ctx.Err() != nil {
		return nil, nil, &Error{Stage: StageTarget, Op: "context", Err: context.Cause(c.ctx)}
	}
	if c.err != nil {
		return nil, nil, c.err
	}
	if w, isWorker := nsenter.Current(); isWorker && w.Foreign {
		return nil, nil, spawnError("check", errForeign)
	}
	if c.needsWorker() {
		return nil, nil, spawnError("check", errors.New("an option requires a worker, and InThread has none"))
	}
	runtime.LockOSThread() // whose namespaces the target's are compared with
	defer runtime.UnlockOSThread()
	t := &target{onThread: true}
	err := t.find(c)
	if err == nil && t.types&outOfReach != 0 {
		err = &Error{Stage: StageTarget, Type: t.types & outOfReach, Op: c.target.String(), Err: handle.ErrNeedsReexec}
	}
	if err != nil {
		t.close()
		return nil, nil, err
	}
	refs := make([]handle.Relation, len(t.files))
	for i, f := range t.files {
		refs[i] = handle.NamespaceFd(f.Int())
	}
	return refs, t, nil
}
