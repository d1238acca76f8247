package discover_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// threaded starts this program once more in two PID namespaces below ours, where it has threads, and returns its PID.
func threaded(t *testing.T) int {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command("unshare", "--pid", "--fork", "--kill-child", "unshare", "--pid", "--fork", "--kill-child", self, "-test.run=^TestPIDsOfThreads$")
	cmd.Env = append(os.Environ(), "NSOPS_TEST_WAITS=1")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		endAll([]*exec.Cmd{cmd})
	})
	pid := cmd.Process.Pid
	for range 2 {
		child := 0
		require.Eventually(t, func() bool {
			list, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(pid) + "/children")
			child, _ = strconv.Atoi(strings.TrimSpace(string(list)))
			return child != 0
		}, patience, tick)
		pid = child
	}
	require.Eventually(t, func() bool {
		list, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
		return len(list) > 3
	}, patience, tick)
	return pid
}

// TestPIDsOfThreads compares what the kernel is asked for, what is read where it cannot tell, and what the kernel writes.
func TestPIDsOfThreads(t *testing.T) {
	if os.Getenv("NSOPS_TEST_WAITS") != "" {
		_, _ = os.Stdin.Read(make([]byte, 1))
		return
	}
	testutil.NeedRoot(t)
	pid := threaded(t)
	for _, missing := range []sys.Feature{-1, sys.PIDTranslation} {
		if missing >= 0 {
			defer sys.Pretend(missing)()
		}
		for _, sources := range []discover.Sources{discover.Standard, discover.Full} {
			r, err := discover.Discover(t.Context(), discover.Options{Sources: sources})
			require.NoError(t, err)
			p := r.Process(pid)
			m := discover.NewPIDMap(r)
			inner := p.Namespaces.Of(species.CLONE_NEWPID)
			outer := r.Process(os.Getpid()).Namespaces.Of(species.CLONE_NEWPID)
			require.Same(t, outer, inner.Parent.Parent)
			require.Equal(t, written(t, pid, pid), discover.NSpid(p))
			require.Equal(t, 1, m.Translate(pid, outer, inner))
			require.NotEmpty(t, p.Tasks)
			for _, task := range p.Tasks {
				want := written(t, pid, task.TID)
				require.Len(t, want, 3)
				require.Equal(t, want, discover.NSpid(task))
				require.Equal(t, want[2], m.Translate(task.TID, outer, inner))
				require.Equal(t, want[1], m.Translate(want[2], inner, inner.Parent))
				require.Equal(t, task.TID, m.Translate(want[1], inner.Parent, outer))
				require.Zero(t, m.Translate(1<<30, outer, inner))
				require.Equal(t, []discover.NamespacedPID{{PID: want[0], Namespace: outer}, {PID: want[1], Namespace: inner.Parent}, {PID: want[2], Namespace: inner}},
					m.NamespacedPIDs(want[2], inner))
			}
		}
	}
}

// written returns what the kernel writes of the PIDs of a thread.
func written(t *testing.T, pid, tid int) (pids []int) {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(tid) + "/status")
	require.NoError(t, err)
	_, after, _ := strings.Cut(string(text), "NSpid:")
	line, _, _ := strings.Cut(after, "\n")
	for _, word := range strings.Fields(line) {
		n, err := strconv.Atoi(word)
		require.NoError(t, err)
		pids = append(pids, n)
	}
	return pids
}

// TestPIDsChangeHands has two PIDs go from one process to another all the time, those in a namespace of their own by one
// name and the others by another: no result may mix them.
func TestPIDsChangeHands(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "unshare")
	if !insidePIDNamespace(t) {
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	var churn sync.WaitGroup
	churn.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte("499"), 0o600); err != nil {
				return
			}
			args := []string{"sleep", "0.001"}
			if i%2 == 0 {
				args = []string{"unshare", "--net", "--uts", "cat", "/dev/null"}
			}
			_ = exec.Command(args[0], args[1:]...).Run()
		}
	})
	defer churn.Wait()
	defer cancel()
	own := full(t).Process(os.Getpid())
	seen := 0
	for range 400 {
		r, err := discover.Discover(t.Context(), discover.Options{})
		require.NoError(t, err)
		p := r.Process(500)
		if p == nil || p.Namespaces.Of(species.CLONE_NEWNET) == nil {
			continue
		}
		seen++
		elsewhere := p.Namespaces.Of(species.CLONE_NEWNET) != r.Process(os.Getpid()).Namespaces.Of(species.CLONE_NEWNET)
		if p.Name == "cat" {
			require.True(t, elsewhere, "%v", p.Cmdline)
		}
		if p.Name == "sleep" {
			require.False(t, elsewhere, "%v", p.Cmdline)
			require.NotContains(t, p.Cmdline, "unshare")
		}
	}
	require.NotZero(t, seen)
	require.Equal(t, os.Getpid(), own.PID)
}

// TestContextEndsMidway ends it at various points, and requires that everything is let go.
func TestContextEndsMidway(t *testing.T) {
	checkLeaks(t)
	for i := range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*300*time.Microsecond)
		start := time.Now()
		r, err := discover.Discover(ctx, discover.Options{Sources: discover.Full})
		cancel()
		require.Less(t, time.Since(start), patience)
		if err == nil {
			require.NotNil(t, r.Process(os.Getpid()))
			continue
		}
		require.Nil(t, r)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var own *discover.Error
		require.True(t, errors.As(err, &own))
	}
}
