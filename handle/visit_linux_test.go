package handle_test

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// visits are the two ways, which have to behave alike.
func visits(t *testing.T, body func(t *testing.T, visit func(func(), ...handle.Relation) error)) {
	t.Helper()
	t.Run("Visit", func(t *testing.T) {
		testutil.CheckLeaks(t)
		body(t, handle.Visit)
	})
	t.Run("Thread", func(t *testing.T) {
		testutil.CheckLeaks(t)
		thread := handle.LockThread()
		defer thread.Unlock()
		body(t, thread.Visit)
	})
}

func TestVisit(t *testing.T) {
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: joinable})
	process, err := handle.OpenProcess(target.PID)
	require.NoError(t, err)
	defer func() { _ = process.Close() }()
	links := target.NamespaceLinks()
	types := owned(t, species.CLONE_NEWUTS, species.CLONE_NEWNET, species.CLONE_NEWIPC, species.CLONE_NEWPID, species.CLONE_NEWCGROUP)
	visits(t, func(t *testing.T, visit func(func(), ...handle.Relation) error) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for range 3 {
			for _, of := range types {
				home, tid := forChildren(of), syscall.Gettid()
				for _, ref := range []handle.Relation{
					handle.NewTypedNamespacePath(target.ProcDir()+"/ns/"+of.Name(), of), process.Namespace(of),
				} {
					require.NoError(t, visit(func() {
						require.Equal(t, links[of.Name()], forChildren(of).LinkText(of))
						require.Equal(t, tid, syscall.Gettid())
					}, ref))
					require.Equal(t, home, forChildren(of))
				}
			}
			require.NoError(t, visit(func() {
				for _, of := range types {
					require.Equal(t, links[of.Name()], forChildren(of).LinkText(of))
				}
			}, process.Namespaces(types...)...))
			require.NotEqual(t, links["net"], link(t, "net"))
			require.NotEqual(t, links["uts"], link(t, "uts"))
		}
		err := visit(func() { t.Error("was run") }, process.Namespace(species.CLONE_NEWNS))
		require.ErrorIs(t, err, handle.ErrNeedsThread)
	})
}

func TestVisitOfANetworkNamespaceByHandle(t *testing.T) {
	ns, uts := newNetwork(t), create(t, species.CLONE_NEWUTS)[0]
	other, err := uts.Handle()
	require.NoError(t, err)
	defer func() { _ = other.Close() }()
	visits(t, func(t *testing.T, visit func(func(), ...handle.Relation) error) {
		home := here(t, species.CLONE_NEWNET)
		require.NoError(t, visit(func() { require.Equal(t, id(t, ns), here(t, species.CLONE_NEWNET)) }, ns))
		require.NoError(t, visit(func() { require.Equal(t, id(t, other), here(t, species.CLONE_NEWUTS)) }, other), "of another type")
		require.NoError(t, visit(func() {
			require.NoError(t, visit(func() {
				require.Equal(t, id(t, other), here(t, species.CLONE_NEWUTS))
				require.Equal(t, id(t, ns), here(t, species.CLONE_NEWNET))
			}, other))
			third := newNetwork(t)
			require.NoError(t, visit(func() { require.Equal(t, id(t, third), here(t, species.CLONE_NEWNET)) }, third))
			require.Equal(t, id(t, ns), here(t, species.CLONE_NEWNET), "back from a visit during a visit")
		}, ns))
		require.Equal(t, home, here(t, species.CLONE_NEWNET))
		require.ErrorIs(t, visit(func() { t.Error("was run") }, handle.None()), handle.ErrClosed)
		require.ErrorIs(t, visit(func() { t.Error("was run") }, handle.NsHandle(9999)), syscall.EBADF)
		require.ErrorIs(t, visit(func() { t.Error("was run") }, ns, handle.None()), handle.ErrClosed)
		require.NoError(t, visit(func() {}))
		require.Equal(t, home, here(t, species.CLONE_NEWNET))
	})
}

func TestVisitComesBackFromPanicsAndGoexit(t *testing.T) {
	ns := newNetwork(t)
	uts := create(t, species.CLONE_NEWUTS)[0]
	for _, refs := range [][]handle.Relation{{ns}, {ns, uts}} {
		visits(t, func(t *testing.T, visit func(func(), ...handle.Relation) error) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			home := here(t, species.CLONE_NEWNET)
			func() {
				defer func() { require.Equal(t, "value", recover()) }()
				_ = visit(func() { panic("value") }, refs...)
			}()
			require.Equal(t, home, here(t, species.CLONE_NEWNET))
		})
		done := make(chan species.NamespaceID)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			defer func() { done <- forChildren(species.CLONE_NEWNET) }()
			_ = handle.Visit(runtime.Goexit, refs...)
		}()
		require.Equal(t, here(t, species.CLONE_NEWNET), <-done)
	}
}

