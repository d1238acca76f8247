package call

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/nsenter"
	"github.com/nsops/nsops/species"
)

// Descriptors of a worker after stdio.
const workerChannel, workerGroup, workerLifeline = 3, 4, 5

// spawn runs a worker with the encoded argument, and returns its encoded result.
func (c *Call) spawn(arg []byte) ([]byte, error) {
	ctx, until := c.context()
	// PDEATHSIG kills the worker when the thread that has started it ends: so it must not end before the worker.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := c.prepare(true, arg)
	if err != nil {
		return nil, err
	}
	defer s.close()
	body, err := c.run(ctx, until, s)
	return body, s.target.explainEnd(s.target.explainRefusal(err))
}

// run starts the worker and waits for its end.
func (c *Call) run(ctx context.Context, until time.Time, s *setup) ([]byte, error) {
	lines, err := openLifelines()
	if err != nil {
		return nil, spawnError("lifeline", err)
	}
	defer func() { lines.close() }()
	streams, err := c.streams()
	if err != nil {
		return nil, spawnError("stdio", err)
	}
	defer streams.close()
	var child *sys.Child
	std := streams.files
	fds := []int{int(std[0].Fd()), int(std[1].Fd()), int(std[2].Fd()), s.theirs.Int(), lines.theirGroup.Int(), lines.their.Int()}
	err = sys.WithFullRights(func() (err error) {
		child, err = sys.Spawn(s.program, c.argv(), s.env, fds)
		return err
	})
	if err != nil {
		if child != nil { // it was started, but the rights of this thread could not be restored
			child.Kill()
			child.WaitLater()
		}
		return nil, spawnError("start the program again", err)
	}
	closeAll(s.theirs, lines.their)
	streams.closeWorkerFiles()
	x := exchange{
		channel: s.ours, lines: lines, child: child, limit: c.limit, until: until, grace: c.grace,
		turns: wire.Turns{Forks: s.target.joins(species.CLONE_NEWPID)},
	}
	if !x.turns.Forks {
		lines.armGroup(child)
	}
	s.ours, lines = nil, nil // the exchange closes them
	return x.run(ctx, streams)
}

func (c *Call) switchTo(arg []byte) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := c.prepare(false, arg)
	if err != nil {
		return err
	}
	defer s.close()
	return spawnError("start the program again", sys.WithFullRights(func() error {
		return sys.Exec(sys.PathOf(s.program), c.argv(), s.env, s.theirs)
	}))
}

// setup is what is needed to start a worker or a switched process.
type setup struct {
	target  *target
	ours    *sys.Inbox // our end of the channel
	theirs  *sys.FD    // the other end, with all messages for the worker
	program *sys.FD
	fresh   bool // the program is a copy for this call, to be closed
	env     []string
	cover   *os.File
}

// prepare opens the target and the program, and sends the messages for the worker. It starts nothing.
func (c *Call) prepare(spawn bool, arg []byte) (*setup, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	s := &setup{target: &target{}}
	if err := s.open(c, spawn, arg); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *setup) open(c *Call, spawn bool, arg []byte) error {
	if err := s.target.find(c); err != nil {
		return err
	}
	request, err := c.request(s.target, spawn)
	if err != nil {
		return err
	}
	s.cover = coverFile()
	// A process in the target's PID namespace must find no file to overwrite in /proc/PID/exe. And a worker must not start
	// as a set-user-ID program, or the bootstrap would ignore the request.
	sealed := s.target.joins(species.CLONE_NEWPID) || sys.ExecutableChangesRights()
	if s.program, s.fresh, err = sys.Executable(sealed); err != nil {
		return spawnError("open the program", err)
	}
	if err := s.sendAll(c, request, arg); err != nil {
		return spawnError("channel", err)
	}
	return nil
}

// check returns the errors of the call itself, before anything is opened.
func (c *Call) check() error {
	if c.ctx != nil && c.ctx.Err() != nil {
		return &Error{Stage: StageTarget, Op: "context", Err: context.Cause(c.ctx)}
	}
	if c.err != nil {
		return c.err
	}
	err := supported()
	if _, registered := lookUp(c.name); err == nil && !registered {
		err = ErrNotRegistered
	}
	if err != nil {
		return spawnError("check", err)
	}
	return nil
}

// supported returns why no call of this process can work.
func supported() error {
	w, isWorker := nsenter.Current()
	switch {
	case !nsenter.Linked:
		return ErrNotLinked
	case !nsenter.Executed():
		return fmt.Errorf("executing the file of this process again would not run the bootstrap: this code is in a library, "+
			"or the program was started through its loader, or linked with -linkmode=internal: %w", ErrNotLinked)
	case !handlesReexec.Load():
		return errors.New("HandleReexec was not called in this process: call it first in main, or in TestMain")
	case isWorker && w.Foreign:
		return errForeign
	case depth() >= maxDepth:
		return errors.New("too many nested calls: does a handler run its own program?")
	}
	return nil
}

// sendAll creates the channel, sends the request and the call before the worker is started, and sets its environment.
func (s *setup) sendAll(c *Call, request wire.Request, arg []byte) error {
	channel, theirs, err := sys.Socketpair()
	if err != nil {
		return err
	}
	s.theirs = theirs
	if s.ours, err = sys.NewInbox(channel); err != nil {
		_ = channel.Close()
		return err
	}
	number, procs, spawn := s.theirs.Int(), runtime.GOMAXPROCS(0), request.Flags&wire.FlagSpawn != 0
	if spawn {
		number, procs = workerChannel, 1
	}
	var marks uint32
	s.env, marks = c.workerEnv(number, procs)
	if s.cover != nil {
		s.env = without(s.env, coverEnv)
		marks |= wire.MarkCover
	}
	if spawn && !mayKillAllUsers() {
		marks |= wire.MarkWatch
	}
	if err := sys.Send(channel, wire.AppendRequest(nil, request), s.target.descriptors()...); err != nil {
		return err
	}
	name, err := c.withSettings(s.target)
	if err != nil {
		return err
	}
	body := append([]byte(name), arg...)
	err = send(channel, wire.Record{Kind: wire.KindCall, Pid: int32(len(name)), Type: marks}, body, sys.Buffer)
	if err == nil && s.cover != nil {
		err = sys.Send(channel, []byte{wire.MarkCover}, int(s.cover.Fd()))
	}
	return err
}

// request returns the request for the bootstrap.
func (c *Call) request(t *target, spawn bool) (wire.Request, error) {
	r := wire.Request{Flags: c.flags, Types: uint32(t.types), Lifeline: -1}
	if spawn {
		r.Flags |= wire.FlagSpawn
		r.Lifeline = workerLifeline
	}
	if len(t.files) > 0 {
		r.Flags |= wire.FlagByFD
	}
	if t.root != nil {
		r.Flags |= wire.FlagRoot
	}
	r.FDs = uint32(len(t.descriptors()))
	i := 0
	for ns := range species.Set(t.types).All() {
		r.Order[i] = uint32(ns)
		i++
	}
	err := c.applyRights(&r, t)
	return r, err
}

func (s *setup) close() {
	s.target.close()
	_ = s.ours.Close()
	_ = s.theirs.Close()
	if s.fresh {
		_ = s.program.Close()
	}
	closeCover(s.cover)
}

func closeAll(fds ...*sys.FD) {
	for _, f := range fds {
		_ = f.Close()
	}
}
