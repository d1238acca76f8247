package call_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	// "outside stalker" attacks new children of a process for a while, and prints what succeeded.
	roles["outside stalker"] = func(args []string) {
		runtime.LockOSThread()
		s, known := stalked{}, map[int]bool{os.Getpid(): true}
		attack := func(f func(pid int)) {
			threads, _ := os.ReadDir("/proc/" + args[0] + "/task")
			for _, thread := range threads {
				text, _ := os.ReadFile("/proc/" + args[0] + "/task/" + thread.Name() + "/children")
				for _, child := range strings.Fields(string(text)) {
					if pid, err := strconv.Atoi(child); err == nil && !known[pid] {
						f(pid)
					}
				}
			}
		}
		attack(func(pid int) { known[pid] = true })
		_, _ = os.Stdout.WriteString("ready\n")
		for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
			attack(s.attack)
		}
		fmt.Println(s.Seen, s.Seized, s.Taken)
	}
}

// stalkOutside makes calls while the ordinary user 1234 attacks new processes, and returns what succeeded.
func stalkOutside(t testing.TB, c func() *call.Call) (s stalked, err error) {
	t.Helper()
	cmd := role(t, "outside stalker", strconv.Itoa(os.Getpid()))
	cmd.Path = copyOf(t, testBinary(t), 0o755)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1234}}
	stdout, pipeErr := cmd.StdoutPipe()
	require.NoError(t, pipeErr)
	require.NoError(t, cmd.Start())
	_, readErr := stdout.Read(make([]byte, 6))
	require.NoError(t, readErr)
	for start := time.Now(); time.Since(start) < time.Second; {
		err = c().SpawnInNamespaces(nil)
	}
	_, scanErr := fmt.Fscan(stdout, &s.Seen, &s.Seized, &s.Taken)
	require.NoError(t, scanErr)
	require.NoError(t, cmd.Wait())
	return s, err
}

// The creator of the target's user namespace may be outside of it. That user sees the worker, and has the rights of that
// namespace's root over it. Without a user namespace, the user whom the worker becomes has rights over it.
func TestUsersOutsideCannotTraceWhateverTheSysctl(t *testing.T) {
	pid := startOwned(t)
	calls := map[string]func() *call.Call{
		"owner": func() *call.Call {
			return call.NewCall("nothing").Namespaces(species.CLONE_NEWUSER, species.CLONE_NEWPID)
		},
		"user": func() *call.Call { return call.NewCall("nothing").Namespaces(species.CLONE_NEWPID).User(1234, 1234) },
	}
	for _, value := range []string{"0", "1"} {
		setSuidDumpable(t, value)
		for name, c := range calls {
			s, err := stalkOutside(t, func() *call.Call { return c().TargetPid(pid) })
			require.Zero(t, s.Seized+s.Taken, "%s, suid_dumpable %s: %+v", name, value, s)
			if value == "1" {
				require.Contains(t, requireError(t, err, call.StagePrivileges).Error(), "fs.suid_dumpable is 1", name)
				continue
			}
			require.NoError(t, err, name)
			require.Positive(t, s.Seen, name)
		}
	}
}

// startOwned starts a target in user, mount and PID namespaces that an ordinary user has made.
func startOwned(t testing.TB) (pid int) {
	t.Helper()
	needBootstrap(t)
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "unshare")
	cmd := exec.Command("unshare", "--user", "--mount", "--pid", "--fork", "--kill-child", "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1234}}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	waitUntil(t, func() bool { pid = childOf(t, cmd.Process.Pid); return name(pid) == "sleep" }, "it sleeps")
	for _, file := range []string{"uid_map", "gid_map"} {
		require.NoError(t, os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, file), []byte("0 100000 65536"), 0))
	}
	return pid
}
