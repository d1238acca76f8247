package call_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
)

func init() {
	// "parent of first" makes a call on a thread whose next child is the first process of a PID namespace.
	roles["parent of first"] = func(args []string) {
		call.HandleReexec()
		runtime.LockOSThread()
		check(unix.Unshare(unix.CLONE_NEWPID))
		spawnAndPrint(parseRequest(args[0]))
	}
}

// For the kernel, the signal of a lifeline comes from inside, and the first process of a PID namespace ignores it.
func TestWorkerThatIsTheFirstProcessDiesWithTheCaller(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	for handler, arg := range map[string]any{"block": nil, "other user": 33, "family": []int{33}} {
		caller, worker := orphan(t, "parent of first", request{Handler: handler, Arg: arg, Pid: os.Getpid()})
		family := descendants(t, worker)
		require.NoError(t, caller.Kill())
		for _, pid := range append(family, worker) {
			waitUntil(t, func() bool { return gone(pid) }, handler+" is still there")
		}
	}
}
