package call_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

type question struct {
	Text  string
	Count int `json:"n"`
	Inner *question
	Addr  netip.Addr
}

var (
	hostname = call.NewFunc("typed hostname", func(context.Context, struct{}) (string, error) { return os.Hostname() })
	echo     = call.NewFunc("typed echo", func(_ context.Context, q question) (question, error) { return q, nil })
	rawBytes = call.NewFunc("typed bytes", func(_ context.Context, b []byte) ([]byte, error) { return bytes.ToUpper(b), nil })
	readPath = call.NewFunc("typed read", func(_ context.Context, path string) ([]byte, error) { return os.ReadFile(path) })
	inside   = call.NewFunc("typed inside", func(context.Context, struct{}) (map[string]string, error) {
		found := map[string]string{}
		for ns := range species.Set(species.AllNS).All() {
			link, err := os.Readlink("/proc/thread-self/ns/" + ns.Name())
			if err != nil {
				return nil, err
			}
			found[ns.Name()] = link
		}
		return found, nil
	})
	pid     = call.NewFunc("typed pid", func(context.Context, struct{}) (int, error) { return os.Getpid(), nil })
	cleanUp = call.NewFunc("typed clean up", func(ctx context.Context, file string) (struct{}, error) {
		_ = os.WriteFile(file, []byte("started"), 0o600)
		<-ctx.Done()
		return struct{}{}, os.WriteFile(file, []byte("cleaned"), 0o600)
	})
	ignore = call.NewFunc("typed ignore", func(ctx context.Context, file string) (struct{}, error) {
		_ = ctx.Err() // asks, and so SIGTERM does not end it
		_ = os.WriteFile(file, []byte("started"), 0o600)
		time.Sleep(time.Minute)
		return struct{}{}, nil
	})
)

func TestFuncInAProcess(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Hostname: "typed"})
	name, err := hostname.In(call.PID(target.PID)).Do(t.Context(), struct{}{})
	require.NoError(t, err)
	require.Equal(t, "typed", name)

	name, err = hostname.In(call.Process(&os.Process{Pid: target.PID}), call.Exclude(species.CLONE_NEWUTS)).Do(t.Context(), struct{}{})
	require.NoError(t, err)
	require.NotEqual(t, "typed", name)

	fd, err := unix.PidfdOpen(target.PID, 0)
	require.NoError(t, err)
	defer func() { _ = unix.Close(fd) }()
	name, err = hostname.In(call.Pidfd(fd), call.Types(species.CLONE_NEWUTS)).Do(t.Context(), struct{}{})
	require.NoError(t, err)
	require.Equal(t, "typed", name)
	_, err = readPath.In(call.PID(target.PID)).Do(t.Context(), "/no/such/file")
	require.ErrorIs(t, err, fs.ErrNotExist)
	requireError(t, err, call.StageHandler)
}

func TestWhatFuncsTakeAndReturn(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	q := question{Text: "a\x00<\u2028", Count: 7, Inner: &question{Text: "b"}, Addr: netip.MustParseAddr("fe80::1%lo")}
	in := call.PID(target.PID)
	same, err := echo.In(in).Do(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, q, same)
	for _, size := range []int{0, 1, 5000, 1 << 20} {
		got, err := rawBytes.In(in).Do(t.Context(), bytes.Repeat([]byte("a"), size))
		require.NoError(t, err)
		require.True(t, bytes.Equal(bytes.Repeat([]byte("A"), size), got), size)
	}
	_, err = rawBytes.In(in, call.MaxResult(4999)).Do(t.Context(), make([]byte, 5000))
	requireError(t, err, call.StageProtocol)
}

