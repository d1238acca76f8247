package call

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// Descriptors of a worker besides stdio.
const (
	workerChannel  = 3
	workerLifeline = 4
)

// SpawnInNamespaces starts a worker in the target's namespaces, runs the handler there, waits for its end, and decodes
// its result into ret, a pointer as for json.Unmarshal; nil discards it. The caller's own namespaces, threads and
// descriptors stay as they are, and no descriptor of a worker gets into the caller. A worker is in all of the namespaces asked for, or it runs no Go code.
//
// It takes the right to inspect the target (CAP_SYS_PTRACE over it) and CAP_SYS_ADMIN in the user namespaces that own
// those to be joined (man 2 setns). Workers start from the calling thread's namespaces. Every error is an *Error. Linux
// 5.10 or newer.
func (c *Call) SpawnInNamespaces(ret any) error {
	return c.blame(c.spawn(ret))
}

func (c *Call) spawn(ret any) error {
	if v := reflect.ValueOf(ret); ret != nil && (v.Kind() != reflect.Pointer || v.IsNil()) {
		return &Error{Stage: StageTarget, Op: "result", Err: fmt.Errorf("decode into %T: a pointer is needed", ret)}
	}
	ctx, until := c.context()
	if ctx.Err() != nil {
		return &Error{Stage: StageTarget, Op: "context", Err: context.Cause(ctx)}
	}
	// PDEATHSIG kills the worker when the thread ends that started it, so that thread is ours until the worker is gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := c.prepare(true)
	if err != nil {
		return err
	}
	defer s.close()
	body, err := c.run(ctx, until, s)
	if err != nil || ret == nil {
		return err
	}
	if err := json.Unmarshal(body, ret); err != nil {
		return &Error{Stage: StageProtocol, Op: "decode result", Err: err}
	}
	return nil
}

// run starts the worker and sees it to its end.
func (c *Call) run(ctx context.Context, until time.Time, s *setup) ([]byte, error) {
	lifeline, remote, err := openLifeline()
	if err != nil {
		return nil, spawnError("lifeline", err)
	}
	defer func() { closeAll(lifeline, remote) }()
	streams, err := c.streams()
	if err != nil {
		return nil, spawnError("stdio", err)
	}
	defer streams.close()
	child, err := sys.Spawn(s.program, os.Args[:1], s.env, append(streams.worker(), s.theirs.Int(), remote.Int()), credential())
	if err != nil {
		return nil, spawnError("start the program again", err)
	}
	closeAll(s.theirs, remote)
	streams.started()
	x := exchange{
		channel: s.ours, lifeline: lifeline, file: s.result, child: child, limit: c.limit, until: until,
		turns: wire.Turns{Forks: s.target.joins(species.CLONE_NEWPID)},
	}
	s.ours, s.result, lifeline = nil, nil, nil // its
	return x.run(ctx, streams)
}

// openLifeline returns the ends of a socket whose closing ends the worker. Nothing can be sent to ours: with it could come
// descriptors, see sys.Inbox.
func openLifeline() (ours, theirs *sys.FD, err error) {
	ours, theirs, err = sys.Socketpair()
	if err == nil {
		if err = sys.StopReceiving(ours); err != nil {
			closeAll(ours, theirs)
		}
	}
	return ours, theirs, err
}
