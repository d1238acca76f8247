package testutil_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

const user = species.Set(species.CLONE_NEWUSER)

func TestTargetHasTheNamespacesAskedFor(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	for _, types := range []species.Set{
		0, species.Set(species.CLONE_NEWNET), species.Set(species.CLONE_NEWTIME), species.Set(species.CLONE_NEWPID),
		testutil.DefaultTypes | user, species.Set(species.AllNS) &^ user, species.Set(species.AllNS),
	} {
		t.Run(types.String(), func(t *testing.T) {
			target := testutil.StartTarget(t, testutil.TargetOptions{Types: types})
			if types == 0 {
				types = testutil.DefaultTypes
			}
			require.Equal(t, types, target.Types())
		})
	}
}

func TestTargetsRootIsMapped(t *testing.T) {
	testutil.NeedRoot(t)
	for _, base := range []int{0, 100000} {
		t.Run(strconv.Itoa(base), func(t *testing.T) {
			target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: base})
			want := []string{"0", strconv.Itoa(base), "65536"}
			require.Equal(t, want, strings.Fields(target.Sh("cat /proc/self/uid_map")))
			require.Equal(t, want, strings.Fields(target.Sh("cat /proc/self/gid_map")))
			require.Equal(t, "0\n0\n", target.Sh("id -u; id -g"))
		})
	}
}

func TestTargetSeesItsOwn(t *testing.T) {
	testutil.NeedRoot(t)
	for _, o := range []testutil.TargetOptions{
		{}, {OwnRoot: true},
		{Types: species.Set(species.AllNS)}, {Types: species.Set(species.AllNS), UserBase: 100000, OwnRoot: true},
	} {
		o.Hostname, o.LoUp, o.Setup = "its-own", true, "touch /tmp/was-here"
		if !o.OwnRoot {
			o.Setup = "mount -t tmpfs none /tmp; " + o.Setup
		}
		t.Run(o.Types.String()+strconv.FormatBool(o.OwnRoot), func(t *testing.T) { checkOwn(t, o) })
	}
}

func checkOwn(t *testing.T, o testutil.TargetOptions) {
	target := testutil.StartTarget(t, o)
	require.Equal(t, "its-own\n", target.Sh("hostname"))
	require.Equal(t, "cat\n", target.Sh("cat /proc/1/comm"), "own PID namespace and /proc")
	require.Contains(t, target.Sh("ip addr show lo"), "127.0.0.1/8")
	require.FileExists(t, target.Root()+"/tmp/was-here")
	require.NoFileExists(t, "/tmp/was-here")
	if o.OwnRoot {
		require.Equal(t, "lo\n", target.Sh("ls /sys/class/net"))
		require.Equal(t, "ID=its-own\n", target.Sh("cat /etc/os-release"))
		require.NotContains(t, target.MountTable(), "ext4")
		require.Empty(t, target.Sh("cat /dev/null; ls /root"))
	}
	if o.UserBase != 0 {
		info, err := os.Stat(target.ProcDir())
		require.NoError(t, err)
		require.EqualValues(t, o.UserBase, info.Sys().(*syscall.Stat_t).Uid)
	}
}

func TestTargetsRootCanForge(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{OwnRoot: true})
	host := target.NamespaceLinks()
	target.Sh("mkfifo /tmp/fifo; mount -t tmpfs none /proc; mkdir -p /proc/1/ns; echo forged >/proc/1/ns/net")
	require.Equal(t, "forged\n", target.Sh("cat /proc/1/ns/net"))
	require.Equal(t, host, target.NamespaceLinks())
	info, err := os.Stat(filepath.Join(target.Root(), "tmp/fifo"))
	require.NoError(t, err)
	require.Equal(t, os.ModeNamedPipe, info.Mode().Type())
}

func TestTargetIsGoneAfterStop(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	target.Sh("sleep 1000 >/dev/null 2>&1 </dev/null & echo $!")
	target.Stop()
	require.NoDirExists(t, target.ProcDir())
	target.Stop()
}

func TestTargetOfAnUnprivilegedUser(t *testing.T) {
	testutil.InUserns(t, func(t *testing.T) {
		testutil.CheckLeaks(t)
		for _, types := range []species.Set{testutil.DefaultTypes &^ species.Set(species.CLONE_NEWPID), testutil.DefaultTypes | user} {
			target := testutil.StartTarget(t, testutil.TargetOptions{Types: types, Hostname: "nobodys"})
			require.Equal(t, types, target.Types())
			require.Equal(t, "nobodys\n0\n", target.Sh("hostname; id -u"))
		}
	})
}
