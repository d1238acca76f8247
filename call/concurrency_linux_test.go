package call_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func TestManyCallsAtOnce(t *testing.T) {
	testutil.CheckLeaks(t)
	const n = 64
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	failures := make(chan error, n)
	for i := range n {
		go func() {
			types := []species.NamespaceType{defaultTypes, allTypes, species.CLONE_NEWNET}[i%3]
			want, got := fmt.Sprint("call ", i), ""
			err := call.NewCall("echo").Arg(want).TargetPid(target.PID).Namespaces(types).SpawnInNamespaces(&got)
			if err == nil && got != want {
				err = fmt.Errorf("got %q, want %q", got, want)
			}
			failures <- err
		}()
	}
	for range n {
		require.NoError(t, <-failures)
	}
}

// Makes failing calls of every kind at once. TestMain finds leaks.
func TestManyFailuresAtOnce(t *testing.T) {
	testutil.CheckLeaks(t)
	target := startTarget(t, testutil.TargetOptions{})
	dead := zombie(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	calls := map[string]func() *call.Call{
		"zombie":  func() *call.Call { return call.NewCall("nothing").TargetPid(dead) },
		"unknown": func() *call.Call { return call.NewCall("unknown").TargetPid(target.PID) },
		"panic":   func() *call.Call { return call.NewCall("die").Arg("panic").TargetPid(target.PID) },
		"exit":    func() *call.Call { return call.NewCall("die").Arg("exit 3").TargetPid(target.PID) },
		"killed": func() *call.Call {
			return call.NewCall("die").Arg("SIGKILL").TargetPid(target.PID).Namespaces(allTypes)
		},
		"hang": func() *call.Call {
			return call.NewCall("hang").Arg(childTime).TargetPid(target.PID).Namespaces(allTypes)
		},
		"early": func() *call.Call { return call.NewCall("nothing").TargetPid(target.PID).Context(ctx) },
		"large": func() *call.Call { return call.NewCall("echo").Arg("too large").MaxResult(3).TargetPid(target.PID) },
	}
	failures := make(chan error)
	for name, c := range calls {
		for range 4 {
			go func() {
				c := c()
				if name == "hang" || name == "early" {
					c.Context(ctx)
				}
				err := c.SpawnInNamespaces(nil)
				if err == nil && name != "early" {
					err = fmt.Errorf("%s: no error", name)
				} else {
					err = nil
				}
				failures <- err
			}()
		}
	}
	for range 4 * len(calls) {
		require.NoError(t, <-failures)
	}
}

// The end of the context may come at any moment of a call.
func TestContextMayEndAtAnyMoment(t *testing.T) {
	testutil.CheckLeaks(t)
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	for after := time.Duration(0); after < 8*time.Millisecond; after += 200 * time.Microsecond {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		start := time.Now()
		err := call.NewCall("look").TargetPid(target.PID).Namespaces(allTypes).Context(ctx).SpawnInNamespaces(new(view))
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Less(t, time.Since(start), 2*time.Second)
		require.Equal(t, []int{target.PID}, reapOthers(t, target.PID), "ended after %v: a child is left", after)
	}
}

// reapOthers returns our children, and reaps all but one, without which the target could not end.
func reapOthers(t testing.TB, but int) []int {
	t.Helper()
	children := childrenOf(t, os.Getpid())
	for _, child := range children {
		if child != but {
			reapChild(child)
		}
	}
	return children
}
