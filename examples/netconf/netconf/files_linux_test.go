package netconf

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func TestFiles(t *testing.T) {
	testutil.CheckLeaks(t)
	target := startTarget(t, "")
	p := placeOf(t, target)
	before := listing(t, p)
	ttl := target.Sh("cat /proc/sys/net/ipv4/ip_default_ttl")
	c := withFiles()
	c.Sysctls["net.ipv4.ip_default_ttl"] = "99"
	_, err := apply(t, p, c)
	require.NoError(t, err)
	require.Equal(t, "nameserver 10.88.0.1\nsearch a.test\n", target.Sh("cat /etc/resolv.conf"))
	require.Equal(t, "644 0 1\n", target.Sh("stat -c '%a %u %h' /etc/resolv.conf"))
	require.Equal(t, "1\n0\n", target.Sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/eth0/accept_ra"))

	again, err := apply(t, p, c)
	require.NoError(t, err)
	require.False(t, again.changed)

	target.Sh("echo 98 >/proc/sys/net/ipv4/ip_default_ttl; echo '# mine' >/etc/resolv.conf")
	steps, err := plan(t, p, c)
	require.NoError(t, err)
	require.Len(t, steps, 2, "a sysctl and resolv.conf: %v", steps)
	again, err = apply(t, p, c)
	require.NoError(t, err)
	require.True(t, again.changed, "these are set again")
	require.Equal(t, "99\n", target.Sh("cat /proc/sys/net/ipv4/ip_default_ttl"))

	byPath := p
	byPath.PID = 0
	_, err = apply(t, byPath, simple())
	require.NoError(t, err, "the same namespace")

	_, err = remove(t, p)
	require.NoError(t, err)
	require.Equal(t, before, listing(t, p), "as it was at first")
	require.Equal(t, ttl, target.Sh("cat /proc/sys/net/ipv4/ip_default_ttl"))
}

// TestUserNamespace: what is put into the container belongs to its root, not to ours.
func TestUserNamespace(t *testing.T) {
	testutil.NeedRoot(t)
	types := testutil.DefaultTypes.With(species.CLONE_NEWUSER)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: types, UserBase: 200000, Setup: ownEtcSetup})
	p := placeOf(t, target)
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	require.Equal(t, "0 nameserver 10.88.0.1\nsearch a.test\n", target.Sh("stat -c %u /etc/resolv.conf | tr '\\n' ' '; cat /etc/resolv.conf"))
	_, err = remove(t, p)
	require.NoError(t, err)
	require.Equal(t, "640 0\n", target.Sh("stat -c '%a %u' /etc/resolv.conf"))
}

// TestOtherProcess: another process in the network namespace may have other files, which are none of Delete's business.
func TestOtherProcess(t *testing.T) {
	target := startTarget(t, "")
	p := placeOf(t, target)
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	var other *testutil.Target
	in(t, p.Target, func() {
		types := species.Set(species.CLONE_NEWNS)
		other = testutil.StartTarget(t, testutil.TargetOptions{Types: types, Setup: ownEtcSetup + "echo mine >/etc/resolv.conf"})
	})
	p.PID = other.PID
	_, err = remove(t, p)
	require.ErrorContains(t, err, "give the PID that was given then")
	require.Equal(t, "mine\n", other.Sh("cat /etc/resolv.conf"))
}

// TestRenamed: sysctls that went with the interface's name are not missed.
func TestRenamed(t *testing.T) {
	target := startTarget(t, "")
	p := placeOf(t, target)
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	target.Sh("ip link set eth0 down; ip link set eth0 name other")
	_, err = remove(t, p)
	require.NoError(t, err)
}

// TestDeleteByPath deletes what it can, and tells what it could not restore.
func TestDeleteByPath(t *testing.T) {
	target := startTarget(t, "")
	p := placeOf(t, target)
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	p.PID = 0
	deleted, err := remove(t, p)
	require.ErrorIs(t, err, ErrNeedsPID)
	require.Len(t, deleted, 2)
}

// TestLeftRecord: a record of another pair is nobody's business.
func TestLeftRecord(t *testing.T) {
	target := startTarget(t, "")
	p := placeOf(t, target)
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	ip(t, p.Host, "link", "del", hostNameOf(t, p))
	_, err = apply(t, p, simple())
	require.NoError(t, err)
	_, err = remove(t, p)
	require.NoError(t, err)
	require.Equal(t, "nameserver 10.88.0.1\nsearch a.test\n", target.Sh("cat /etc/resolv.conf"))
}

