package call_test

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
)

// hooked is a context that never ends. It calls a function when the worker was started, before the call waits for it.
type hooked struct {
	context.Context
	done    chan struct{}
	waiting func()
}

func (h hooked) Done() <-chan struct{} { return h.done }

func (h hooked) AfterFunc(func()) (stop func() bool) {
	h.waiting()
	return func() bool { return true }
}

// If no descriptor is left, the worker that our child has forked cannot be opened, but it must be killed nevertheless.
func TestNoChildIsLeftWithoutDescriptors(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	c := call.NewCall("sleep").Arg(time.Second).TargetPid(target.PID).Namespaces(allTypes)
	require.NoError(t, c.Arg(time.Duration(0)).SpawnInNamespaces(nil), "opens what is opened once")
	testutil.CheckLeaks(t)
	var old unix.Rlimit
	require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &old))
	limited := false
	ctx := hooked{t.Context(), make(chan struct{}), func() {
		limited = unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}, nil) == nil
	}}
	err := c.Arg(time.Second).Context(ctx).SpawnInNamespaces(nil)
	require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, &old, nil))
	require.True(t, limited)
	require.ErrorIs(t, err, unix.EMFILE)
	require.Equal(t, []int{target.PID}, reapOthers(t, target.PID))
}

func init() {
	// "leaky" fails to switch in a loop, starts children meanwhile, and prints the descriptors that they have inherited.
	roles["leaky"] = func([]string) {
		call.HandleReexec()
		c := ours("nothing").Env("LONG=" + strings.Repeat("x", 4<<20)) // E2BIG
		inherited := sockets()
		go func() {
			for {
				if err := c.SwitchToNamespaces(); !strings.Contains(err.Error(), unix.E2BIG.Error()) {
					check(err)
				}
			}
		}()
		for range 30 {
			for _, socket := range sockets() {
				if !slices.Contains(inherited, socket) {
					fmt.Println("leaked:", socket)
				}
			}
		}
	}
}

// sockets returns those that a child of ours inherits.
func sockets() []string {
	text, err := exec.Command("ls", "-l", "/proc/self/fd").Output()
	check(err)
	return regexp.MustCompile(`socket:\[\d+\]`).FindAllString(string(text), -1)
}

func TestFailedSwitchLeaksNoDescriptorIntoOthersChildren(t *testing.T) {
	needBootstrap(t)
	require.Equal(t, result{}, run(t, role(t, "leaky")))
}
