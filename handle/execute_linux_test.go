package handle_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

const joinable = species.Set(species.AllNS &^ species.CLONE_NEWUSER &^ species.CLONE_NEWTIME)

func TestExecuteInEachType(t *testing.T) {
	testutil.CheckLeaks(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: joinable})
	links := target.NamespaceLinks()
	for of := range joinable.All() {
		ref := handle.NamespacePath(target.ProcDir() + "/ns/" + of.Name())
		got, err := handle.Execute(func() species.NamespaceID { return forChildren(of) }, ref)
		require.NoError(t, err)
		require.Equal(t, links[of.Name()], got.LinkText(of))
	}
	for _, of := range []species.NamespaceType{species.CLONE_NEWUSER, species.CLONE_NEWTIME} {
		never := func() { t.Error("was run") }
		ref := handle.NamespacePath("/proc/self/ns/" + of.Name())
		for _, err := range []error{handle.Go(never, ref), handle.Visit(never, ref)} {
			require.ErrorIs(t, err, handle.ErrNeedsReexec)
			require.ErrorContains(t, err, "package call")
		}
	}
}

// forChildren returns the ID of the calling thread's namespace, of PID namespaces that of its children.
func forChildren(of species.NamespaceType) species.NamespaceID {
	fd, err := sys.OpenCurrent(of)
	if err != nil {
		return species.NoneID
	}
	defer raw.CloseNoWait(fd)
	found, _ := sys.IDOf(fd)
	return found
}

