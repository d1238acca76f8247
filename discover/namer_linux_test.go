package discover_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// namer is a ContainerNamer.
type namer func() (string, error)

func (f namer) NameContainer(context.Context, *discover.Container) (string, error) { return f() }

// unnamed starts a process in a container of which the cgroup tells neither runtime nor name.
func unnamed(t *testing.T) (leader int, id string) {
	t.Helper()
	id = fmt.Sprintf("%064x", os.Getpid())
	return inCgroup(t, unifiedHierarchy(t)+"/"+id), id
}

func TestNamers(t *testing.T) {
	testutil.NeedRoot(t)
	leader, id := unnamed(t)
	end := make(chan struct{})
	defer close(end)
	fails := namer(func() (string, error) { return "", errors.New("no engine") })
	knows := namer(func() (string, error) { return "web", nil })
	late := namer(func() (string, error) { return "late", nil })
	hangs := namer(func() (string, error) { <-end; return "", nil })
	r, err := discover.Discover(t.Context(), discover.Options{Namers: []discover.ContainerNamer{fails, knows, late}})
	require.NoError(t, err)
	c := r.Process(leader).Container
	require.Equal(t, discover.Container{ID: id, Name: "web", Cgroup: "/" + id}, alone(c))
	require.Equal(t, leader, c.Leader.PID)
	require.Len(t, c.Processes, 1)
	require.True(t, slices.Contains(r.Containers, c))
	require.Contains(t, r.Problems, discover.Problem{Source: discover.Cgroups, Path: "/" + id, Errno: unix.EIO})
	network := r.Process(leader).Namespaces.Of(species.CLONE_NEWNET)
	require.Same(t, c, network.Container())
	require.Equal(t, "/"+id, network.Cgroup())

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = discover.Discover(ctx, discover.Options{Namers: []discover.ContainerNamer{hangs}})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// setter is a Namer that knows more than the name.
type setter struct{}

func (setter) NameContainer(_ context.Context, c *discover.Container) (string, error) {
	c.Runtime, c.Pod, c.PodName = "zz", "pod", "ns/pod"
	return "web", nil
}

// TestOddNamers has Namers that set more than a name, end the context, panic, or end their goroutine.
func TestOddNamers(t *testing.T) {
	testutil.NeedRoot(t)
	leader, id := unnamed(t)
	named := func(ctx context.Context, n discover.ContainerNamer) (*discover.Result, error) {
		return discover.Discover(ctx, discover.Options{Namers: []discover.ContainerNamer{n}})
	}
	r, err := named(context.Background(), setter{})
	require.NoError(t, err)
	require.Equal(t, discover.Container{ID: id, Name: "web", Runtime: "zz", Pod: "pod", PodName: "ns/pod", Cgroup: "/" + id}, alone(r.Process(leader).Container))

	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := named(ctx, namer(func() (string, error) { cancel(); return "", ctx.Err() }))
		require.ErrorIs(t, err, context.Canceled)
	}

	require.PanicsWithValue(t, "oops", func() { _, _ = named(context.Background(), namer(func() (string, error) { panic("oops") })) })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = named(context.Background(), namer(func() (string, error) { runtime.Goexit(); return "", nil }))
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		require.Fail(t, "it waits for a Namer that has ended its goroutine")
	}
}

// TestRuntimeByState has a container of which only what containerd has written down tells the runtime.
func TestRuntimeByState(t *testing.T) {
	const marker = "NSOPS_TEST_STATE_OF"
	if id := os.Getenv(marker); id != "" {
		dir := "/run/containerd/io.containerd.runtime.v2.task/default/" + id
		require.NoError(t, os.MkdirAll(dir, 0o700))
		require.NoError(t, os.WriteFile(dir+"/config.json", []byte(`{"annotations":{"nerdctl/name":"db"}}`), 0o600))
		r := standard(t)
		at := slices.IndexFunc(r.Containers, func(c *discover.Container) bool { return c.ID == id })
		require.Equal(t, discover.Container{ID: id, Runtime: "containerd", Name: "db", Cgroup: "/" + id}, alone(r.Containers[at]))
		return
	}
	testutil.NeedRoot(t)
	_, id := unnamed(t)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", `mount -t tmpfs state /run; exec "$@"`, "sh",
		self, "-test.run=^TestRuntimeByState$", "-test.v")
	cmd.Env = append(os.Environ(), marker+"="+id)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "--- PASS: TestRuntimeByState", "%s", output)
}
