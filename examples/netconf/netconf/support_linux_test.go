package netconf

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func TestMain(m *testing.M) {
	call.HandleReexec()
	os.Exit(testutil.Run(m))
}

// newNetns makes a network namespace that lives until the end of the test. The machine's own is never touched: it is
// neither host nor target of any test.
func newNetns(t testing.TB) handle.NsHandle {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := handle.Get()
	require.NoError(t, err)
	defer func() { require.NoError(t, home.Close()) }()
	require.NoError(t, unix.Unshare(unix.CLONE_NEWNET))
	defer func() { require.NoError(t, netns.Set(netns.NsHandle(home))) }()
	ns, err := handle.Get()
	require.NoError(t, err)
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}

// in runs f on a thread in that network namespace.
func in(t testing.TB, ns handle.NsHandle, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := handle.Get()
	require.NoError(t, err)
	defer func() { require.NoError(t, home.Close()) }()
	require.NoError(t, netns.Set(netns.NsHandle(ns)))
	defer func() { require.NoError(t, netns.Set(netns.NsHandle(home))) }()
	f()
}

// socketIn opens a socket in a network namespace, which the caller closes.
func socketIn(t testing.TB, ns handle.NsHandle) (s *socket) {
	t.Helper()
	in(t, ns, func() {
		var err error
		s, err = openSocket(ns, handle.None())
		require.NoError(t, err)
	})
	return s
}

// ip runs ip(8) in a network namespace.
func ip(t testing.TB, ns handle.NsHandle, args ...string) string {
	t.Helper()
	testutil.NeedCommand(t, "ip")
	var output []byte
	in(t, ns, func() {
		var err error
		output, err = exec.Command("ip", args...).CombinedOutput()
		require.NoError(t, err, "ip %v: %s", args, output)
	})
	return string(output)
}

// newPlace returns a place with a new namespace on the host's side.
func newPlace(t testing.TB, target Target) Place {
	t.Helper()
	return Place{Host: newNetns(t), Target: target, RunDir: t.TempDir()}
}

// pathOf names a namespace that has no process.
func pathOf(ns handle.NsHandle) Target {
	return Target{Path: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(ns))}
}

// simple is a configuration for targets without a process.
func simple() Config {
	return Config{
		Bridge: Bridge{Name: "br0", Addresses: []string{"10.88.0.1/24", "fd00:88::1/64"}},
		MAC:    "02:00:00:00:00:02", MTU: 1450,
		Addresses: []Address{{"10.88.0.2/24", "10.88.0.1"}, {"fd00:88::2/64", "fd00:88::1"}},
	}
}

// withFiles adds what needs a process.
func withFiles() Config {
	c := simple()
	c.DNS = DNS{Nameservers: []string{"10.88.0.1"}, Search: []string{"a.test"}}
	c.Sysctls = map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.eth0.accept_ra": "0"}
	return c
}

// ownEtcSetup gives a target an /etc of its own.
const ownEtcSetup = "mount -t tmpfs -o mode=755 none /etc\necho 'nameserver 9.9.9.9' >/etc/resolv.conf\nchmod 640 /etc/resolv.conf\n"

// startTarget starts a target that sees the machine's PIDs: under -race, a worker without itself in /proc takes a second
// more to end.
func startTarget(t testing.TB, setup string) *testutil.Target {
	t.Helper()
	testutil.NeedRoot(t)
	types := species.Set(species.CLONE_NEWNS | species.CLONE_NEWNET)
	return testutil.StartTarget(t, testutil.TargetOptions{Types: types, Setup: ownEtcSetup + setup})
}

// listing is all that there is on both sides, as text: what the package's own Show says, and what ip(8) says.
func listing(t testing.TB, p Place) string {
	t.Helper()
	target, err := p.Target.open()
	require.NoError(t, err)
	defer func() { require.NoError(t, target.Close()) }()
	var s strings.Builder
	for _, ns := range []handle.NsHandle{p.Host, target} {
		socket := socketIn(t, ns)
		state, err := readState(socket)
		socket.close()
		require.NoError(t, err)
		fmt.Fprintf(&s, "%+v\n", state)
		for _, args := range []string{"-o address", "-4 route show table all", "-6 route show table all"} {
			s.WriteString(ip(t, ns, strings.Fields(args)...))
		}
	}
	if p.Target.PID == 0 {
		return s.String()
	}
	root := fmt.Sprintf("/proc/%d/root", p.Target.PID)
	info, err := os.Lstat(root + "/etc/resolv.conf")
	require.NoError(t, err)
	text, err := os.ReadFile(root + "/etc/resolv.conf")
	require.NoError(t, err)
	fmt.Fprintf(&s, "%s %s\n", info.Mode(), text)
	in(t, target, func() {
		text, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
		require.NoError(t, err)
		s.Write(text)
	})
	return s.String()
}

// apply applies within a minute.
func apply(t testing.TB, p Place, c Config) (*Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := Apply(ctx, p, c)
	if err != nil {
		require.IsType(t, &Error{}, err)
	}
	return r, err
}

// ping sends echo requests from a namespace until there is a reply: one may be lost while a bridge learns of a port.
func ping(t testing.TB, from handle.NsHandle, to string) {
	t.Helper()
	network, request := "ip4:icmp", []byte{8, 0, 0xf7 - 'x', 0xff - 'y', 0, 0, 'x', 'y'}
	if strings.Contains(to, ":") {
		network, request = "ip6:ipv6-icmp", []byte{128, 0, 0, 0, 0, 0, 'x', 'y'} // the kernel adds the checksum
	}
	in(t, from, func() {
		conn, err := net.Dial(network, to)
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close()) }()
		for i := range 40 {
			_, err = conn.Write(request)
			require.NoError(t, err)
			if answered(conn, time.Now().Add(250*time.Millisecond)) {
				t.Logf("%s answers to request %d", to, i+1)
				return
			}
		}
		require.Fail(t, "no reply from "+to)
	})
}

func answered(conn net.Conn, deadline time.Time) bool {
	_ = conn.SetReadDeadline(deadline)
	for reply := make([]byte, 1500); ; {
		n, err := conn.Read(reply)
		if err != nil {
			return false
		}
		icmp := reply[max(n-8, 0):n] // IPv4's header comes first
		if len(icmp) == 8 && (icmp[0] == 0 || icmp[0] == 129) && string(icmp[6:]) == "xy" {
			return true
		}
	}
}
