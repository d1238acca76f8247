package call_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// startChrooted starts a target whose root has a file "marker", in new namespaces of these types.
func startChrooted(t testing.TB, types uintptr) (pid int) {
	t.Helper()
	needBootstrap(t)
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "busybox")
	dir := t.TempDir()
	busybox, err := exec.LookPath("busybox")
	require.NoError(t, err)
	text, err := os.ReadFile(busybox)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(dir+"/bin", 0o755))
	require.NoError(t, os.WriteFile(dir+"/bin/sleep", text, 0o755))
	require.NoError(t, os.WriteFile(dir+"/marker", []byte("inside"), 0o644))
	require.NoError(t, os.MkdirAll(dir+"/sys", 0o755))
	for _, dir := range []string{dir, dir + "/bin", dir + "/bin/sleep", dir + "/sys"} {
		require.NoError(t, os.Chmod(dir, 0o755)) // whatever the umask is
	}
	cmd := exec.Command("/bin/sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Cloneflags: types}
	cmd.Dir = "/"
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	waitUntil(t, func() bool { return name(cmd.Process.Pid) == "sleep" }, "it sleeps")
	return cmd.Process.Pid
}

func init() {
	// "root" returns the entries of "/", and whether it is the current directory.
	call.RegisterReexec("root", func(any) (any, error) {
		entries, err := os.ReadDir("/")
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		if dir, err := os.Getwd(); err != nil || dir != "/" {
			names = append(names, "elsewhere: "+dir)
		}
		return names, err
	}, nil)
}

// If the target has called chroot(2), the worker must not reach files outside of that root.
func TestWorkerHasTheRootOfAChrootedTarget(t *testing.T) {
	for what, types := range map[string]uintptr{
		"in our mount namespace": 0,
		"in one of its own":      unix.CLONE_NEWNS,
		"with PIDs":              unix.CLONE_NEWNS | unix.CLONE_NEWPID,
	} {
		pid := startChrooted(t, types)
		c := func() *call.Call {
			return call.NewCall("root").TargetPid(pid).Namespaces(species.CLONE_NEWNS, species.CLONE_NEWPID)
		}
		inside := []string{"bin", "marker", "sys"}
		require.Equal(t, inside, spawn[[]string](t, c()), what)
		require.Equal(t, inside, spawn[[]string](t, c().DropPrivs()), what)
		require.Equal(t, inside, spawn[[]string](t, c().RemountSys()), what)
		require.NotContains(t, spawn[[]string](t, c().NamespaceRoot()), "marker", what)
		cmd := role(t, "switcher", request{Handler: "print root", Pid: pid, Types: species.Set(species.CLONE_NEWNS)}.json())
		require.Equal(t, "[d bin/ - marker d sys/]\n", run(t, cmd).Stdout, what)
	}
	// Without mnt among the types, the worker keeps its root.
	pid := startChrooted(t, unix.CLONE_NEWUTS)
	require.NotContains(t, spawn[[]string](t, call.NewCall("root").TargetPid(pid).Namespaces(species.CLONE_NEWUTS)), "marker")
	o := callIn(t, role(t, "caller", request{Handler: "call again", Pid: pid, Types: species.Set(species.CLONE_NEWNS)}.json()))
	require.Contains(t, o.Failure, "cannot call: its /proc", "/proc is the target's in a chroot, too")
}

func init() {
	call.RegisterReexec("print root", func(any) (any, error) {
		entries, err := os.ReadDir("/")
		fmt.Println(entries)
		return nil, err
	}, nil)
	call.RegisterReexec("call again", func(any) (any, error) {
		return nil, call.NewCall("nothing").TargetPid(os.Getpid()).SpawnInNamespaces(nil)
	}, nil)
	// "foreign root" joins a mount namespace and keeps a root directory of the one that it was started in.
	roles["foreign root"] = func([]string) {
		runtime.LockOSThread()
		host, err := unix.Open("/", unix.O_PATH, 0)
		check(err)
		check(unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS))
		check(unix.Fchdir(host))
		check(unix.Chroot("."))
		_, _ = os.Stdout.WriteString("ready\n")
		time.Sleep(time.Minute)
	}
}

// A target may change its mount namespace while it is inspected: the worker must not be in one with a root of the other.
func TestRootOfAnotherMountNamespaceIsRefused(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	cmd := role(t, "foreign root")
	cmd.Env = append(cmd.Env, mainThreadEnv+"=1")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	_, err = stdout.Read(make([]byte, 6))
	require.NoError(t, err)
	c := call.NewCall("root").TargetPid(cmd.Process.Pid).Namespaces(species.CLONE_NEWNS)
	e := requireError(t, c.SpawnInNamespaces(nil), call.StageJoin)
	require.Contains(t, e.Error(), "root directory is not in its mount namespace")
	require.NotEmpty(t, spawn[[]string](t, c.NamespaceRoot()))
}
