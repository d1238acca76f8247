package nsenter_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/nsenter"
)

// bootEnv holds the role of a process whose bootstrap is tested.
const bootEnv = "NSOPS_TEST_BOOT"

// roles are programs; each returns its error.
var roles = map[string]func(args []string) error{
	"main": func([]string) error {
		worker, ok := nsenter.Current()
		_, err := fmt.Println("main ran", worker, ok)
		return err
	},
}

func TestMain(m *testing.M) {
	if role, ok := roles[os.Getenv(bootEnv)]; ok {
		if err := role(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(testutil.Run(m))
}

// boot is the outcome of a start.
type boot struct {
	status  int // exit status, -1 for a signal
	records []wire.Record
	stdout  string
	stderr  string
}

// start runs the test binary with a channel, on which a frame and descriptors are waiting for it.
func start(t testing.TB, frame []byte, fds ...int) boot {
	t.Helper()
	if !nsenter.Linked {
		testutil.Skip(t, "needs cgo")
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	theirs := os.NewFile(uintptr(pair[1]), "channel")
	defer func() { _ = unix.Close(pair[0]) }()
	require.NoError(t, unix.Sendmsg(pair[0], frame, unix.UnixRights(fds...), nil, 0))
	lifeline, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer func() { _ = unix.Close(lifeline[0]) }()
	remote := os.NewFile(uintptr(lifeline[1]), "lifeline")

	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), bootEnv+"=main", wire.ChannelEnv+"=3", "GORACE=atexit_sleep_ms=0")
	cmd.ExtraFiles, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = []*os.File{theirs, remote}, &stdout, &stderr, time.Second
	timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	err = cmd.Run()
	timer.Stop()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	require.NoError(t, theirs.Close())
	require.NoError(t, remote.Close())
	return boot{cmd.ProcessState.ExitCode(), records(t, pair[0]), stdout.String(), stderr.String()}
}

// records reads what the bootstrap has reported.
func records(t testing.TB, socket int) (found []wire.Record) {
	t.Helper()
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(socket, buf)
		if errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EINTR) { // it did not read all
			continue
		}
		require.NoError(t, err)
		if n == 0 {
			return found
		}
		record, err := wire.ParseRecord(buf[:n])
		require.NoError(t, err)
		found = append(found, record)
	}
}
