package main

import (
	"fmt"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/thediveo/lxkns/ops"
	"github.com/thediveo/lxkns/ops/relations"
	lxspecies "github.com/thediveo/lxkns/species"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/species"
)

// place is the network namespace to go to, as each of the peers holds it, and a process in it.
type place struct {
	handle  handle.NsHandle
	home    handle.NsHandle
	cni     ns.NetNS
	lxkns   relations.Relation
	process *handle.Process
	sleeper *exec.Cmd
}

func newPlace() (*place, error) {
	p := &place{sleeper: exec.Command("sleep", "100000")}
	p.sleeper.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNS}
	if err := p.sleeper.Start(); err != nil {
		return nil, err
	}
	var err error
	pid := p.sleeper.Process.Pid
	path := fmt.Sprintf("/proc/%d/ns/net", pid)
	if p.handle, err = handle.GetFromPid(pid); err != nil {
		return nil, err
	}
	if p.home, err = handle.Get(); err != nil {
		return nil, err
	}
	if p.cni, err = ns.GetNS(path); err != nil {
		return nil, err
	}
	if p.lxkns, err = ops.NewTypedNamespaceFd(int(p.handle), lxspecies.CLONE_NEWNET); err != nil {
		return nil, err
	}
	p.process, err = handle.OpenProcess(pid)
	return p, err
}

func (p *place) stop() {
	_ = p.sleeper.Process.Kill()
	_ = p.sleeper.Wait()
}

func makeGroups() ([]*group, func(), error) {
	p, err := newPlace()
	if err != nil {
		return nil, nil, err
	}
	return []*group{p.fromLocked(), p.fromAny(), p.executes(), p.gets(), p.sets()}, p.stop, nil
}

func nothing() {}

func (p *place) visit() error                     { return handle.Visit(nothing, p.handle) }
func (p *place) do() error                        { return p.cni.Do(func(ns.NetNS) error { return nil }) }
func (p *place) lxVisit() error                   { return ops.Visit(nothing, p.lxkns) }
func quick(name string, call func() error) *route { return &route{name: name, call: call} }

// bare is the two system calls.
func (p *place) bare() error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETNS, uintptr(p.handle), unix.CLONE_NEWNET, 0); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETNS, uintptr(p.home), unix.CLONE_NEWNET, 0); errno != 0 {
		return errno
	}
	return nil
}

func (p *place) fromLocked() *group {
	kept := &route{name: "handle Thread.Visit"}
	kept.begin = func() (func() error, func()) {
		th := handle.LockThread()
		return func() error { return th.Visit(nothing, p.handle) }, th.Unlock
	}
	return &group{"there and back, from a locked thread", true, []*route{
		quick("two bare setns calls", p.bare),
		kept,
		quick("handle Visit", p.visit),
		quick("netns Set, Set, both handles kept", func() error {
			if err := netns.Set(netns.NsHandle(p.handle)); err != nil {
				return err
			}
			return netns.Set(netns.NsHandle(p.home))
		}),
		quick("netns Get, Set, Set, Close", p.netnsThereAndBack),
		{name: "CNI ns.Do", slow: true, call: p.do},
		quick("lxkns ops.Visit", p.lxVisit),
	}}
}

func (p *place) netnsThereAndBack() error {
	home, err := netns.Get()
	if err != nil {
		return err
	}
	if err := netns.Set(netns.NsHandle(p.handle)); err != nil {
		return err
	}
	if err := netns.Set(home); err != nil {
		return err
	}
	return home.Close()
}

func (p *place) fromAny() *group {
	floor := func() error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		return p.bare()
	}
	return &group{"there and back, from any goroutine", false, []*route{
		quick("two bare setns calls", floor),
		quick("handle Visit", p.visit),
		{name: "CNI ns.Do", slow: true, call: p.do},
		quick("lxkns ops.Visit", p.lxVisit),
	}}
}

func (p *place) executes() *group {
	return &group{"on a thread that is thrown away", false, []*route{
		{name: "spawn, lock, setns, discard by hand", slow: true, call: p.byHand},
		{name: "handle Execute", slow: true, call: p.execute(p.handle)},
		{name: "handle Execute, net of a process", slow: true, call: p.execute(p.process.Namespaces(species.CLONE_NEWNET)...)},
		{name: "handle Execute, net,uts,ipc of a process", slow: true,
			call: p.execute(p.process.Namespaces(species.CLONE_NEWNET, species.CLONE_NEWUTS, species.CLONE_NEWIPC)...)},
		{name: "lxkns ops.Execute", slow: true, call: func() error {
			_, err := ops.Execute(func() interface{} { return nil }, p.lxkns)
			return err
		}},
	}}
}

func (p *place) byHand() error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- unix.Setns(int(p.handle), unix.CLONE_NEWNET)
	}()
	return <-done
}

func (p *place) execute(refs ...handle.Relation) func() error {
	return func() error {
		_, err := handle.Execute(func() any { return nil }, refs...)
		return err
	}
}

func (p *place) gets() *group {
	return &group{"Get and Close", true, []*route{
		quick("netns", func() error {
			h, err := netns.Get()
			if err != nil {
				return err
			}
			return h.Close()
		}),
		quick("handle", func() error {
			h, err := handle.Get()
			if err != nil {
				return err
			}
			return h.Close()
		}),
	}}
}

func (p *place) sets() *group {
	return &group{"Set, there and back", true, []*route{
		quick("netns", func() error {
			if err := netns.Set(netns.NsHandle(p.handle)); err != nil {
				return err
			}
			return netns.Set(netns.NsHandle(p.home))
		}),
		quick("handle", func() error {
			if err := handle.Set(p.handle); err != nil {
				return err
			}
			return handle.Set(p.home)
		}),
	}}
}