// A thread that gave up its rights cannot come back. It stays locked, and ends with its goroutine.
func TestVisitThatCannotComeBack(t *testing.T) {
	testutil.NeedRoot(t)
	ns := newNetwork(t)
	uts := create(t, species.CLONE_NEWUTS)[0]
	for name, visit := range map[string]func(func()) error{
		"Visit by handle": func(f func()) error { return handle.Visit(f, ns) },
		"Visit of two":    func(f func()) error { return handle.Visit(f, uts, ns) },
		"Thread": func(f func()) error {
			thread := handle.LockThread()
			defer thread.Unlock()
			return thread.Visit(f, ns)
		},
		"Thread of two": func(f func()) error {
			thread := handle.LockThread()
			defer thread.Unlock()
			return thread.Visit(f, uts, ns)
		},
		"Thread, during a visit": func(f func()) error {
			thread := handle.LockThread()
			defer thread.Unlock()
			var inner error
			outer := thread.Visit(func() { inner = thread.Visit(f, uts) }, ns)
			if !errors.Is(outer, handle.ErrTainted) || errors.Is(outer, syscall.EBADF) {
				return outer
			}
			return inner
		},
	} {
		t.Run(name, func(t *testing.T) {
			testutil.CheckLeaks(t)
			type outcome struct {
				err       error
				tid, then int
			}
			done := make(chan outcome)
			go func() {
				var o outcome
				o.err = visit(func() {
					o.tid = syscall.Gettid()
					dropCapabilities(t)
				})
				for range 100 {
					runtime.Gosched()
				}
				o.then = syscall.Gettid()
				done <- o
			}()
			o := <-done
			require.ErrorIs(t, o.err, handle.ErrTainted)
			require.ErrorIs(t, o.err, syscall.EPERM)
			require.Equal(t, o.tid, o.then, "still locked")
			require.NotEqual(t, os.Getpid(), o.tid)
			require.Eventually(t, func() bool {
				_, err := os.Stat("/proc/self/task/" + itoa(o.tid))
				return errors.Is(err, os.ErrNotExist)
			}, 5*time.Second, time.Millisecond, "the thread has ended")
		})
	}
}

// Who may not even leave is told so, and is where they were: not tainted.
func TestVisitWithoutRights(t *testing.T) {
	unprivileged(t, func(t *testing.T) {
		ns, err := handle.Get()
		require.NoError(t, err)
		uts := handle.NamespacePath("/proc/self/ns/uts")
		tids := make(chan int)
		var errs []error
		go func() {
			thread := handle.LockThread()
			for _, visit := range []func(func(), ...handle.Relation) error{handle.Visit, thread.Visit} {
				for _, refs := range [][]handle.Relation{{ns}, {uts}, {uts, ns}} {
					errs = append(errs, visit(func() { t.Error("was run") }, refs...))
				}
			}
			defer func() { tids <- syscall.Gettid() }()
			thread.Unlock()
		}()
		tid := <-tids
		for _, err := range errs {
			require.ErrorIs(t, err, syscall.EPERM)
			require.NotErrorIs(t, err, handle.ErrTainted)
			require.ErrorContains(t, err, "join")
		}
		time.Sleep(100 * time.Millisecond)
		require.DirExists(t, "/proc/self/task/"+itoa(tid), "a locked thread would have ended with its goroutine")
	})
}

// Visits from many threads take turns at being the recent one, and each comes back to its own namespace.
func TestVisitsFromManyThreads(t *testing.T) {
	testutil.CheckLeaks(t)
	ns := newNetwork(t)
	var all sync.WaitGroup
	for range 16 {
		own := newNetwork(t)
		all.Go(func() {
			_, err := handle.Execute(func() any {
				home := forChildren(species.CLONE_NEWNET)
				for range 100 {
					if err := handle.Visit(func() {}, ns); err != nil {
						t.Error(err)
					}
					if forChildren(species.CLONE_NEWNET) != home {
						t.Error("not back at home")
					}
				}
				return nil
			}, own)
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestVisitDoesNotAllocate(t *testing.T) {
	ns := newNetwork(t)
	thread := handle.LockThread()
	defer thread.Unlock()
	require.NoError(t, thread.Visit(func() {}, ns))
	seen := 0
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = handle.Visit(func() { seen++ }, ns) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = thread.Visit(func() { seen++ }, ns) }))
	require.NotZero(t, seen)
}
