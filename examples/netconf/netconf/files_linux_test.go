package netconf

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func TestFiles(t *testing.T) {
	testutil.CheckLeaks(t)
	target := startTarget(t, "")
	p := newPlace(t, Target{PID: target.PID})
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
	require.False(t, again.Changed)

	target.Sh("echo 98 >/proc/sys/net/ipv4/ip_default_ttl; echo '# mine' >/etc/resolv.conf")
	plan, err := MakePlan(t.Context(), p, c)
	require.NoError(t, err)
	require.Len(t, plan.Steps, 3, "sysctls, resolv.conf and a record: %v", plan.Steps)
	again, err = apply(t, p, c)
	require.NoError(t, err)
	require.True(t, again.Changed, "these are set again")
	require.Equal(t, "99\n", target.Sh("cat /proc/sys/net/ipv4/ip_default_ttl"))

	byPath := Place{p.Host, Target{Path: "/proc/" + strconv.Itoa(p.Target.PID) + "/ns/net"}, p.RunDir}
	_, err = apply(t, byPath, simple())
	require.NoError(t, err, "the same namespace")

	_, err = Delete(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, before, listing(t, p), "as it was at first")
	require.Equal(t, ttl, target.Sh("cat /proc/sys/net/ipv4/ip_default_ttl"))
	requireEmpty(t, p.RunDir)
}

// TestUserNamespace: what is put into the container belongs to its root, not to ours.
func TestUserNamespace(t *testing.T) {
	testutil.NeedRoot(t)
	types := testutil.DefaultTypes.With(species.CLONE_NEWUSER)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: types, UserBase: 200000, Setup: ownEtcSetup})
	p := newPlace(t, Target{PID: target.PID})
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	require.Equal(t, "0 nameserver 10.88.0.1\nsearch a.test\n", target.Sh("stat -c %u /etc/resolv.conf | tr '\\n' ' '; cat /etc/resolv.conf"))
	_, err = Delete(t.Context(), p)
	require.NoError(t, err)
	require.Equal(t, "640 0\n", target.Sh("stat -c '%a %u' /etc/resolv.conf"))
}

// TestRenamed: sysctls that went with the interface's name are not missed.
func TestRenamed(t *testing.T) {
	target := startTarget(t, "")
	p := newPlace(t, Target{PID: target.PID})
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	target.Sh("ip link set eth0 down; ip link set eth0 name other")
	_, err = Delete(t.Context(), p)
	require.NoError(t, err)
	requireEmpty(t, p.RunDir)
}

// TestDeleteByPath deletes what it can, and tells what it could not restore.
func TestDeleteByPath(t *testing.T) {
	target := startTarget(t, "")
	p := newPlace(t, Target{PID: target.PID})
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	p.Target = Target{Path: "/proc/" + strconv.Itoa(p.Target.PID) + "/ns/net"}
	deleted, err := Delete(t.Context(), p)
	require.ErrorIs(t, err, ErrNeedsPID)
	require.Len(t, deleted.Links, 2)
	requireEmpty(t, p.RunDir)
}

// TestLeftRecord: a record of another pair is nobody's business.
func TestLeftRecord(t *testing.T) {
	target := startTarget(t, "")
	p := newPlace(t, Target{PID: target.PID})
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	ip(t, p.Host, "link", "del", hostNameOf(t, p))
	_, err = apply(t, p, simple())
	require.NoError(t, err)
	_, err = Delete(t.Context(), p)
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
		"trap for temp": {"ln -s /mnt/victim /etc/" + resolvTemp, "ls -A /etc", "resolv.conf\n", ""},
		"fifo":          {"rm /etc/resolv.conf; mkfifo /etc/resolv.conf", "stat -c %F /etc/resolv.conf", "fifo\n", "neither file nor symbolic link"},
		"folder":        {"rm /etc/resolv.conf; mkdir /etc/resolv.conf", "ls /etc", "resolv.conf\n", "neither file nor symbolic link"},
		"mount point":   {"touch /etc/a; mount --bind /etc/a /etc/resolv.conf", "ls /etc", "a\nresolv.conf\n", "is a mount point"},
		"large":         {"dd if=/dev/zero of=/etc/resolv.conf bs=65537 count=1", "ls /etc", "resolv.conf\n", "no regular file of up to 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := startTarget(t, "mount -t tmpfs none /mnt\necho safe >/mnt/victim\n"+c.setup)
			p := newPlace(t, Target{PID: target.PID})
			_, err := apply(t, p, withFiles())
			if c.fails != "" {
				require.ErrorContains(t, err, c.fails)
			} else {
				require.NoError(t, err)
				require.Equal(t, "nameserver 10.88.0.1\nsearch a.test\n", target.Sh("cat /etc/resolv.conf"))
				require.Equal(t, "regular file\n", target.Sh("stat -c %F /etc/resolv.conf"))
			}
			_, err = Delete(t.Context(), p)
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
	p := newPlace(t, Target{PID: target.PID})
	_, err := apply(t, p, withFiles())
	require.ErrorContains(t, err, "openat etc: path escapes from parent")
	require.Equal(t, "os-release\n", target.Sh("ls /real"))
}

// TestOwnEtc: a target that sees the caller's /etc is refused. Here the caller pretends that the target's is its own.
func TestOwnEtc(t *testing.T) {
	target := startTarget(t, "")
	p := newPlace(t, Target{PID: target.PID})
	s, err := p.open(t.Context())
	require.NoError(t, err)
	defer s.close()
	var st syscall.Stat_t
	require.NoError(t, syscall.Stat(target.Root()+"/etc", &st))
	c := resolvCall{Target: s.target.UniqueId(), OwnEtc: folder{st.Dev, st.Ino}, Want: entry{Kind: kindAbsent}}
	err = s.call(resolvHandler, c, nil, false, resolvTypes...)
	require.ErrorContains(t, err, "the target's /etc is the host's")
	require.Equal(t, "nameserver 9.9.9.9\n", target.Sh("cat /etc/resolv.conf"))
}

// TestForgedProc: what a container mounts on its /proc, and in it, does not matter.
func TestForgedProc(t *testing.T) {
	setup := "mount -t tmpfs none /proc\nmkdir -p /proc/sys/net/ipv4 /proc/self/ns\necho 7 >/proc/sys/net/ipv4/ip_forward\n"
	target := startTarget(t, setup)
	p := newPlace(t, Target{PID: target.PID})
	_, err := apply(t, p, withFiles())
	require.NoError(t, err)
	require.Equal(t, "7\n", target.Sh("cat /proc/sys/net/ipv4/ip_forward"))
	h, err := p.Target.open()
	require.NoError(t, err)
	defer func() { require.NoError(t, h.Close()) }()
	in(t, h, func() {
		text, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		require.NoError(t, err)
		require.Equal(t, "1", strings.TrimSpace(string(text)))
	})
}

// TestOpenSysctl refuses files that only look like those of proc.
func TestOpenSysctl(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/x", nil, 0o600))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, root.Close()) }()
	_, err = openSysctl(root, "x", os.O_RDONLY)
	require.EqualError(t, err, "/proc/sys/x is not of a proc file system")
}
