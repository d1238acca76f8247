package sys_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

// startStranger starts a process that is not our child, and leads a group of its own.
func startStranger(t testing.TB) (pid int) {
	t.Helper()
	text, err := exec.Command("setsid", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!").Output()
	require.NoError(t, err)
	pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGKILL) })
	return pid
}

// startChild starts a child, which only we know of: package os would hold it, too.
func startChild(t testing.TB, script string) (pid int) {
	t.Helper()
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", script}, &syscall.ProcAttr{Sys: &syscall.SysProcAttr{Setpgid: true}})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = unix.Kill(-pid, unix.SIGKILL)
		_, _ = unix.Wait4(pid, nil, 0, nil)
	})
	return pid
}

// limitToNothing leaves no descriptor to be opened until the function returned is called.
func limitToNothing(t testing.TB) (restore func()) {
	t.Helper()
	var old unix.Rlimit
	require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &old))
	require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}, nil))
	return func() { require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, &old, nil)) }
}

// While SIGCHLD is ignored, the PID of a child that has ended may belong to anybody: he is not adopted, and not killed,
// whether there is a descriptor to be had of him or not.
func TestOnlyOwnChildrenAreAdopted(t *testing.T) {
	testutil.CheckLeaks(t)
	stranger := startStranger(t)
	for _, full := range []bool{false, true} {
		restore := func() {}
		if full {
			restore = limitToNothing(t)
		}
		child, err := sys.Adopt(stranger)
		restore()
		require.Nil(t, child)
		if full {
			require.ErrorIs(t, err, unix.EMFILE)
		} else {
			require.ErrorIs(t, err, unix.ECHILD)
		}
		require.NoError(t, unix.Kill(stranger, 0))
		state, err := sys.OpenProcess(stranger)
		require.NoError(t, err)
		require.True(t, state.Alive(), "a child that is not ours was killed")
		require.NoError(t, state.Close())
	}
	_, err := sys.Adopt(1 << 22)
	require.ErrorIs(t, err, unix.ECHILD)
}

func TestChildrenAreAdoptedOnce(t *testing.T) {
	testutil.CheckLeaks(t)
	for script, want := range map[string]int{"exit 7": 7, "sleep 0.05; exit 8": 8} {
		pid := startChild(t, script)
		child, err := sys.Adopt(pid)
		require.NoError(t, err)
		status, ok := child.Wait(time.Time{})
		require.True(t, ok)
		require.Equal(t, want, status.ExitStatus())
		_, err = sys.Adopt(pid)
		require.ErrorIs(t, err, unix.ECHILD)
	}
	pid := startChild(t, "sleep 1000")
	restore := limitToNothing(t)
	_, err := sys.Adopt(pid)
	restore()
	require.ErrorIs(t, err, unix.EMFILE)
	_, err = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	require.ErrorIs(t, err, unix.ECHILD, "it is killed and reaped")
}

// A group is killed by the pidfd of its leader where that can be, else by its number while the leader lives.
func TestKillEndsTheGroup(t *testing.T) {
	testutil.CheckLeaks(t)
	for _, old := range []bool{false, true} {
		if old {
			defer sys.Pretend(sys.GroupSignals)()
		}
		file := t.TempDir() + "/pid"
		child, err := sys.Adopt(startChild(t, "sleep 1000 & echo $! >"+file+"; wait"))
		require.NoError(t, err)
		member := 0
		require.Eventually(t, func() bool {
			text, _ := os.ReadFile(file)
			member, _ = strconv.Atoi(strings.TrimSpace(string(text)))
			return member > 0
		}, 5*time.Second, 5*time.Millisecond)
		process, err := sys.OpenProcess(member)
		require.NoError(t, err)
		child.Kill()
		status, ok := child.Wait(time.Now().Add(5 * time.Second))
		require.True(t, ok)
		require.Equal(t, unix.SIGKILL, status.Signal())
		require.Eventually(t, func() bool { return !process.Alive() }, 5*time.Second, 5*time.Millisecond)
		require.NoError(t, process.Close())
	}
}

func TestWaitLaterTakesNoThread(t *testing.T) {
	testutil.CheckLeaks(t)
	before := threads(t)
	for range 50 {
		child, err := sys.Adopt(startChild(t, "sleep 1000"))
		require.NoError(t, err)
		child.WaitLater()
	}
	time.Sleep(50 * time.Millisecond)
	require.Less(t, threads(t), before+25)
}

func threads(t testing.TB) int {
	t.Helper()
	dirs, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	return len(dirs)
}