func TestExecuteInSeveralOfOneProcess(t *testing.T) {
	testutil.CheckLeaks(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	process, err := handle.OpenProcess(target.PID)
	require.NoError(t, err)
	defer func() { _ = process.Close() }()
	links := target.NamespaceLinks()
	types := []species.NamespaceType{species.CLONE_NEWNS, species.CLONE_NEWNET, species.CLONE_NEWUTS, species.CLONE_NEWPID}
	cwd, err := os.Getwd()
	require.NoError(t, err)
	check := func() {
		found, err := handle.Execute(func() []string {
			var found []string
			for _, of := range types {
				found = append(found, forChildren(of).LinkText(of))
			}
			host, _ := os.Hostname()
			return append(found, host)
		}, process.Namespaces(types...)...)
		require.NoError(t, err)
		require.Equal(t, []string{links["mnt"], links["net"], links["uts"], links["pid"], "nsops-target"}, found)
		now, err := os.Getwd()
		require.NoError(t, err)
		require.Equal(t, cwd, now, "of the other threads")
		root, err := os.Readlink("/proc/self/root")
		require.NoError(t, err)
		require.Equal(t, "/", root)
		require.NotEqual(t, links["mnt"], link(t, "mnt"))
	}
	check()
	t.Run("without pidfd ioctls", func(t *testing.T) {
		defer sys.Pretend(sys.PidfdNamespaces)()
		check()
	})
	t.Run("without setns of a pidfd", func(t *testing.T) {
		defer sys.Pretend(sys.SetnsPidfd)()
		check()
		defer sys.Pretend(sys.PidfdNamespaces)()
		check()
	})
	err = handle.Go(func() {}, process.Namespace(species.CLONE_NEWNET), handle.NamespacePath("/proc/self/ns/net"))
	require.ErrorIs(t, err, syscall.EINVAL)
	require.ErrorContains(t, err, "second")
}

func TestExecutePassesOnPanicsAndGoexit(t *testing.T) {
	testutil.CheckLeaks(t)
	cause := errors.New("cause")
	func() {
		defer func() {
			panicked, ok := recover().(*handle.PanicError)
			require.True(t, ok)
			require.Equal(t, cause, panicked.Value)
			require.ErrorIs(t, panicked, cause)
			require.Contains(t, string(panicked.Stack), "aFunctionThatPanics")
			require.Contains(t, panicked.Error(), "aFunctionThatPanics")
		}()
		_, _ = handle.Execute(func() any { aFunctionThatPanics(cause); return nil })
		t.Error("returned")
	}()
	ended := make(chan bool)
	go func() {
		returned := false
		defer func() { ended <- returned }()
		_, _ = handle.Execute(func() any { runtime.Goexit(); return nil })
		returned = true
	}()
	select {
	case returned := <-ended:
		require.False(t, returned, "the caller's goroutine ends too")
	case <-time.After(10 * time.Second):
		t.Fatal("hangs")
	}
}

//go:noinline
func aFunctionThatPanics(value any) { panic(value) }

func TestExecuteContext(t *testing.T) {
	testutil.CheckLeaks(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	release, ended := make(chan struct{}), make(chan struct{})
	cause := errors.New("cause")
	_, err := handle.ExecuteContext(ctx, func(context.Context) int {
		defer close(ended)
		cancel(cause)
		<-release
		return 1
	})
	require.ErrorIs(t, err, cause)
	close(release)
	<-ended
	_, err = handle.ExecuteContext(ctx, func(context.Context) int { t.Error("was run"); return 1 })
	require.ErrorIs(t, err, cause)
	got, err := handle.ExecuteContext(t.Context(), func(context.Context) int { return 7 })
	require.NoError(t, err)
	require.Equal(t, 7, got)
}

func TestExecuteWithinExecute(t *testing.T) {
	testutil.CheckLeaks(t)
	outer, inner := newNetwork(t), create(t, species.CLONE_NEWUTS)[0]
	home := here(t, species.CLONE_NEWNET)
	type ids struct{ outer, net, uts species.NamespaceID }
	got, err := handle.Execute(func() ids {
		got, err := handle.Execute(func() ids {
			return ids{net: forChildren(species.CLONE_NEWNET), uts: forChildren(species.CLONE_NEWUTS)}
		}, inner)
		require.NoError(t, err)
		got.outer = forChildren(species.CLONE_NEWNET)
		return got
	}, outer)
	require.NoError(t, err)
	require.Equal(t, ids{id(t, outer), home, id(t, inner)}, got)
}

// A path means what it means to the caller, whose thread may be elsewhere than the process.
func TestExecuteOpensReferencesForTheCaller(t *testing.T) {
	testutil.CheckLeaks(t)
	ns := newNetwork(t)
	self := handle.NamespacePath("/proc/thread-self/ns/net")
	onThrowAwayThread(t, func() {
		require.NoError(t, handle.Set(ns))
		got, err := handle.Execute(func() species.NamespaceID { return forChildren(species.CLONE_NEWNET) }, self)
		require.NoError(t, err)
		require.Equal(t, id(t, ns), got)
		there := make(chan species.NamespaceID, 1)
		require.NoError(t, handle.Go(func() { there <- forChildren(species.CLONE_NEWNET) }, self))
		require.Equal(t, id(t, ns), <-there)
	})
}

// Neither the way by pidfd nor those of older kernels take what is no type for nothing to do.
func TestProcessNamespaceOfNoType(t *testing.T) {
	testutil.CheckLeaks(t)
	process, err := handle.OpenProcess(os.Getpid())
	require.NoError(t, err)
	defer func() { _ = process.Close() }()
	never := func() { t.Error("was run") }
	for _, forced := range []func() func(){
		func() func() { return func() {} },
		func() func() { return sys.Pretend(sys.SetnsPidfd) },
	} {
		restore := forced()
		for _, of := range []species.NamespaceType{
			species.NaNS, 0x100, species.CLONE_NEWNET | species.CLONE_NEWUTS, species.CLONE_NEWUSER | species.CLONE_NEWNET,
		} {
			for _, err := range []error{handle.Go(never, process.Namespace(of)), handle.Visit(never, process.Namespace(of))} {
				require.ErrorIs(t, err, syscall.EINVAL)
				require.NotErrorIs(t, err, handle.ErrTainted)
			}
		}
		restore()
	}
}

// What f does to its working directory, umask or root is its own: the thread shares none of them (CLONE_FS).
func TestExecuteHasItsOwnDirectory(t *testing.T) {
	testutil.CheckLeaks(t)
	before, err := os.Readlink("/proc/self/cwd")
	require.NoError(t, err)
	_, err = handle.Execute(func() any { require.NoError(t, syscall.Chdir("/proc")); return nil })
	require.NoError(t, err)
	after, err := os.Readlink("/proc/self/cwd")
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestGoroutinesDoNotFollow(t *testing.T) {
	testutil.CheckLeaks(t)
	home := here(t, species.CLONE_NEWNET)
	done := make(chan species.NamespaceID, 100)
	require.NoError(t, handle.Go(func() {
		for range cap(done) {
			go func() { done <- forChildren(species.CLONE_NEWNET) }()
		}
	}, newNetwork(t)))
	for range cap(done) {
		require.Equal(t, home, <-done)
	}
}

// Each of many goroutines would start on the main thread, if it could.
func TestTheMainThreadIsNotUsedUp(t *testing.T) {
	testutil.CheckLeaks(t)
	ns := newNetwork(t)
	before, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for range 20 {
				switch i % 3 {
				case 0:
					onMain, err := handle.Execute(sys.OnMainThread, ns)
					require.NoError(t, err)
					require.False(t, onMain)
				case 1:
					require.NoError(t, handle.Visit(func() { require.False(t, sys.OnMainThread()) }, ns))
				default:
					thread := handle.LockThread()
					require.NoError(t, thread.Visit(func() { require.False(t, sys.OnMainThread()) }, ns))
					thread.Unlock()
				}
			}
		})
	}
	all.Wait()
	after, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	require.Equal(t, before, after)
}
