package call

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/nsenter"
	"github.com/nsops/nsops/species"
)

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
func (c *Call) prepare(spawn bool) (*setup, error) {
	arg, err := c.check()
	if err != nil {
		return nil, err
	}
	t, err := c.findTarget()
	if err != nil {
		return nil, err
	}
	request, err := c.request(t, spawn)
	if err != nil {
		t.close()
		return nil, err
	}
	s := &setup{target: t, cover: coverFile()}
	// A process in the target's PID namespace must find no file to overwrite in /proc/PID/exe. And a worker must not start
	// as a set-user-ID program, or the bootstrap would ignore the request.
	sealed := t.joins(species.CLONE_NEWPID) || sys.ExecutableChangesRights()
	op := "open the program"
	if s.program, s.fresh, err = sys.Executable(sealed); err == nil {
		op, err = "channel", s.sendAll(c, request, arg)
	}
	if err != nil {
		s.close()
		return nil, spawnError(op, err)
	}
	return s, nil
}

// check returns the errors of the call itself, before anything is opened, and encodes the argument.
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
	case !nsenter.Executed():
		err = fmt.Errorf("executing the file of this process again would not run the bootstrap: this code is in a library, "+
			"or the program was started through its loader, or linked with -linkmode=internal: %w", ErrNotLinked)
	case !handlesReexec.Load():
		err = errNoHandle
	case !registered:
		err = ErrNotRegistered
	case isWorker && w.Foreign:
		err = errForeignMnt
	case depth() >= maxDepth:
		err = errTooDeep
	}
	if err != nil {
		return nil, spawnError("check", err)
	}
	arg, err := json.Marshal(c.arg)
	if err != nil {
		return nil, &Error{Stage: StageHandler, Op: "encode argument", Err: err}
	}
	return arg, nil
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
	body := append([]byte(c.name), arg...)
	err = send(channel, wire.Record{Kind: wire.KindCall, Pid: int32(len(c.name)), Type: marks}, body, sys.Buffer)
	if err == nil && s.cover != nil {
		err = sys.Send(channel, []byte{wire.MarkCover}, int(s.cover.Fd()))
	}
	return err
}

// request opens the target's root, and returns the request for the bootstrap.
func (c *Call) request(t *target, spawn bool) (wire.Request, error) {
	if err := t.findRoot(c.types, c.rights); err != nil {
		return wire.Request{}, err
	}
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
	err := c.rights.apply(&r, t)
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

func spawnError(op string, err error) error { return &Error{Stage: StageSpawn, Op: op, Err: err} }

func closeAll(fds ...*sys.FD) {
	for _, f := range fds {
		_ = f.Close()
	}
}
