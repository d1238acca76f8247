package call_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
)

// limits are resource limits of a worker: its caller's, or those that the target's root sets.
type limits struct {
	Files, Size uint64
	How         string // "result", "error" or "panic"
}

func init() {
	call.RegisterReexec("limited", func(arg any) (any, error) {
		l := arg.(*limits)
		long := strings.Repeat("\x01long text", 1000)
		for which, limit := range map[int]uint64{unix.RLIMIT_NOFILE: l.Files, unix.RLIMIT_FSIZE: l.Size} {
			if limit == 0 {
				continue
			}
			if err := unix.Prlimit(0, which, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
				return nil, err
			}
		}
		switch l.How {
		case "panic":
			panic(long)
		case "error":
			return nil, fmt.Errorf("%s: %w", long, unix.EXDEV)
		}
		return long, nil
	}, limits{})
}

// A worker must report that its result cannot be sent, in a message that needs no file.
func TestWorkerSaysThatItsResultCannotBeSent(t *testing.T) {
	needBootstrap(t)
	testutil.CheckLeaks(t)
	for name, test := range map[string]struct {
		limits limits
		errno  error
	}{
		"size": {limits{Size: 1000}, unix.EFBIG}, "descriptors": {limits{Files: 1}, unix.EMFILE},
	} {
		err := ours("limited").Arg(test.limits).SpawnInNamespaces(nil)
		requireError(t, err, call.StageHandler)
		require.ErrorIs(t, err, test.errno, name)
		require.ErrorContains(t, err, "send a result of 15002 bytes", name)

		test.limits.How = "error"
		err = ours("limited").Arg(test.limits).SpawnInNamespaces(nil)
		var remote *call.RemoteError
		require.ErrorAs(t, requireError(t, err, call.StageHandler), &remote, name)
		require.ErrorIs(t, err, unix.EXDEV, "the handler's error is kept")
		require.Contains(t, remote.Text, "send all of this: ")
		require.Contains(t, remote.Text, "long text\x01long text")

		test.limits.How = "panic"
		err = ours("limited").Arg(test.limits).SpawnInNamespaces(nil)
		var p *call.PanicError
		require.ErrorAs(t, requireError(t, err, call.StageHandler), &p, name)
		require.Contains(t, p.Value, "long text\x01long text")
	}
	require.NoError(t, ours("nothing").SpawnInNamespaces(nil))
}

func init() {
	// "small files" makes calls under a limit of its own.
	roles["small files"] = func(args []string) {
		call.HandleReexec()
		check(unix.Prlimit(0, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1000, Max: 1000}, nil))
		spawnAndPrint(parseRequest(args[0]))
	}
}

// Under a limit of the caller's own a long argument cannot be sent: an error of the call, before anything starts.
func TestArgumentLongerThanFilesMayBe(t *testing.T) {
	needBootstrap(t)
	o := callIn(t, role(t, "small files", request{Handler: "echo", Arg: strings.Repeat("x", 10_000), Pid: os.Getpid()}.json()))
	require.Equal(t, call.StageSpawn, o.Stage)
	require.Contains(t, o.Failure, "the limit of file sizes (ulimit -f): file too large")
	o = callIn(t, role(t, "small files", request{Handler: "echo", Arg: "x", Pid: os.Getpid()}.json()))
	require.Empty(t, o.Failure)
}
