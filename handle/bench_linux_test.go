package handle_test

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// The floor of a visit: the two system calls, and nothing else.
func BenchmarkBareSetns(b *testing.B) {
	ns := newNetwork(b)
	lock(b)
	home, err := handle.Get()
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = home.Close() }()
	b.ReportAllocs()
	for b.Loop() {
		_, _, there := unix.RawSyscall(unix.SYS_SETNS, uintptr(ns), unix.CLONE_NEWNET, 0)
		_, _, back := unix.RawSyscall(unix.SYS_SETNS, uintptr(home), unix.CLONE_NEWNET, 0)
		if there != 0 || back != 0 {
			b.Fatal(there, back)
		}
	}
}

func BenchmarkVisit(b *testing.B) {
	ns := newNetwork(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := handle.Visit(func() {}, ns); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkThreadVisit(b *testing.B) {
	ns := newNetwork(b)
	thread := handle.LockThread()
	defer thread.Unlock()
	b.ReportAllocs()
	for b.Loop() {
		if err := thread.Visit(func() {}, ns); err != nil {
			b.Fatal(err)
		}
	}
}

// The floor of Execute.
func BenchmarkByHand(b *testing.B) {
	ns := newNetwork(b)
	b.ReportAllocs()
	for b.Loop() {
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			if sys.OnMainThread() { // by hand, this is forgotten, and uses the main thread up
				runtime.UnlockOSThread()
				done <- nil
				return
			}
			done <- unix.Setns(int(ns), unix.CLONE_NEWNET)
		}()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExecute(b *testing.B) {
	ns := newNetwork(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := handle.Execute(func() any { return nil }, ns); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExecuteOfProcess(b *testing.B) {
	target := testutil.StartTarget(b, testutil.TargetOptions{})
	process, err := handle.OpenProcess(target.PID)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = process.Close() }()
	for name, types := range map[string][]species.NamespaceType{
		"net":             {species.CLONE_NEWNET},
		"net,uts,ipc":     {species.CLONE_NEWNET, species.CLONE_NEWUTS, species.CLONE_NEWIPC},
		"net,uts,ipc,mnt": {species.CLONE_NEWNET, species.CLONE_NEWUTS, species.CLONE_NEWIPC, species.CLONE_NEWNS},
	} {
		refs := process.Namespaces(types...)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := handle.Execute(func() any { return nil }, refs...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		ns, err := handle.Get()
		if err != nil {
			b.Fatal(err)
		}
		_ = ns.Close()
	}
}
