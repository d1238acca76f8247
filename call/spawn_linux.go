package call

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/nsenter"
	"github.com/nsops/nsops/species"
)

// Descriptors of a worker besides stdio.
const (
	workerChannel  = 3
	workerLifeline = 4
)

// SpawnInNamespaces starts a worker in the target's namespaces, runs the handler there, waits for its end, and decodes
// its result into ret, a pointer as for json.Unmarshal; nil discards it. The caller's own namespaces, threads and
// descriptors stay as they are. Unless it says otherwise through an error of the stages target or spawn, the worker ran
// in all the namespaces asked for or ran no Go code at all.
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
	arg, err := c.check()
	if err != nil {
		return err
	}
	ctx, cancel := c.context()
	defer cancel()
	if ctx.Err() != nil {
		return &Error{Stage: StageTarget, Op: "context", Err: context.Cause(ctx)}
	}
	// PDEATHSIG kills the worker when the thread ends that started it, so that thread is ours until the worker is gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t, err := findTarget(c.pid, c.identity, c.types)
	if err != nil {
		return err
	}
	defer t.close()
	body, err := c.run(ctx, t, arg)
	if err != nil || ret == nil {
		return err
	}
	if err := json.Unmarshal(body, ret); err != nil {
		return &Error{Stage: StageProtocol, Op: "decode result", Err: err}
	}
	return nil
}

// check finds what is wrong with the call itself, before anything is opened, and encodes the argument.
func (c *Call) check() ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	w, isWorker := nsenter.Current()
	_, registered := lookUp(c.name)
	var err error
	switch {
	case !nsenter.Linked:
		err = ErrNotLinked
	case !handled.Load():
		err = errNoHandle
	case !registered:
		err = ErrNotRegistered
	case isWorker && w.Joined&species.CLONE_NEWNS != 0:
		err = errForeignMnt
	case depth() >= maxDepth:
		err = errTooDeep
	}
	if err != nil {
		return nil, &Error{Stage: StageSpawn, Op: "check", Err: err}
	}
	arg, err := json.Marshal(c.arg)
	if err != nil {
		return nil, &Error{Stage: StageHandler, Op: "encode argument", Err: err}
	}
	return arg, nil
}

// run starts the worker and sees it to its end.
func (c *Call) run(ctx context.Context, t *target, arg []byte) ([]byte, error) {
	ours, theirs, err := sys.Socketpair()
	if err != nil {
		return nil, spawnError("socketpair", err)
	}
	defer closeAll(ours, theirs)
	lifeline, remote, err := sys.Socketpair()
	if err != nil {
		return nil, spawnError("socketpair", err)
	}
	defer closeAll(lifeline, remote)
	request := c.request(t, wire.FlagSpawn)
	request.Lifeline = workerLifeline
	env, marks := c.workerEnv(workerChannel, 1)
	if err := sendRequest(ours, request, t, c.name, arg, marks); err != nil {
		return nil, spawnError("send request", err)
	}
	streams, err := c.streams()
	if err != nil {
		return nil, spawnError("stdio", err)
	}
	defer streams.close()
	child, err := start(t, env, append(streams.worker(), theirs.Int(), remote.Int()))
	if err != nil {
		return nil, spawnError("start the program again", err)
	}
	closeAll(theirs, remote)
	streams.started()
	x := exchange{channel: ours, lifeline: lifeline, child: child, limit: c.limit, forked: t.types&species.CLONE_NEWPID != 0}
	return x.run(ctx, streams)
}

func start(t *target, env []string, files []int) (*sys.Child, error) {
	path, err := sys.Executable(t.types&species.CLONE_NEWPID != 0)
	if err != nil {
		return nil, err
	}
	return sys.Spawn(path, os.Args[:1], env, files)
}

func (c *Call) request(t *target, flags uint32) wire.Request {
	r := wire.Request{Flags: c.flags | flags, Types: uint32(t.types), UID: unprivileged(os.Getuid()), GID: unprivileged(os.Getgid()), Lifeline: -1}
	n := uint32(0)
	for ns := range species.Set(t.types).All() {
		r.Order[n] = uint32(ns)
		n++
	}
	r.FDs = min(n, 1)
	if len(t.files) > 0 {
		r.Flags |= wire.FlagByFD
		r.FDs = n
	}
	return r
}

// nobody is the UID and GID that stands for no user, of the kernel and of man 7 user_namespaces.
const nobody = 65534

func unprivileged(id int) uint32 {
	if id == 0 {
		return nobody
	}
	return uint32(id)
}

// sendRequest sends all that the worker is told, before it exists.
func sendRequest(channel *sys.FD, r wire.Request, t *target, name string, arg []byte, marks uint32) error {
	var fds []int
	for _, f := range t.files {
		fds = append(fds, f.Int())
	}
	if r.FDs > 0 && len(fds) == 0 {
		fds = append(fds, t.process.Int())
	}
	if err := sys.Send(channel, wire.AppendRequest(nil, r), fds...); err != nil {
		return err
	}
	runtime.KeepAlive(t)
	body := append([]byte(name), arg...)
	return send(channel, wire.Record{Kind: wire.KindCall, Pid: int32(len(name)), Type: marks}, body)
}

func spawnError(op string, err error) error { return &Error{Stage: StageSpawn, Op: op, Err: err} }

func closeAll(fds ...*sys.FD) {
	for _, f := range fds {
		_ = f.Close()
	}
}
