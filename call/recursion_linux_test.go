package call_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	// "itself" runs its own program, which makes the same call, and so on.
	call.RegisterReexec("itself", func(arg any) (any, error) {
		cmd := exec.Command(*arg.(*string))
		cmd.Stderr = os.Stderr
		text, err := cmd.Output()
		return string(text), err
	}, "")
	// "calls" makes a call in the worker.
	call.RegisterReexec("calls", func(any) (any, error) {
		return nil, call.NewCall("nothing").TargetPid(os.Getpid()).SpawnInNamespaces(nil)
	}, nil)
	roles["recursive"] = func([]string) {
		call.HandleReexec()
		path, err := os.Executable()
		check(err)
		fmt.Fprintln(os.Stderr, "main ran")
		spawnAndPrint(request{Handler: "itself", Arg: path, Pid: os.Getpid()})
	}
	roles["never"] = func([]string) {
		fmt.Fprintln(os.Stderr, "main ran")
		spawnAndPrint(request{Handler: "nothing", Pid: os.Getpid()})
	}
	roles["conditional"] = func(args []string) {
		if len(args) > 0 { // a worker has none
			call.HandleReexec()
		}
		fmt.Fprintln(os.Stderr, "main ran")
		if len(args) > 0 {
			spawnAndPrint(request{Handler: "nothing", Pid: os.Getpid()})
		}
	}
	roles["conditional, stays"] = func(args []string) {
		if len(args) > 0 {
			call.HandleReexec()
			call.SetStartTimeoutForRole(300 * time.Millisecond)
			spawnAndPrint(request{Handler: "nothing", Pid: os.Getpid()})
			return
		}
		for {
			time.Sleep(time.Hour)
		}
	}
}

func TestRecursionEndsWithAnError(t *testing.T) {
	needBootstrap(t)
	cmd := role(t, "recursive")
	cmd.Path = testBinary(t)
	r := run(t, cmd)
	require.Zero(t, r.Code)
	require.Contains(t, r.Stdout, "too many nested calls")
}

func TestProgramWithoutHandleReexecIsRefused(t *testing.T) {
	needBootstrap(t)
	r := run(t, role(t, "never"))
	require.Equal(t, "main ran\n", r.Stderr, "once")
	require.Contains(t, r.Stdout, "HandleReexec was not called")
	require.Contains(t, r.Stdout, `"Stage":2`)
}

func TestWorkerThatRunsMainIsAnError(t *testing.T) {
	needBootstrap(t)
	r := run(t, role(t, "conditional", "argument"))
	require.Equal(t, "main ran\nmain ran\n", r.Stderr)
	require.Contains(t, r.Stdout, "does every run of the program call HandleReexec?")
	r = run(t, role(t, "conditional, stays", "argument"))
	require.Contains(t, r.Stdout, "did not start its handler")
}

func TestWorkerMayCallAgain(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	require.NoError(t, ours("calls").SpawnInNamespaces(nil))
	require.NoError(t, call.NewCall("calls").TargetPid(target.PID).Namespaces(species.CLONE_NEWNET).SpawnInNamespaces(nil))
	err := call.NewCall("calls").TargetPid(target.PID).SpawnInNamespaces(nil)
	failed := requireError(t, err, call.StageHandler)
	testutil.NeedKernel(t, 6, 11) // before, the call fails earlier: /proc does not show the process
	require.ErrorContains(t, failed, "its /proc is the target's")
}
