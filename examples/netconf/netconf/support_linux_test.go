package netconf

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
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

// place is where a test has its host's side, too.
type place struct {
	Place
	Host handle.NsHandle
}

// newPlace returns a place with a new namespace on the host's side.
func newPlace(t testing.TB, target handle.NsHandle) place {
	t.Helper()
	return place{Place{Target: target, Sandbox: "/the/target"}, newNetns(t)}
}

// placeOf is newPlace for a target with a process.
func placeOf(t testing.TB, target *testutil.Target) place {
	t.Helper()
	ns, err := handle.GetFromPid(target.PID)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ns.Close() })
	p := newPlace(t, ns)
	p.PID = target.PID
	return p
}

// simple is a configuration for targets without a process.
func simple() Config {
	return Config{
		Bridge: Bridge{Name: "br0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.88.0.1/24"), netip.MustParsePrefix("fd00:88::1/64")}},
		MAC:    "02:00:00:00:00:02", MTU: 1450,
		Addresses: []Address{addressOf("10.88.0.2/24", "10.88.0.1"), addressOf("fd00:88::2/64", "fd00:88::1")},
	}
}

func addressOf(address, gateway string) Address {
	return Address{netip.MustParsePrefix(address), netip.MustParseAddr(gateway)}
}

// withFiles adds what needs a process.
func withFiles() Config {
	c := simple()
	c.DNS = DNS{Nameservers: []netip.Addr{netip.MustParseAddr("10.88.0.1")}}
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

// discipline comes with the first time that a link is set up.
var discipline = regexp.MustCompile(`qdisc \w+`)

// listing is all that there is on both sides, as text: what ip(8) says, and the files.
func listing(t testing.TB, p place) string {
	t.Helper()
	var s strings.Builder
	for _, ns := range []handle.NsHandle{p.Host, p.Target} {
		s.WriteString(discipline.ReplaceAllString(ip(t, ns, "-o", "link"), ""))
		for _, args := range []string{"-o address", "-4 route show table all", "-6 route show table all"} {
			s.WriteString(ip(t, ns, strings.Fields(args)...))
		}
	}
	in(t, p.Target, func() {
		for _, path := range []string{"ipv4/ip_forward", "ipv4/ip_default_ttl", "ipv4/ip_local_reserved_ports"} {
			text, err := os.ReadFile("/proc/sys/net/" + path)
			require.NoError(t, err)
			s.Write(text)
		}
	})
	if p.PID == 0 {
		return s.String()
	}
	etc := fmt.Sprintf("/proc/%d/root/etc", p.PID)
	entries, err := os.ReadDir(etc)
	require.NoError(t, err)
	fmt.Fprintln(&s, entries)
	info, err := os.Lstat(etc + "/resolv.conf")
	require.NoError(t, err)
	text, err := os.ReadFile(etc + "/resolv.conf")
	require.NoError(t, err)
	fmt.Fprintf(&s, "%s %s\n", info.Mode(), text)
	return s.String()
}

// open opens a session on the host's side.
func open(t testing.TB, p place) (s *Session, err error) {
	t.Helper()
	in(t, p.Host, func() { s, err = Open(p.Place) })
	return s, err
}

// within does something in a session of its own.
func within[T any](t testing.TB, p place, do func(*Session) (T, error)) (result T, err error) {
	t.Helper()
	s, err := open(t, p)
	if err != nil {
		return result, err
	}
	defer s.Close()
	return do(s)
}

func plan(t testing.TB, p place, c Config) ([]string, error) {
	t.Helper()
	return within(t, p, func(s *Session) ([]string, error) {
		plan, err := s.Plan(c)
		if err != nil {
			return nil, err
		}
		return plan.Steps, nil
	})
}

// applied is a result, and whether anything was changed.
type applied struct {
	*Result
	changed bool
}

func apply(t testing.TB, p place, c Config) (applied, error) {
	t.Helper()
	return within(t, p, func(s *Session) (applied, error) {
		plan, err := s.Plan(c)
		if err != nil {
			return applied{}, err
		}
		r, err := plan.Apply(t.Context())
		return applied{r, len(plan.steps) > 0}, err
	})
}

func remove(t testing.TB, p place) ([]string, error) {
	t.Helper()
	return within(t, p, (*Session).Delete)
}

func show(t testing.TB, p place) (*Result, error) {
	t.Helper()
	return within(t, p, (*Session).Show)
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