// TestTargetInOurNamespaces has a target that shares all namespaces with us: nothing may run on the host by mistake.
func TestTargetInOurNamespaces(t *testing.T) {
	needBootstrap(t)
	for _, target := range []call.Target{call.PID(os.Getpid()), call.Refs(handle.NamespacePath("/proc/thread-self/ns/net"))} {
		requireNothingStarted(t, func() {
			_, err := hostname.In(target).Do(t.Context(), struct{}{})
			require.ErrorIs(t, err, call.ErrSameNamespace)
			requireError(t, err, call.StageTarget)
		})
		ours, err := os.Hostname()
		require.NoError(t, err)
		name, err := hostname.In(target, call.AllowSame).Do(t.Context(), struct{}{})
		require.NoError(t, err)
		require.Equal(t, ours, name)
	}
	target := startTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWUTS)})
	requireNothingStarted(t, func() {
		_, err := hostname.In(call.PID(target.PID), call.Require(species.CLONE_NEWNET)).Do(t.Context(), struct{}{})
		require.ErrorIs(t, err, call.ErrSameNamespace)
	})
	requireNothingStarted(t, func() {
		_, err := hostname.In(call.Target{}).Do(t.Context(), struct{}{})
		requireError(t, err, call.StageTarget)
	})
}

// TestFuncInReferences joins namespaces by paths to namespaces, also those that no thread can join.
func TestFuncInReferences(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	var refs []handle.Relation
	want := map[string]string{}
	for ns := range species.Set(allTypes &^ (species.CLONE_NEWNS | species.CLONE_NEWPID)).All() { // /proc stays ours
		refs = append(refs, handle.NamespacePath(filepath.Join(target.ProcDir(), "ns", ns.Name())))
		want[ns.Name()] = target.NamespaceLink(ns)
	}
	got, err := inside.In(call.Refs(refs...)).Do(t.Context(), struct{}{})
	require.NoError(t, err)
	for _, ns := range []string{"mnt", "pid"} {
		want[ns], err = os.Readlink("/proc/thread-self/ns/" + ns)
		require.NoError(t, err)
	}
	require.Equal(t, want, got)
	all := append(refs, handle.NamespacePath(filepath.Join(target.ProcDir(), "ns/pid")), handle.NamespacePath(filepath.Join(target.ProcDir(), "ns/mnt")))
	got, err = inside.In(call.Refs(all...)).Do(t.Context(), struct{}{})
	require.NoError(t, err)
	require.Equal(t, target.NamespaceLinks(), got)

	other := startTarget(t, testutil.TargetOptions{Hostname: "other"})
	network := handle.NamespacePath(filepath.Join(other.ProcDir(), "ns/net"))
	got, err = inside.In(call.PID(target.PID), call.With(network), call.Types(species.CLONE_NEWUTS, species.CLONE_NEWNET, species.CLONE_NEWUSER)).
		Do(t.Context(), struct{}{})
	require.NoError(t, err)
	require.Equal(t, target.NamespaceLink(species.CLONE_NEWUSER), got["user"])
	require.Equal(t, other.NamespaceLink(species.CLONE_NEWNET), got["net"])
	got, err = inside.In(call.PID(other.PID), call.With(handle.NamespacePath(filepath.Join(target.ProcDir(), "ns/uts"))),
		call.Exclude(species.CLONE_NEWNS)).Do(t.Context(), struct{}{})
	require.NoError(t, err)
	require.Equal(t, target.NamespaceLink(species.CLONE_NEWUTS), got["uts"])
	require.Equal(t, other.NamespaceLink(species.CLONE_NEWNET), got["net"])
}

// TestDeadPIDNamespace has a PID namespace that only a descriptor keeps: its first process has ended.
func TestDeadPIDNamespace(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	made, err := handle.Create(species.CLONE_NEWPID, species.CLONE_NEWUTS)
	require.NoError(t, err)
	for _, f := range made {
		defer func() { _ = f.Close() }()
	}
	_, err = pid.In(call.Refs(made[0], made[1])).Do(t.Context(), struct{}{})
	requireError(t, err, call.StageJoin)
	require.ErrorIs(t, err, unix.ENOMEM)
}

