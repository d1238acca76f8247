package call_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// sysView is what a worker finds in /sys.
type sysView struct {
	Links []string
	Flags int64 // ST_*
}

func init() {
	call.RegisterReexec("sys", func(any) (any, error) {
		var v sysView
		entries, err := os.ReadDir("/sys/class/net")
		for _, entry := range entries {
			v.Links = append(v.Links, entry.Name())
		}
		if err != nil {
			return nil, err
		}
		var fs unix.Statfs_t
		err = unix.Statfs("/sys", &fs)
		const flags = unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC | unix.ST_RDONLY
		v.Flags = int64(fs.Flags) & flags //nolint:unconvert // of 32 bits on s390x
		return v, err
	}, nil)
}

func hostMounts(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	require.NoError(t, err)
	return string(text)
}

const (
	safe = unix.ST_NOSUID | unix.ST_NODEV | unix.ST_NOEXEC
	veth = "ip link add nsopstest0 type veth peer name nsopstest1"
)

func TestRemountSysShowsTheTargetsLinksAndNobodyElseSeesIt(t *testing.T) {
	all := []string{"lo", "nsopstest0", "nsopstest1"}
	net := species.Set(species.CLONE_NEWNET)
	for name, test := range map[string]struct {
		target testutil.TargetOptions
		types  species.NamespaceType
		want   sysView
	}{
		"default":       {testutil.TargetOptions{Setup: veth}, defaultTypes, sysView{all, safe}},
		"mnt shared":    {testutil.TargetOptions{Types: net, Setup: veth}, defaultTypes, sysView{all, safe}},
		"mnt not asked": {testutil.TargetOptions{Setup: veth}, species.CLONE_NEWNET, sysView{all, safe}},
		"propagation": {testutil.TargetOptions{Setup: veth + "; mount --make-rshared /"}, defaultTypes,
			sysView{all, safe}},
		"read-only": {testutil.TargetOptions{OwnRoot: true}, defaultTypes, sysView{[]string{"lo"}, safe | unix.ST_RDONLY}},
		"read-only, user": {testutil.TargetOptions{OwnRoot: true, Types: allSet, UserBase: 100000}, allTypes,
			sysView{[]string{"lo"}, safe | unix.ST_RDONLY}},
	} {
		t.Run(name, func(t *testing.T) {
			target := startTarget(t, test.target)
			host, theirs := hostMounts(t), target.MountTable()
			for range 2 {
				c := call.NewCall("sys").TargetPid(target.PID).Namespaces(test.types).RemountSys()
				require.Equal(t, test.want, spawn[sysView](t, c))
				if raced {
					break
				}
				require.Equal(t, test.want, spawn[sysView](t, c.DropPrivs()))
			}
			require.Equal(t, host, hostMounts(t))
			require.Equal(t, theirs, target.MountTable())
		})
	}
}

func TestWithoutRemountSysNothingIsMounted(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Setup: veth})
	c := call.NewCall("sys").TargetPid(target.PID)
	require.NotContains(t, spawn[sysView](t, c).Links, "nsopstest0", "/sys is still the host's")
}

func TestRemountSysIntoAForgedPlaceFails(t *testing.T) {
	for _, forge := range []string{"umount /sys; rmdir /sys", "umount /sys; rmdir /sys; ln -s /etc /sys", "umount /sys; rmdir /sys; touch /sys"} {
		target := startTarget(t, testutil.TargetOptions{OwnRoot: true, Setup: "mkdir -p /etc; " + forge})
		theirs := target.MountTable()
		err := call.NewCall("sys").TargetPid(target.PID).RemountSys().SpawnInNamespaces(nil)
		require.ErrorContains(t, requireError(t, err, call.StageMounts), "open /sys")
		require.Equal(t, theirs, target.MountTable())
	}
}
