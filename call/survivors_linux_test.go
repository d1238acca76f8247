package call_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	// "family" starts children as its own user and as these users, each with a child of its own, and blocks.
	call.RegisterReexec("family", func(arg any) (any, error) {
		for _, uid := range append([]int{os.Getuid()}, *arg.(*[]int)...) {
			cmd := exec.Command("sh", "-c", "sleep 1000 & wait")
			if uid != os.Getuid() {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), NoSetGroups: true}}
			}
			if err := cmd.Start(); err != nil {
				return nil, err
			}
		}
		return block(nil)
	}, []int{})
	// "other user" becomes another user, which disarms PDEATHSIG, and blocks.
	call.RegisterReexec("other user", func(arg any) (any, error) {
		if err := syscall.Setuid(*arg.(*int)); err != nil {
			return nil, err
		}
		return block(nil)
	}, 0)
	// "other user's family" becomes another user, starts a child as that user, and blocks.
	call.RegisterReexec("other user's family", func(arg any) (any, error) {
		if err := syscall.Setuid(*arg.(*int)); err != nil {
			return nil, err
		}
		if err := exec.Command("sleep", "1000").Start(); err != nil {
			return nil, err
		}
		return block(nil)
	}, 0)
}

// descendants returns all processes below another one.
func descendants(t testing.TB, pid int) (all []int) {
	t.Helper()
	for _, child := range childrenOf(t, pid) {
		all = append(append(all, child), descendants(t, child)...)
	}
	return all
}

func TestHandlersChildrenDieWithTheCaller(t *testing.T) {
	for name, test := range map[string]struct {
		types species.Set
		drop  bool
		users []int
	}{
		"default":   {types: defaultSet, users: []int{1234}},
		"DropPrivs": {types: defaultSet, drop: true},
		"pid":       {types: defaultSet.With(species.CLONE_NEWPID), users: []int{1234}},
		"user":      {types: defaultSet.With(species.CLONE_NEWUSER), users: []int{33, 34}},
		"all":       {types: allSet, users: []int{33}},
	} {
		t.Run(name, func(t *testing.T) {
			testutil.CheckLeaks(t)
			target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
			r := request{Handler: "family", Arg: test.users, Pid: target.PID, Types: test.types, DropPrivs: test.drop}
			caller, worker := orphan(t, "caller", r)
			var family []int
			waitUntil(t, func() bool { family = descendants(t, worker); return len(family) == 2+2*len(test.users) }, "its children")
			require.NoError(t, caller.Kill())
			for _, pid := range append(family, worker) {
				waitUntil(t, func() bool { return gone(pid) }, "a process is still there")
			}
		})
	}
}

// The end of a handler does not kill its children.
func TestChildrenOfAHandlerThatHasEndedKeepRunning(t *testing.T) {
	text := spawn[string](t, ours("sh").Arg("sleep 1000 >/dev/null 2>&1 & echo $!"))
	var pid int
	_, err := fmt.Sscan(text, &pid)
	require.NoError(t, err)
	time.Sleep(20 * time.Millisecond)
	require.False(t, gone(pid))
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
}

func TestHandlerThatBecomesAnotherUserDiesWithTheCaller(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	for _, types := range []species.Set{allSet, allSet.Without(species.CLONE_NEWPID)} {
		caller, worker := orphan(t, "caller", request{Handler: "other user", Arg: 33, Pid: target.PID, Types: types})
		require.NoError(t, caller.Kill())
		waitUntil(t, func() bool { return gone(worker) }, "the worker is still there")
	}
}

// An ordinary caller may not kill a process with another UID outside: the worker watches its lifeline itself.
func TestHandlerOfAnOrdinaryUserThatBecomesAnotherDiesWithTheCaller(t *testing.T) {
	pid := startMapped(t, "0 1234 1\n1 100001 100", "0 1234 1")
	r := request{Handler: "other user's family", Arg: 33, Pid: pid, Types: species.Set(species.CLONE_NEWUSER | species.CLONE_NEWNS)}
	caller, worker := orphanOf(t, asUser(t, nil, r))
	child := childOf(t, worker)
	require.NotZero(t, child)
	require.NoError(t, caller.Kill())
	waitUntil(t, func() bool { return gone(worker) }, "the worker is still there")
	waitUntil(t, func() bool { return gone(child) }, "its child is still there")
}

func TestSwitchedHandlerDiesWithItsParent(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	for _, handler := range []string{"block", "other user"} {
		cmd := role(t, "switcher", request{Handler: handler, Arg: 33, Pid: target.PID, Types: allSet}.json())
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = stdout.Read(make([]byte, 6))
		require.NoError(t, err)
		require.Len(t, companions(t, target), 1)
		require.NoError(t, cmd.Process.Kill())
		waitUntil(t, func() bool { return len(companions(t, target)) == 0 }, "the handler still runs")
		_ = cmd.Wait()
	}
	// It may end at any moment, above all between the fork and the arming of the lifeline.
	for range 60 {
		cmd := role(t, "switcher", request{Handler: "block", Pid: target.PID, Types: allSet}.json())
		require.NoError(t, cmd.Start())
		time.Sleep(time.Duration(rand.IntN(8000)) * time.Microsecond)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		waitUntil(t, func() bool { return len(companions(t, target)) == 0 }, "the handler still runs")
	}
}

// companions returns the processes in the target's PID namespace, without its first one.
func companions(t testing.TB, target *testutil.Target) (pids []int) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	require.NoError(t, err)
	for _, link := range links {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(link))))
		require.NoError(t, err)
		if text, _ := os.Readlink(link); text == target.NamespaceLink(species.CLONE_NEWPID) && pid != target.PID && !gone(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}