func TestReferencesThatAreRefused(t *testing.T) {
	needBootstrap(t)
	network := handle.NamespacePath("/proc/thread-self/ns/net")
	for name, target := range map[string]call.Target{
		"twice":   call.Refs(network, network),
		"nil":     call.Refs(nil),
		"missing": call.Refs(handle.NamespacePath("/no/such/path")),
		"a file":  call.Refs(handle.NamespacePath("/dev/null")),
		"closed":  call.Refs(handle.NamespaceFd(1 << 20)),
		"none":    call.Refs(),
		"pidfd":   call.Pidfd(1 << 20),
		"file":    call.Pidfd(0),
	} {
		t.Run(name, func(t *testing.T) {
			requireNothingStarted(t, func() {
				_, err := hostname.In(target).Do(t.Context(), struct{}{})
				requireError(t, err, call.StageTarget)
			})
		})
	}
}

func TestGrace(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWUTS | species.CLONE_NEWPID)})
	started := func(file string) func() bool {
		return func() bool { text, _ := os.ReadFile(file); return string(text) == "started" }
	}
	for _, types := range []species.NamespaceType{species.CLONE_NEWUTS, species.CLONE_NEWUTS | species.CLONE_NEWPID} {
		file := filepath.Join(t.TempDir(), "f")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := cleanUp.In(call.PID(target.PID), call.Types(types), call.Grace(20*time.Second)).Do(ctx, file)
			done <- err
		}()
		waitUntil(t, started(file), "the start")
		cause := errors.New("enough")
		cancel(cause)
		require.ErrorIs(t, <-done, cause)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, "cleaned", string(text))
	}

	file := filepath.Join(t.TempDir(), "f")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := ignore.In(call.PID(target.PID), call.Types(species.CLONE_NEWUTS), call.Grace(300*time.Millisecond)).Do(ctx, file)
		done <- err
	}()
	waitUntil(t, started(file), "the start")
	start := time.Now()
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.InDelta(t, 0.3, time.Since(start).Seconds(), 5)
	require.GreaterOrEqual(t, time.Since(start), 300*time.Millisecond)
}

// TestInThread runs functions on threads of this program: results and errors are those of a worker.
func TestInThread(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Hostname: "thread", OwnRoot: true})
	in := call.PID(target.PID)
	name, err := hostname.In(in, call.InThread).Do(t.Context(), struct{}{})
	require.NoError(t, err)
	require.Equal(t, "thread", name)
	text, err := readPath.In(in, call.InThread).Do(t.Context(), "/proc/1/comm")
	require.NoError(t, err)
	require.NotEmpty(t, text)
	_, err = readPath.In(in, call.InThread).Do(t.Context(), "/etc/passwd")
	require.ErrorIs(t, err, fs.ErrNotExist, "the root is the target's")
	requireError(t, err, call.StageHandler)
	ours, err := os.ReadFile("/etc/passwd")
	require.NoError(t, err)
	require.NotEmpty(t, ours)

	for how, want := range map[string]string{"panic": "handler panicked: oops", "goexit": "runtime.Goexit", "encode": "no JSON"} {
		for _, options := range [][]call.Option{{call.InThread}, nil} {
			_, err = strange.In(in, options...).Do(t.Context(), how)
			requireError(t, err, call.StageHandler)
			require.ErrorContains(t, err, want)
		}
	}
	requireNothingStarted(t, func() {
		_, err = hostname.In(in, call.InThread, call.AllTypes).Do(t.Context(), struct{}{})
		require.ErrorIs(t, err, handle.ErrNeedsReexec)
		requireError(t, err, call.StageTarget)
		for _, option := range []call.Option{call.DropPrivs, call.Env("A=b"), call.User(1, 1), call.Stdout(&strings.Builder{}), call.TargetCapabilities} {
			_, err = hostname.In(in, call.InThread, option).Do(t.Context(), struct{}{})
			requireError(t, err, call.StageSpawn)
		}
	})
	_, err = rawBytes.In(in, call.InThread, call.MaxResult(9)).Do(t.Context(), make([]byte, 10))
	requireError(t, err, call.StageProtocol)
	_, err = hostname.In(call.PID(os.Getpid()), call.InThread).Do(t.Context(), struct{}{})
	require.ErrorIs(t, err, call.ErrSameNamespace)
}

