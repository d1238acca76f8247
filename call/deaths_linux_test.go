package call_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// A caller may be killed at any moment.
func TestNothingOutlivesACallerThatEndsAtAnyMoment(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	requests := []request{
		{Handler: "family", Arg: []int{33}, Types: allSet},
		{Handler: "other user", Arg: 33, Types: allSet},
		{Handler: "family", Arg: []int{33}, Types: allSet.Without(species.CLONE_NEWUSER)},
		{Handler: "other user", Arg: 33, Types: allSet.Without(species.CLONE_NEWUSER)},
	}
	for i := range 100 {
		r := requests[i%len(requests)]
		r.Pid = target.PID
		cmd := role(t, "caller", r.json())
		require.NoError(t, cmd.Start())
		time.Sleep(time.Duration(rand.IntN(25000)) * time.Microsecond)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		waitUntil(t, func() bool { return len(companions(t, target)) == 0 }, fmt.Sprint(i, r, " is still there"))
	}
}
