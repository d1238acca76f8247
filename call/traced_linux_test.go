package call_test

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	// "tracer" traces a process, and does not reap it before its own end.
	roles["tracer"] = func(args []string) {
		runtime.LockOSThread()
		pid, err := strconv.Atoi(args[0])
		check(err)
		check(unix.PtraceSeize(pid))
		_, _ = os.Stdout.WriteString("ready\n")
		_, _ = os.Stdin.Read(make([]byte, 1))
	}
}

// The caller can reap a traced worker only after the tracer has done so.
func TestWorkerThatIsTracedIsReapedInTheEnd(t *testing.T) {
	testutil.CheckLeaks(t)
	target := startTarget(t, testutil.TargetOptions{})
	for _, types := range []species.NamespaceType{species.CLONE_NEWNET, species.CLONE_NEWNET | species.CLONE_NEWPID} {
		before := childrenOf(t, os.Getpid())
		done := make(chan error, 1)
		go func() {
			c := call.NewCall("sleep").Arg(time.Second).TargetPid(target.PID).Namespaces(types)
			done <- c.Env("GODEBUG=asyncpreemptoff=1").SpawnInNamespaces(nil) // a signal stops a traced process
		}()
		time.Sleep(300 * time.Millisecond)
		worker := 0
		for _, child := range childrenOf(t, os.Getpid()) {
			if !gone(child) && !slices.Contains(before, child) {
				worker = child
			}
		}
		tracer := role(t, "tracer", strconv.Itoa(worker))
		stdin, err := tracer.StdinPipe()
		require.NoError(t, err)
		stdout, err := tracer.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, tracer.Start())
		t.Cleanup(func() { _ = stdin.Close() }) // or the target could not end
		_, err = stdout.Read(make([]byte, 6))
		require.NoError(t, err)
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(20 * time.Second):
			require.Fail(t, "the call waits for the tracer")
		}
		require.NoError(t, stdin.Close())
		require.NoError(t, tracer.Wait())
	}
}