// TestInThreadFromAnotherThread is called on a thread that has left the network namespace of the process. What is not
// joined there is that of the thread, as for a worker.
func TestInThreadFromAnotherThread(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	for _, options := range [][]call.Option{{call.InThread}, nil} {
		err := handle.Go(func() {}, handle.NamespacePath(target.ProcDir()+"/ns/net"))
		require.NoError(t, err)
		got, err := handle.Execute(func() map[string]string {
			_, err := inside.In(call.PID(target.PID), append(options, call.Types(species.CLONE_NEWNET))...).Do(t.Context(), struct{}{})
			require.ErrorIs(t, err, call.ErrSameNamespace)
			got, err := inside.In(call.PID(target.PID), append(options, call.Types(species.CLONE_NEWNET, species.CLONE_NEWUTS))...).Do(t.Context(), struct{}{})
			require.NoError(t, err)
			return got
		}, handle.NamespacePath(target.ProcDir()+"/ns/net"))
		require.NoError(t, err)
		require.Equal(t, target.NamespaceLink(species.CLONE_NEWNET), got["net"])
		require.Equal(t, target.NamespaceLink(species.CLONE_NEWUTS), got["uts"])
	}
}

// A worker whose /proc is the target's cannot find targets, in a thread neither.
func TestInThreadOfAForeignWorker(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{OwnRoot: true})
	_, err := nested.In(call.PID(target.PID)).Do(t.Context(), 1)
	require.ErrorContains(t, err, "its /proc is the target's")
}

var nested = call.NewFunc("typed nested", func(ctx context.Context, pid int) (string, error) {
	return hostname.In(call.PID(pid), call.InThread, call.AllowSame).Do(ctx, struct{}{})
})

func TestInThreadGivenUp(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	started, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	slow = func() { close(started); <-release; close(ended) }
	go func() { <-started; cancel() }()
	_, err := inOurs.In(call.PID(target.PID), call.InThread, call.Grace(0)).Do(ctx, struct{}{})
	require.ErrorIs(t, err, context.Canceled)
	requireError(t, err, call.StageHandler)
	close(release)
	<-ended
}

var (
	slow   func()
	inOurs = call.NewFunc("typed in ours", func(context.Context, struct{}) (struct{}, error) { slow(); return struct{}{}, nil })
)

type unprintable struct{}

func (unprintable) MarshalJSON() ([]byte, error) { return nil, errors.New("no JSON") }

func (*unprintable) UnmarshalJSON([]byte) error { return nil }

var strange = call.NewFunc("typed strange", func(_ context.Context, how string) (unprintable, error) {
	switch how {
	case "panic":
		panic("oops")
	case "goexit":
		runtime.Goexit()
	}
	return unprintable{}, nil
})

// TestTargetGone has targets that end before a call, and during it, also with their PID namespace.
func TestTargetGone(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	pid, in := target.PID, call.PID(target.PID)
	file := filepath.Join(t.TempDir(), "f")
	done := make(chan error, 1)
	go func() {
		_, err := ignore.In(in, call.Types(species.CLONE_NEWPID)).Do(t.Context(), file)
		done <- err
	}()
	waitUntil(t, func() bool { _, err := os.Stat(file); return err == nil }, "the start")
	target.Stop()
	err := <-done
	require.ErrorIs(t, err, call.ErrTargetGone)
	requireError(t, err, call.StageHandler)
	for _, in := range []call.Target{in, call.PID(pid), call.PID(1 << 22)} {
		_, err = hostname.In(in).Do(t.Context(), struct{}{})
		require.ErrorIs(t, err, call.ErrTargetGone)
		requireError(t, err, call.StageTarget)
	}
	alive := startTarget(t, testutil.TargetOptions{})
	_, err = suicide.In(call.PID(alive.PID), call.AllTypes, call.Exclude(species.CLONE_NEWUSER)).Do(t.Context(), struct{}{})
	var exit *call.ExitError
	require.ErrorAs(t, err, &exit)
	require.NotErrorIs(t, err, call.ErrTargetGone)
}

