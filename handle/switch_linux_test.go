package handle_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
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
	fd, err := sys.RawOpenCurrent(of)
	if err != nil {
		return species.NoneID
	}
	defer sys.RawClose(fd)
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
	visits(t, func(t *testing.T, visit func(func(), ...handle.Relation) error) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		types := []species.NamespaceType{species.CLONE_NEWUTS, species.CLONE_NEWNET, species.CLONE_NEWIPC, species.CLONE_NEWPID,
			species.CLONE_NEWCGROUP}
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

// An unprivileged user's root switches between what is theirs.
func TestSwitchingInAUserNamespace(t *testing.T) {
	testutil.InUserns(t, func(t *testing.T) {
		testutil.CheckLeaks(t)
		created := create(t, species.CLONE_NEWNET, species.CLONE_NEWUTS, species.CLONE_NEWNS)
		ns := newNetwork(t)
		thread := handle.LockThread()
		defer thread.Unlock()
		for _, visit := range []func(func(), ...handle.Relation) error{handle.Visit, thread.Visit} {
			require.NoError(t, visit(func() { require.Equal(t, id(t, ns), here(t, species.CLONE_NEWNET)) }, ns))
			require.NoError(t, visit(func() {
				require.Equal(t, id(t, created[1]), here(t, species.CLONE_NEWUTS))
			}, created[0], created[1]))
		}
		got, err := handle.Execute(func() species.NamespaceID { return forChildren(species.CLONE_NEWNS) },
			created[2], created[0])
		require.NoError(t, err)
		require.Equal(t, id(t, created[2]), got)
		err = handle.Go(func() {}, handle.NamespacePath("/proc/"+itoa(os.Getppid())+"/ns/net"))
		require.Error(t, err, "of the machine, or not to be seen")
	})
}

// Without the links of /proc, pidfds of threads show the way back.
func TestSwitchingWithoutProcLinks(t *testing.T) {
	testutil.CheckLeaks(t)
	ns := newNetwork(t)
	home := here(t, species.CLONE_NEWNET)
	defer sys.Pretend(sys.ProcLinks)()
	require.Equal(t, home, here(t, species.CLONE_NEWNET))
	require.NotEqual(t, home, id(t, create(t, species.CLONE_NEWNET)[0]))
	thread := handle.LockThread()
	defer thread.Unlock()
	for _, visit := range []func(func(), ...handle.Relation) error{handle.Visit, thread.Visit} {
		require.NoError(t, visit(func() { require.Equal(t, id(t, ns), here(t, species.CLONE_NEWNET)) }, ns))
		require.Equal(t, home, here(t, species.CLONE_NEWNET))
	}
}

// A /proc that is missing or somebody else's does not mislead visits.
func TestSwitchingWithAForgedProc(t *testing.T) {
	alone(t, species.CLONE_NEWNET, func(t *testing.T) {
		ns := newNetwork(t)
		home := here(t, species.CLONE_NEWNET)
		require.NoError(t, os.MkdirAll("/run/proc/thread-self/ns", 0o755))
		require.NoError(t, os.WriteFile("/run/proc/thread-self/ns/net", nil, 0o600))
		fd := int(ns)
		require.NoError(t, syscall.Mount("/proc/self/fd/"+itoa(fd), "/run/proc/thread-self/ns/net", "", syscall.MS_BIND, ""))
		require.NoError(t, syscall.Mount("/run/proc", "/proc", "", syscall.MS_BIND, ""))
		text, err := os.Readlink("/proc/thread-self/ns/net")
		require.Error(t, err, text)
		require.Equal(t, home, here(t, species.CLONE_NEWNET))
		require.NoError(t, handle.Visit(func() { require.Equal(t, id(t, ns), here(t, species.CLONE_NEWNET)) }, ns))
		require.Equal(t, home, here(t, species.CLONE_NEWNET))
		require.NoError(t, syscall.Unmount("/proc", syscall.MNT_DETACH))
	})
}

// What is kept for the life of the process is opened by the process, even if it is first needed in a container.
func TestWhatIsKeptIsNotTheContainers(t *testing.T) {
	testutil.NeedRoot(t)
	rerun(t, nil, func(t *testing.T) {
		target := testutil.StartTarget(t, testutil.TargetOptions{OwnRoot: true})
		process, err := handle.OpenProcess(target.PID)
		require.NoError(t, err)
		defer func() { _ = process.Close() }()
		mnt := process.Namespace(species.CLONE_NEWNS)
		got, err := handle.Execute(func() species.NamespaceID { return here(t, species.CLONE_NEWNET) }, mnt)
		require.NoError(t, err)
		require.Equal(t, here(t, species.CLONE_NEWNET), got)
		root, err := handle.OpenRoot(mnt)
		require.NoError(t, err)
		defer func() { _ = root.Close() }()
		text, err := root.ReadFile("proc/version")
		require.NoError(t, err)
		require.NotEmpty(t, text)
		require.NoError(t, handle.Visit(func() {}, process.Namespace(species.CLONE_NEWPID)))
		_ = newNetwork(t)
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

// soakEnv asks for a million switches: NSOPS_SOAK=1 go test -run Soak -timeout 30m ./handle
const soakEnv = "NSOPS_SOAK"

func TestSoak(t *testing.T) {
	switches := 2_000
	if os.Getenv(soakEnv) != "" {
		switches = 1_000_000
	}
	testutil.CheckLeaks(t)
	ns := newNetwork(t)
	before := selfLinks(t)
	var all sync.WaitGroup
	const goroutines = 8
	for g := range goroutines {
		all.Go(func() {
			for i := range switches / goroutines {
				var err error
				if (g+i)%10 == 0 {
					_, err = handle.Execute(func() any { return nil }, ns)
				} else {
					err = handle.Visit(func() {}, ns)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	require.Equal(t, before, selfLinks(t))
}

// selfLinks returns the namespaces of the main thread.
func selfLinks(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for of := range species.Set(species.AllNS).All() {
		text, err := os.Readlink("/proc/self/ns/" + of.Name())
		require.NoError(t, err)
		all.WriteString(text + "\n")
	}
	return all.String()
}
