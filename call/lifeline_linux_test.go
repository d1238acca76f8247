package call_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// childrenOf returns the children of a process, also those that have ended.
func childrenOf(t testing.TB, pid int) (children []int) {
	t.Helper()
	dirs, err := os.ReadDir("/proc")
	require.NoError(t, err)
	for _, dir := range dirs {
		if child, err := strconv.Atoi(dir.Name()); err == nil && parentOf(child) == pid {
			children = append(children, child)
		}
	}
	return children
}

// childOf returns a child of a process that still runs, 0 if there is none.
func childOf(t testing.TB, pid int) int {
	t.Helper()
	for _, child := range childrenOf(t, pid) {
		if !gone(child) {
			return child
		}
	}
	return 0
}

// reapChild waits for the end of a child, if it is one.
func reapChild(pid int) {
	_ = sys.Retry(func() error { _, err := unix.Wait4(pid, nil, 0, nil); return err })
}

// endChildren ends and reaps our children but the others, and the children that those leave to us.
func endChildren(t testing.TB, others []int) {
	t.Helper()
	isOther := func(pid int) bool { return slices.Contains(others, pid) }
	for {
		children := slices.DeleteFunc(childrenOf(t, os.Getpid()), isOther)
		if len(children) == 0 {
			return
		}
		for _, child := range children {
			_ = unix.Kill(child, unix.SIGKILL) // it still runs if the test has failed
			reapChild(child)
		}
	}
}

// orphan starts a caller whose worker blocks in its handler, and returns both. If the caller ends first, its children
// become ours: the machine's PID 1 may reap them late, and the end of a PID namespace waits for that.
func orphan(t testing.TB, roleName string, r request) (caller *os.Process, worker int) {
	t.Helper()
	return orphanOf(t, role(t, roleName, r.json()))
}

// orphanOf does so with a caller that cmd runs.
func orphanOf(t testing.TB, cmd *exec.Cmd) (caller *os.Process, worker int) {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	others := childrenOf(t, os.Getpid())
	require.NoError(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		endChildren(t, others)
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	worker = childOf(t, cmd.Process.Pid)
	require.NotZero(t, worker)
	return cmd.Process, worker
}

func TestWorkerDiesWithItsCaller(t *testing.T) {
	for name, r := range map[string]request{
		"default":   {Types: defaultSet},
		"DropPrivs": {Types: defaultSet, DropPrivs: true},
		"pid":       {Types: defaultSet.With(species.CLONE_NEWPID)},
		"user":      {Types: defaultSet.With(species.CLONE_NEWUSER)},
		"all":       {Types: allSet},
		"all, drop": {Types: allSet, DropPrivs: true, Sys: true},
	} {
		for _, base := range []int{0, 100000} {
			t.Run(name, func(t *testing.T) {
				testutil.CheckLeaks(t)
				target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: base})
				r.Handler, r.Pid = "block", target.PID
				if !r.Types.Has(species.CLONE_NEWUSER) && base != 0 {
					return
				}
				caller, worker := orphan(t, "caller", r)
				require.NoError(t, caller.Kill())
				start := time.Now()
				waitUntil(t, func() bool { return gone(worker) }, "the worker is still there")
				require.Less(t, time.Since(start), time.Second)
			})
		}
	}
}

// A worker must not depend on PDEATHSIG alone, which a change of credentials disarms.
func TestWorkerWithoutPdeathsigDiesWithItsCaller(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	for _, types := range []species.Set{defaultSet, allSet} {
		t.Run(types.String(), func(t *testing.T) {
			testutil.CheckLeaks(t)
			t.Setenv(mainThreadEnv, "1")
			caller, worker := orphan(t, "caller", request{Handler: "disarmed", Pid: target.PID, Types: types})
			require.NoError(t, caller.Kill())
			waitUntil(t, func() bool { return gone(worker) }, "the worker is still there")
		})
	}
}

// mainThreadEnv keeps the main goroutine of a program, and with it the handler of a worker, on the main thread.
const mainThreadEnv = "NSOPS_TEST_MAIN_THREAD"

func init() {
	if os.Getenv(mainThreadEnv) != "" {
		runtime.LockOSThread()
	}
	call.RegisterReexec("disarmed", func(any) (any, error) {
		if err := disarm(); err != nil {
			return nil, err
		}
		return block(nil)
	}, nil)
}

// disarm clears PDEATHSIG, which belongs to the thread that has set it: the main one, where the bootstrap ran.
func disarm() error {
	if signal, err := deathSignal(); err != nil || signal != unix.SIGKILL || unix.Gettid() != unix.Getpid() {
		return fmt.Errorf("thread %d of %d has PDEATHSIG %d: %w", unix.Gettid(), unix.Getpid(), signal, err)
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0); err != nil {
		return err
	}
	if signal, err := deathSignal(); err != nil || signal != 0 {
		return fmt.Errorf("PDEATHSIG is still %d: %w", signal, err)
	}
	return nil
}

// deathSignal returns the PDEATHSIG of the calling thread.
func deathSignal() (unix.Signal, error) {
	var signal int32
	_, _, errno := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&signal)), 0)
	if errno != 0 {
		return 0, errno
	}
	return unix.Signal(signal), nil
}

func TestEndOfAThreadOfTheCallerKillsNoWorker(t *testing.T) {
	needBootstrap(t)
	errs := make(chan error)
	for range 16 {
		go func() {
			runtime.LockOSThread() // ends with the goroutine
			errs <- call.NewCall("sleep").Arg(50 * time.Millisecond).TargetPid(os.Getpid()).SpawnInNamespaces(nil)
		}()
	}
	for range 16 {
		require.NoError(t, <-errs)
	}
}

func TestWorkerKilledByTheTargetIsAnError(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	done := make(chan error)
	stdout := &watched{seen: make(chan struct{})}
	go func() {
		done <- call.NewCall("block").TargetPid(target.PID).Namespaces(allTypes).Stdout(stdout).SpawnInNamespaces(nil)
	}()
	<-stdout.seen
	target.Sh(`for dir in /proc/[0-9]*; do pid=${dir#/proc/}; [ $pid = 1 ] || [ $pid = $$ ] || kill -KILL $pid; done`)
	var exit *call.ExitError
	require.ErrorAs(t, requireError(t, <-done, call.StageHandler), &exit)
	require.Equal(t, unix.SIGKILL, exit.Signal)
}

func TestWorkerStoppedByTheTargetIsBounded(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	stdout := &watched{seen: make(chan struct{})}
	go func() {
		done <- call.NewCall("block").TargetPid(target.PID).Namespaces(allTypes).Stdout(stdout).Context(ctx).SpawnInNamespaces(nil)
	}()
	<-stdout.seen
	target.Sh(`for dir in /proc/[0-9]*; do pid=${dir#/proc/}; [ $pid = 1 ] || [ $pid = $$ ] || kill -STOP $pid; done`)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// watched is a writer that signals a write.
type watched struct{ seen chan struct{} }

func (w *watched) Write(p []byte) (int, error) {
	select {
	case <-w.seen:
	default:
		close(w.seen)
	}
	return len(p), nil
}