var suicide = call.NewFunc("typed suicide", func(context.Context, struct{}) (struct{}, error) {
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	os.Exit(9) // the first process of a PID namespace is immune
	return struct{}{}, nil
})

var (
	errOwn  = errors.New("own")
	_       = func() bool { call.RegisterError("call_test own", errOwn); return true }()
	failing = call.NewFunc("typed failing", func(_ context.Context, which string) (struct{}, error) {
		switch which {
		case "own":
			return struct{}{}, fmt.Errorf("wrapped: %w", errOwn)
		case "program":
			_, err := exec.LookPath("no such program")
			return struct{}{}, err
		case "closed":
			return struct{}{}, &net.OpError{Op: "read", Err: net.ErrClosed}
		case "timeout":
			return struct{}{}, &net.DNSError{IsTimeout: true}
		}
		return struct{}{}, context.DeadlineExceeded
	})
)

func TestErrorsThatSurvive(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	for which, want := range map[string]error{
		"own": errOwn, "program": exec.ErrNotFound, "closed": net.ErrClosed, "": context.DeadlineExceeded,
	} {
		_, err := failing.In(call.PID(target.PID), call.Types(species.CLONE_NEWUTS)).Do(t.Context(), which)
		require.ErrorIs(t, err, want)
		requireError(t, err, call.StageHandler)
	}
	_, err := failing.In(call.PID(target.PID), call.Types(species.CLONE_NEWUTS)).Do(t.Context(), "timeout")
	var e net.Error
	require.ErrorAs(t, err, &e)
	require.True(t, e.Timeout())
	require.NotErrorIs(t, err, errOwn)
	for name, err := range map[string]error{"": errOwn, "nil": nil, "call_test own": errOwn, strings.Repeat("x", 65): errOwn} {
		require.Panics(t, func() { call.RegisterError(name, err) }, name)
	}
}

// TestTargetOfSeveral has one target, which is gone, for several calls at once: each error names its function.
func TestTargetOfSeveral(t *testing.T) {
	needBootstrap(t)
	gone := call.PID(1 << 22)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := hostname.In(gone).Do(t.Context(), struct{}{})
			assert.ErrorContains(t, err, "typed hostname")
		})
		all.Go(func() {
			_, err := pid.In(gone).Do(t.Context(), struct{}{})
			assert.ErrorContains(t, err, "typed pid")
		})
	}
	all.Wait()
	_, err := pid.In(call.Process(nil)).Do(t.Context(), struct{}{})
	requireError(t, err, call.StageTarget)
}

func TestSupported(t *testing.T) {
	needBootstrap(t)
	require.NoError(t, call.Supported())
	_, err := hostname.In(call.Container("no such container")).Do(t.Context(), struct{}{})
	require.ErrorIs(t, err, handle.ErrUnknownContainer)
	requireError(t, err, call.StageTarget)
}