// TestHostileResolv has a container's root prepare its resolv.conf. Each case says what Apply has to make of it, and
// what is left after Delete.
func TestHostileResolv(t *testing.T) {
	for name, c := range map[string]struct{ setup, look, before, fails string }{
		"link out":      {"ln -sf /mnt/victim /etc/resolv.conf", "readlink /etc/resolv.conf", "/mnt/victim\n", ""},
		"link up":       {"ln -sf ../../../../mnt/victim /etc/resolv.conf", "readlink /etc/resolv.conf", "../../../../mnt/victim\n", ""},
		"dangling link": {"ln -sf nowhere /etc/resolv.conf", "readlink /etc/resolv.conf", "nowhere\n", ""},
		"absent":        {"rm /etc/resolv.conf", "ls /etc", "", ""},
		"hard link":     {"cp /etc/resolv.conf /etc/a; ln -f /etc/a /etc/resolv.conf", "cat /etc/a /etc/resolv.conf", "nameserver 9.9.9.9\nnameserver 9.9.9.9\n", ""},
		"trap for temp": {"ln -s /mnt/victim /etc/" + resolvNew, "ls -A /etc", "resolv.conf\n", ""},
		"fifo":          {"rm /etc/resolv.conf; mkfifo /etc/resolv.conf", "stat -c %F /etc/resolv.conf", "fifo\n", ""},
		"folder":        {"rm /etc/resolv.conf; mkdir /etc/resolv.conf", "ls -A /etc", "resolv.conf\n", "operation not permitted"},
		"mount point":   {"touch /etc/a; mount --bind /etc/a /etc/resolv.conf", "ls -A /etc", "a\nresolv.conf\n", "is a mount point"},
		"large":         {"dd if=/dev/zero of=/etc/resolv.conf bs=65537 count=1", "stat -c %s /etc/resolv.conf", "65537\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := startTarget(t, "mount -t tmpfs none /mnt\necho safe >/mnt/victim\n"+c.setup)
			p := placeOf(t, target)
			_, err := apply(t, p, withFiles())
			if c.fails != "" {
				require.ErrorContains(t, err, c.fails)
			} else {
				require.NoError(t, err)
				require.Equal(t, "nameserver 10.88.0.1\nsearch a.test\n", target.Sh("cat /etc/resolv.conf"))
				require.Equal(t, "regular file\n", target.Sh("stat -c %F /etc/resolv.conf"))
			}
			_, err = remove(t, p)
			require.NoError(t, err)
			require.Equal(t, c.before, target.Sh(c.look))
			require.Equal(t, "safe\n", target.Sh("cat /mnt/victim"))
		})
	}
}

// TestEtcLeadsOut: /etc itself may be a link, which is not followed out of the root.
func TestEtcLeadsOut(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{OwnRoot: true, Setup: "mv /etc /real\nln -s /real /etc"})
	p := placeOf(t, target)
	_, err := apply(t, p, withFiles())
	require.ErrorContains(t, err, "openat etc: path escapes from parent")
	require.Equal(t, "os-release\n", target.Sh("ls /real"))
}

// TestOwnEtc: a target that sees the caller's /etc is refused. Here the caller pretends that the target's is its own.
func TestOwnEtc(t *testing.T) {
	target := startTarget(t, "")
	p := placeOf(t, target)
	etc, err := os.Stat(target.Root() + "/etc")
	require.NoError(t, err)
	c := resolvCall{"write", "", p.Target.UniqueId(), idOf(etc)}
	err = call.NewCall("netconf.resolvConf").TargetPid(p.PID).Arg(c).SpawnInNamespaces(nil)
	require.ErrorContains(t, err, "the target's /etc is the host's")
	require.Equal(t, "nameserver 9.9.9.9\n", target.Sh("cat /etc/resolv.conf"))
}

// TestForgedProc: what a container mounts on its /proc, and in it, does not matter.
func TestForgedProc(t *testing.T) {
	setup := "mount -t tmpfs none /proc\nmkdir -p /proc/sys/net/ipv4 /proc/self/ns\necho 7 >/proc/sys/net/ipv4/ip_forward\n"
	target := startTarget(t, setup)
	p := placeOf(t, target)
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	require.Equal(t, "7\n", target.Sh("cat /proc/sys/net/ipv4/ip_forward"))
	in(t, p.Target, func() {
		text, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		require.NoError(t, err)
		require.Equal(t, "1", strings.TrimSpace(string(text)))
	})
}
