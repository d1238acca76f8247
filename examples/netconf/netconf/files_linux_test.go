package netconf

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func TestFiles(t *testing.T) {
	testutil.CheckLeaks(t)
	target := startTarget(t, "")
	p := placeOf(t, target)
	before := target.Sh("stat -c '%a %i' /etc/resolv.conf; ls -A /etc")
	c := withFiles()
	c.Sysctls["net.ipv4.ip_default_ttl"] = "99"
	_, err := apply(t, p, c)
	require.NoError(t, err)
	require.Equal(t, "nameserver 10.88.0.1\n", target.Sh("cat /etc/resolv.conf"))
	require.Equal(t, "644 0 1\n", target.Sh("stat -c '%a %u %h' /etc/resolv.conf"))
	require.Equal(t, "1\n0\n", target.Sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/eth0/accept_ra"))

	again, err := apply(t, p, c)
	require.NoError(t, err)
	require.False(t, again.changed)

	target.Sh("echo 98 >/proc/sys/net/ipv4/ip_default_ttl; echo '# mine' >/etc/resolv.conf")
	_, err = apply(t, p, c)
	require.ErrorIs(t, err, ErrDiffers)
	require.ErrorContains(t, err, `eth0 lacks ["set net.ipv4.ip_default_ttl=99 in the target" "write /etc/resolv.conf in the target"]`)

	byPath := p
	byPath.PID = 0
	_, err = apply(t, byPath, simple())
	require.NoError(t, err, "the same namespace")

	_, err = remove(t, p)
	require.NoError(t, err)
	require.Equal(t, before, target.Sh("stat -c '%a %i' /etc/resolv.conf; ls -A /etc"), "as it was at first")
	_, err = apply(t, p, c)
	require.NoError(t, err)
	require.Equal(t, "99\n", target.Sh("cat /proc/sys/net/ipv4/ip_default_ttl"))
}

// TestUserNamespace: what is put into the container belongs to its root, not to ours.
func TestUserNamespace(t *testing.T) {
	testutil.NeedRoot(t)
	types := testutil.DefaultTypes.With(species.CLONE_NEWUSER)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: types, UserBase: 200000, Setup: ownEtcSetup})
	p := placeOf(t, target)
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	require.Equal(t, "0 nameserver 10.88.0.1\n", target.Sh("stat -c %u /etc/resolv.conf | tr '\\n' ' '; cat /etc/resolv.conf"))
	_, err = remove(t, p)
	require.NoError(t, err)
	require.Equal(t, "640 0\n", target.Sh("stat -c '%a %u' /etc/resolv.conf"))
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

// TestDeleteByPath leaves files as they are.
func TestDeleteByPath(t *testing.T) {
	target := startTarget(t, "")
	p := placeOf(t, target)
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	byPath := p
	byPath.PID = 0
	deleted, err := remove(t, byPath)
	require.NoError(t, err)
	require.Len(t, deleted, 2)
	require.Equal(t, "nameserver 10.88.0.1\n", target.Sh("cat /etc/resolv.conf"))
	deleted, err = remove(t, p)
	require.NoError(t, err)
	require.Empty(t, deleted)
	require.Equal(t, "nameserver 9.9.9.9\n", target.Sh("cat /etc/resolv.conf"))
}

// TestHostileResolv has a container's root prepare its resolv.conf. Each case says what Apply has to make of it, and
// what is left after Delete.
func TestHostileResolv(t *testing.T) {
	for name, c := range map[string]struct{ setup, look, before, fails string }{
		"link out":      {"ln -sf /mnt/victim /etc/resolv.conf", "readlink /etc/resolv.conf", "/mnt/victim\n", "is no regular file"},
		"link up":       {"ln -sf ../../../../mnt/victim /etc/resolv.conf", "readlink /etc/resolv.conf", "../../../../mnt/victim\n", "is no regular file"},
		"dangling link": {"ln -sf nowhere /etc/resolv.conf", "readlink /etc/resolv.conf", "nowhere\n", "is no regular file"},
		"absent":        {"rm /etc/resolv.conf", "wc -c /etc/resolv.conf; ls -A /etc", "0 /etc/resolv.conf\nresolv.conf\n", ""},
		"hard link":     {"cp /etc/resolv.conf /etc/a; ln -f /etc/a /etc/resolv.conf", "cat /etc/a /etc/resolv.conf", "nameserver 9.9.9.9\nnameserver 9.9.9.9\n", ""},
		"trap for temp": {"ln -s /mnt/victim /etc/" + resolvNew, "ls -A /etc", "resolv.conf\n", ""},
		"fifo":          {"rm /etc/resolv.conf; mkfifo /etc/resolv.conf", "stat -c %F /etc/resolv.conf", "fifo\n", "is no regular file"},
		"folder":        {"rm /etc/resolv.conf; mkdir /etc/resolv.conf", "ls -A /etc", "resolv.conf\n", "is no regular file"},
		"mount point":   {"touch /etc/a; mount --bind /etc/a /etc/resolv.conf", "ls -A /etc", "a\nresolv.conf\n", "invalid cross-device link"},
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
				require.Equal(t, "nameserver 10.88.0.1\n", target.Sh("cat /etc/resolv.conf"))
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

// TestHostsEtc: a mount namespace of its own does not mean that a target has an /etc of its own.
func TestHostsEtc(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWNS | species.CLONE_NEWNET)})
	p := newPlace(t, placeOf(t, target).Target)
	p.PID = target.PID
	before := ip(t, p.Host, "link")
	_, err := apply(t, p, withFiles())
	require.ErrorContains(t, err, "dns needs the PID of a process whose /etc is not the host's")
	require.Equal(t, before, ip(t, p.Host, "link"))
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