func TestSettingsOfWorkers(t *testing.T) {
	t.Setenv("OURS", "1")
	const setup = "export THEIRS=2 LD_PRELOAD=/evil.so EMPTY="
	target := startTarget(t, testutil.TargetOptions{OwnRoot: true, Setup: setup})
	in := call.PID(target.PID)
	type found = map[string][]string
	ask := func(options ...call.Option) found {
		t.Helper()
		got, err := settingsOf.In(in, options...).Do(t.Context(), struct{}{})
		require.NoError(t, err)
		return got
	}
	got := ask(call.Args("a", "b c"), call.Dir("/proc/1"))
	require.Equal(t, []string{"a", "b c"}, got["args"])
	require.Equal(t, []string{"/proc/1"}, got["dir"])
	require.Contains(t, got["env"], "OURS=1")
	require.NotContains(t, got["env"], "THEIRS=2")

	got = ask(call.OnlyEnv("A=b"))
	require.Subset(t, got["env"], []string{"A=b", "NSOPS_DEPTH=1"})
	require.Less(t, len(got["env"]), 4, "%v", got["env"])

	got = ask(call.TargetEnv, call.Env("THEIRS=3"))
	require.Contains(t, got["env"], "THEIRS=3")
	require.Contains(t, got["env"], "LD_PRELOAD=/evil.so")
	require.Contains(t, got["env"], "EMPTY=")
	require.NotContains(t, got["env"], "OURS=1")

	_, err := settingsOf.In(in, call.Dir("/nowhere")).Do(t.Context(), struct{}{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	requireError(t, err, call.StageSpawn)
	_, err = settingsOf.In(in, call.Args("a\x00b")).Do(t.Context(), struct{}{})
	requireError(t, err, call.StageSpawn)
	_, err = settingsOf.In(call.Refs(handle.NamespacePath(target.ProcDir()+"/ns/uts")), call.TargetEnv).Do(t.Context(), struct{}{})
	requireError(t, err, call.StageSpawn)
}

var settingsOf = call.NewFunc("typed settings", func(context.Context, struct{}) (map[string][]string, error) {
	dir, err := os.Getwd()
	return map[string][]string{"args": os.Args[1:], "dir": {dir}, "env": os.Environ()}, err
})

type hidden struct{ text string }

type recursive struct {
	Next *recursive
	Done chan int `json:"-"`
}

func TestTypesThatCannotTravel(t *testing.T) {
	refused := func(name string, register func()) {
		t.Helper()
		defer func() {
			require.Contains(t, recover(), "call: ", name)
		}()
		register()
	}
	refused("chan", func() { call.NewFunc("bad", func(context.Context, chan int) (int, error) { return 0, nil }) })
	refused("any", func() { call.NewFunc("bad", func(context.Context, struct{}) (any, error) { return 0, nil }) })
	refused("error", func() { call.NewFunc("bad", func(context.Context, []error) (int, error) { return 0, nil }) })
	refused("hidden", func() {
		call.NewFunc("bad", func(context.Context, hidden) (int, error) { return len(hidden{}.text), nil })
	})
	refused("map", func() { call.NewFunc("bad", func(context.Context, map[bool]int) (int, error) { return 0, nil }) })
	type number int
	refused("embedded", func() {
		call.NewFunc("bad", func(context.Context, struct{ number }) (int, error) { return int(number(0)), nil })
	})
	refused("value", func() { call.NewFunc("bad", func(context.Context, struct{ N big.Int }) (int, error) { return 0, nil }) })
	call.NewFunc("big numbers", func(_ context.Context, n *big.Int) (struct{ N *big.Int }, error) { return struct{ N *big.Int }{n}, nil })
	refused("taken", func() { call.NewFunc("typed pid", func(context.Context, int) (int, error) { return 0, nil }) })
	refused("nil", func() { call.NewFunc[int, int]("bad", nil) })
	refused("empty", func() { call.NewFunc("", func(context.Context, int) (int, error) { return 0, nil }) })
	call.NewFunc("good", func(context.Context, recursive) (map[netip.Addr][]json.RawMessage, error) { return nil, nil })
}

func TestOptionsOfFuncs(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	said := &strings.Builder{}
	in := call.PID(target.PID)
	who, err := whoAmI.In(in, call.User(12, 34), call.Env("A=b"), call.Stdout(said), call.DropPrivs).Do(t.Context(), struct{}{})
	require.NoError(t, err)
	require.Equal(t, []int{12, 34}, who)
	require.Equal(t, "b", said.String())
	_, err = whoAmI.In(in, call.Env("wrong")).Do(t.Context(), struct{}{})
	requireError(t, err, call.StageSpawn)
	_, err = whoAmI.In(in, call.Types(3)).Do(t.Context(), struct{}{})
	requireError(t, err, call.StageTarget)
}

var whoAmI = call.NewFunc("typed identity", func(context.Context, struct{}) ([]int, error) {
	_, err := os.Stdout.WriteString(os.Getenv("A"))
	return []int{os.Getuid(), os.Getgid()}, err
})
