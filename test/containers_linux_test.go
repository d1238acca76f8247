package test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/testutil/runtimes"
	"github.com/nsops/nsops/species"
)

// patience is how long a call may take.
const patience = 20 * time.Second

// container is a running container, with what is known about it from outside.
type container struct {
	*testutil.Target
	host string
	base int           // UID of its root outside, 0 if it has no user namespace
	boot time.Duration // offset of its boot-time clock
}

// inContainers runs a test once with each kind of container, and checks that it leaves nothing behind.
func inContainers(t *testing.T, test func(t *testing.T, c container)) {
	t.Helper()
	testutil.NeedCommand(t, "ip")
	kinds := []struct {
		name  string
		start func(t *testing.T) container
	}{
		{"runc", func(t *testing.T) container {
			return container{Target: runtimes.StartRunc(t, false), host: runtimes.RuncHostname}
		}},
		{"runc-userns", func(t *testing.T) container {
			return container{Target: runtimes.StartRunc(t, true), host: runtimes.RuncHostname, base: runtimes.UserBase}
		}},
		{"lxc", func(t *testing.T) container {
			return container{Target: runtimes.StartLXC(t), host: runtimes.LXCHostname, base: runtimes.UserBase, boot: runtimes.LXCBootOffset}
		}},
	}
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			testutil.CheckLeaks(t)
			c := kind.start(t)
			addInterface(t, c)
			test(t, c)
		})
	}
}

// addInterface gives the container an interface that the machine lacks.
func addInterface(t *testing.T, c container) {
	t.Helper()
	output, err := exec.Command("nsenter", "--target", strconv.Itoa(c.PID), "--net", "ip", "link", "add", "cont0", "type", "bridge").CombinedOutput()
	require.NoError(t, err, string(output))
}

// newCall returns a call of a handler in the container that ends in time.
func (c container) newCall(t *testing.T, handler string) *call.Call {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return call.NewCall(handler).TargetPid(c.PID).Context(ctx)
}

// allTypes returns the types of which the container has a namespace of its own.
func (c container) allTypes() []species.NamespaceType {
	var types []species.NamespaceType
	for t := range c.Types().All() {
		types = append(types, t)
	}
	return types
}

// look runs the handler look, and while the worker runs, observe, which sees the worker from outside.
func (c container) look(t *testing.T, w wish, build func(*call.Call) *call.Call, observe func(worker *testutil.Target)) view {
	t.Helper()
	there, thereEnd := pipe(t)
	goOnEnd, goOn := pipe(t)
	w.Wait = true
	var v view
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = build(c.newCall(t, "look").Arg(w)).Stdin(goOnEnd).Stdout(thereEnd).SpawnInNamespaces(&v)
		_ = thereEnd.Close()
	}()
	func() {
		defer func() { <-done }() // also when observe fails
		defer func() { _ = goOn.Close() }()
		if line, _ := bufio.NewReader(there).ReadString('\n'); line == "there\n" {
			observe(testutil.Attach(t, runningChild(t), nil))
		}
	}()
	require.NoError(t, err)
	return v
}

// runningChild returns the PID of the one child of this process that runs. With pid, the handler may be there before the
// process that forked it has ended.
func runningChild(t *testing.T) int {
	t.Helper()
	var children []int
	require.Eventually(t, func() bool {
		children = slices.DeleteFunc(testutil.Children(), func(pid int) bool {
			state := status(text(fmt.Sprintf("/proc/%d/status", pid)))["State"]
			return state == "" || strings.HasPrefix(state, "Z")
		})
		return len(children) == 1
	}, patience, time.Millisecond, "running children")
	return children[0]
}

// pipe returns both ends of a pipe that the end of the test closes.
func pipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = reader.Close(), writer.Close() })
	return reader, writer
}

// unchanged checks at the end of the test that the mounts of the machine and of the container are what they are now.
func unchanged(t *testing.T, c container) {
	t.Helper()
	host, inside := text("/proc/self/mountinfo"), c.MountTable()
	t.Cleanup(func() {
		require.Equal(t, host, text("/proc/self/mountinfo"))
		require.Equal(t, inside, c.MountTable())
	})
}
