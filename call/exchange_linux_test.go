package call

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/wire"
)

// The worker and the process that forks it write to the same channel. Only a record that the kernel attributes to the
// latter may name a process to kill and to wait for.
func TestOnlyTheChildSaysWhichWorkerItForked(t *testing.T) {
	worker := startChild(t)
	for name, test := range map[string]struct {
		child  int // PID of the process that forks the worker; the sender is this process
		forked bool
		adopts bool
	}{
		"another process": {worker.PID, true, false},
		"no fork to come": {os.Getpid(), false, false},
		"the child":       {os.Getpid(), true, true},
	} {
		ours, theirs, err := sys.Socketpair()
		require.NoError(t, err)
		inbox, err := sys.NewInbox(ours)
		require.NoError(t, err)
		frame := wire.AppendRecord(nil, wire.Record{Kind: wire.KindForked, Pid: int32(worker.PID)})
		require.NoError(t, sys.Send(theirs, frame))
		require.NoError(t, sys.Send(theirs, frame))
		x := exchange{channel: inbox, lines: testLifelines(t), child: &sys.Child{PID: test.child}, turns: wire.Turns{Forks: test.forked}}
		buf := make([]byte, wire.MaxMessage)
		if test.adopts {
			require.NoError(t, x.receiveNext(buf), name)
			require.Equal(t, worker.PID, x.worker.PID)
			require.ErrorContains(t, x.receiveNext(buf), "out of turn", "once")
			end(x.worker)
		} else {
			require.ErrorContains(t, x.receiveNext(buf), "out of turn", name)
			require.Nil(t, x.worker, name)
		}
		_, _ = inbox.Close(), theirs.Close()
	}
}

// While SIGCHLD is ignored, the worker may be reaped at any time, and another process get its PID.
func TestReapedWorkerIsNotOpenedByNumber(t *testing.T) {
	text, err := exec.Command("setsid", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!").Output()
	require.NoError(t, err)
	stranger, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	process, err := sys.OpenProcess(stranger)
	require.NoError(t, err)
	defer func() { _, _ = process.Kill(unix.SIGKILL), process.Close() }()
	ours, theirs, err := sys.Socketpair()
	require.NoError(t, err)
	inbox, err := sys.NewInbox(ours)
	require.NoError(t, err)
	defer func() { _, _ = inbox.Close(), theirs.Close() }()
	require.NoError(t, sys.Send(theirs, wire.AppendRecord(nil, wire.Record{Kind: wire.KindForked, Pid: int32(stranger)})))
	x := exchange{channel: inbox, lines: testLifelines(t), child: &sys.Child{PID: os.Getpid()}, turns: wire.Turns{Forks: true}}
	require.NoError(t, x.receiveNext(make([]byte, wire.MaxMessage)))
	require.Nil(t, x.worker)
	require.True(t, process.Alive())
}

// A worker that fills the channel cannot hide that it is a child of ours.
func TestHostileRecordsHideNoWorker(t *testing.T) {
	testutil.CheckLeaks(t)
	for _, old := range []bool{false, true} {
		if old {
			defer sys.Pretend(sys.RightsRefusal)()
		}
		worker := startChild(t)
		ours, theirs, err := sys.Socketpair()
		require.NoError(t, err)
		inbox, err := sys.NewInbox(ours)
		require.NoError(t, err)
		for _, garbage := range [][]byte{nil, []byte("x"), make([]byte, wire.MaxMessage+1)} {
			require.NoError(t, sys.Send(theirs, garbage))
		}
		_ = sys.Send(theirs, []byte("descriptor"), 0)
		for range 100 {
			require.NoError(t, sys.Send(theirs, wire.AppendRecord(nil, wire.Record{Kind: wire.KindReady})))
		}
		require.NoError(t, sys.Send(theirs, wire.AppendRecord(nil, wire.Record{Kind: wire.KindForked, Pid: int32(worker.PID)})))
		x := exchange{channel: inbox, lines: testLifelines(t), child: &sys.Child{PID: os.Getpid()}, turns: wire.Turns{Forks: true}}
		x.findWorker()
		require.NotNil(t, x.worker)
		require.Equal(t, worker.PID, x.worker.PID)
		end(x.worker)
		_, _ = inbox.Close(), theirs.Close()
	}
}

// startChild starts a child that sleeps until the test ends, without package os, which would wait for it, too.
func startChild(t testing.TB) *sys.Child {
	t.Helper()
	cmd := exec.Command("/bin/sleep", "1000")
	require.NoError(t, cmd.Start())
	child, err := sys.Adopt(cmd.Process.Pid)
	require.NoError(t, err)
	t.Cleanup(func() { end(child) })
	require.NoError(t, cmd.Process.Release())
	return child
}

func end(c *sys.Child) {
	c.Kill()
	c.Wait(time.Time{})
}

func testLifelines(t *testing.T) *lifelines {
	t.Helper()
	lines, err := openLifelines()
	require.NoError(t, err)
	t.Cleanup(lines.close)
	return lines
}
