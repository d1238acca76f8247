package main

import (
	"context"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
)

func TestMain(m *testing.M) {
	runReexec()
	os.Exit(testutil.Run(m))
}

func TestDemoLeavesNothing(t *testing.T) {
	testutil.NeedRoot(t)
	before := links(t)
	require.NoError(t, run(t.Context(), ""))
	require.Equal(t, before, links(t))
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	testutil.NeedRoot(t)
	before := links(t)
	for delay := range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(delay)*time.Millisecond)
		_ = run(ctx, "")
		cancel()
		require.Equal(t, before, links(t), "after %d ms", delay)
	}
}

func TestDemoOfAGivenProcess(t *testing.T) {
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	require.NoError(t, run(t.Context(), strconv.Itoa(target.PID)))
	for _, pid := range []string{"nonsense", "0", "-1", "99999999"} {
		require.Error(t, run(t.Context(), pid), pid)
	}
}

func links(t *testing.T) []string {
	t.Helper()
	all, err := net.Interfaces()
	require.NoError(t, err)
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names
}
