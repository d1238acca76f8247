package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
)

// commandEnv makes the test binary the command.
const commandEnv = "NETCONF_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(commandEnv) != "" {
		main()
		os.Exit(0)
	}
	call.HandleReexec()
	os.Exit(testutil.Run(m))
}

const config = `{"bridge": {"name": "br0", "addresses": ["10.88.0.1/24"]},
	"addresses": [{"address": "10.88.0.2/24", "gateway": "10.88.0.1"}, {"address": "fd00:88::2/64", "gateway": "fd00:88::1"}]}`

// host is a process whose network namespace is the host's side: the command never sees the machine's.
type host struct {
	*testutil.Target
	t *testing.T
}

func newHost(t *testing.T) host {
	testutil.NeedRoot(t)
	return host{testutil.StartTarget(t, testutil.TargetOptions{}), t}
}

func (h host) command(args ...string) *exec.Cmd {
	nsenter := []string{"--net=" + h.ProcDir() + "/ns/net", "--", "/proc/" + strconv.Itoa(os.Getpid()) + "/exe"}
	cmd := exec.Command("nsenter", append(nsenter, args...)...)
	cmd.Env = append(os.Environ(), commandEnv+"=1")
	return cmd
}

// netconf runs the command. It returns what it prints, and the exit status.
func (h host) netconf(stdin string, args ...string) (stdout, stderr string, status int) {
	h.t.Helper()
	cmd := h.command(args...)
	var out, err bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &err
	if failed := cmd.Run(); failed != nil {
		var exit *exec.ExitError
		require.True(h.t, errors.As(failed, &exit), failed)
	}
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}

// object runs the command, which has to print one JSON object and nothing else.
func (h host) object(stdin string, args ...string) map[string]any {
	h.t.Helper()
	stdout, stderr, status := h.netconf(stdin, args...)
	require.Zero(h.t, status, stderr)
	var object map[string]any
	require.NoError(h.t, json.Unmarshal([]byte(stdout), &object), stdout)
	return object
}

// startTarget starts a target with an /etc of its own.
func startTarget(t *testing.T) (target *testutil.Target, pid string) {
	testutil.NeedRoot(t)
	setup := "mount -t tmpfs none /etc; echo 'nameserver 9.9.9.9' >/etc/resolv.conf; ip link set lo up"
	target = testutil.StartTarget(t, testutil.TargetOptions{Setup: setup})
	return target, strconv.Itoa(target.PID)
}

var withDNS = `{"dns": {"nameservers": ["10.88.0.1"]}, "sysctls": {"net.ipv4.ip_forward": "1"}, ` + config[1:]

func TestCommand(t *testing.T) {
	testutil.CheckLeaks(t)
	h := newHost(t)
	target, pid := startTarget(t)

	require.Len(t, h.object(withDNS, "--pid", pid, "--dry-run")["steps"], 14)
	require.NotContains(t, h.Sh("ip link"), "br0")

	result := h.object(withDNS, "--pid", pid)
	require.Equal(t, "1.1.0", result["cniVersion"])
	require.Equal(t, map[string]any{"nameservers": []any{"10.88.0.1"}}, result["dns"])
	require.Equal(t, "nameserver 10.88.0.1\n", target.Sh("cat /etc/resolv.conf"))

	stdout, stderr, status := h.netconf(withDNS, "--pid", pid)
	require.Zero(t, status)
	require.True(t, strings.HasSuffix(stderr, "netconf: all is as configured, nothing was done\n"), stderr)
	require.True(t, json.Valid([]byte(stdout)))
	require.Empty(t, h.object(withDNS, "--pid", pid, "--dry-run")["steps"])

	shown := h.object("", "--path", target.ProcDir()+"/ns/net", "--show")
	require.Len(t, shown["interfaces"], 2)
	require.Len(t, h.object("", "--pid", pid, "--delete")["deleted"], 2)
	require.Empty(t, h.object("", "--pid", pid, "--delete")["deleted"])
	require.NotContains(t, h.Sh("ip link"), "br0")
	require.Equal(t, "resolv.conf\nnameserver 9.9.9.9\n", target.Sh("ls -A /etc; cat /etc/resolv.conf"))
}

// TestCommandFails: a line on stderr that says why, nothing on stdout.
func TestCommandFails(t *testing.T) {
	h := newHost(t)
	ns := h.ProcDir() + "/ns/net"
	_, pid := startTarget(t)
	const usage = "netconf: either --pid or --path, and at most one of --dry-run, --show, --delete"
	for _, c := range []struct{ args, stdin, want string }{
		{"", "", usage},
		{"--pid 1 --path x", "", usage},
		{"--pid 1 --show --delete", "", usage},
		{"--pid 1 --dry-run --delete", "", usage},
		{"--pid 1 delete", "", usage},
		{"--path " + ns, config, "netconf: " + ns + " is no network namespace, or is our own\n"},
		{"--path " + h.ProcDir() + "/ns/mnt --delete", "", "netconf: " + h.ProcDir() + "/ns/mnt is no network namespace, or is our own\n"},
		{"--path /dev/null", config, "netconf: open /dev/null: no namespace"},
		{"--path /nowhere", config, "netconf: open /nowhere: no such file or directory\n"},
		{"--pid 4194304", config, "netconf: open net namespace of process 4194304: no such process\n"},
		{"--pid " + pid, "", "netconf: configuration on stdin: EOF\n"},
		{"--pid " + pid, `{"brigde": 1}`, "netconf: configuration on stdin: json: unknown field \"brigde\"\n"},
		{"--pid " + pid, `{"mtu": "x"}`, "netconf: configuration on stdin: json: cannot unmarshal string into Go struct field Config.mtu of type int\n"},
		{"--pid " + pid, `{"bridge": {"name": "a/b"}}`, "netconf: config: \"a/b\" is no name for a link\n"},
	} {
		stdout, stderr, status := h.netconf(c.stdin, strings.Fields(c.args)...)
		require.Equal(t, 1, status, c.args)
		require.Empty(t, stdout, c.args)
		require.True(t, strings.HasPrefix(stderr, c.want), "%s: %s", c.args, stderr)
	}
	stdout, stderr, status := h.netconf("", "--pid", "x")
	require.Equal(t, 2, status)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "invalid value \"x\" for flag -pid")
	stdout, stderr, status = h.netconf("", "--help")
	require.Zero(t, status)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "-dry-run")
}

// signalled runs the command until it has made the bridge and a while longer, and then sends it a signal. It returns the
// exit status, -1 if the signal has ended the command.
func (h host) signalled(t *testing.T, s os.Signal, after time.Duration, stdin string, args ...string) (stderr string, status int) {
	t.Helper()
	ns, err := netns.GetFromPath(h.ProcDir() + "/ns/net")
	require.NoError(t, err)
	defer func() { _ = ns.Close() }()
	links, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	require.NoError(t, err)
	defer links.Close()
	cmd := h.command(args...)
	var text bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &text
	require.NoError(t, cmd.Start())
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if _, err := links.LinkByName("br0"); err == nil {
			break
		}
	}
	time.Sleep(after)
	require.NoError(t, cmd.Process.Signal(s))
	_ = cmd.Wait()
	return text.String(), cmd.ProcessState.ExitCode()
}

// manyAddresses is a configuration that takes some milliseconds.
func manyAddresses() string {
	var s strings.Builder
	for i := range 200 {
		fmt.Fprintf(&s, `{"address": "10.88.1.%d/16"}, `, i+1)
	}
	return strings.Replace(withDNS, `"addresses": [{"address": "10.88.0.2`, `"addresses": [`+s.String()+`{"address": "10.88.0.2`, 1)
}

// TestCommandKilled kills the command at any time. What it has made is taken away by --delete, and can then be made.
func TestCommandKilled(t *testing.T) {
	testutil.CheckLeaks(t)
	h := newHost(t)
	target, pid := startTarget(t)
	state := func() string {
		return h.Sh("ip -o address") + target.Sh("ip -o address; ip route; ls -A /etc; cat /etc/resolv.conf")
	}
	before := state()
	middle := 0
	for i := range 8 {
		_, status := h.signalled(t, os.Kill, time.Duration(i)*time.Millisecond, manyAddresses(), "--pid", pid)
		_, stderr, again := h.netconf(manyAddresses(), "--pid", pid)
		if status == -1 && again == 1 {
			require.Regexp(t, "is not as configured: delete it|br0 is no bridge that is up", stderr)
			middle++
		}
		h.object("", "--pid", pid, "--delete")
		require.Equal(t, before, state(), "after %dms", i)
		h.object(manyAddresses(), "--pid", pid)
		require.Empty(t, h.object(manyAddresses(), "--pid", pid, "--dry-run")["steps"])
		require.NotEqual(t, before, state())
		h.object("", "--pid", pid, "--delete")
	}
	require.Positive(t, middle, "runs that were killed in the middle")
}

// TestCommandInterrupted: SIGINT and SIGTERM undo what was made, or come too late.
func TestCommandInterrupted(t *testing.T) {
	h := newHost(t)
	target, pid := startTarget(t)
	state := func() string {
		return h.Sh("ip -o address") + target.Sh("ip -o address; ip route; ls -A /etc; cat /etc/resolv.conf /proc/sys/net/ipv4/ip_forward")
	}
	target.Sh("echo 0 >/proc/sys/net/ipv4/ip_forward")
	before := state()
	middle := 0
	for i := range 8 {
		signal := []os.Signal{os.Interrupt, syscall.SIGTERM}[i%2]
		stderr, status := h.signalled(t, signal, time.Duration(i)*time.Millisecond/2, manyAddresses(), "--pid", pid)
		if status == 1 {
			require.Contains(t, stderr, " signal received")
			middle++
		} else {
			require.Zero(t, status)
			h.object("", "--pid", pid, "--delete")
			target.Sh("echo 0 >/proc/sys/net/ipv4/ip_forward")
		}
		require.Equal(t, before, state(), "after %dms", i)
	}
	require.Positive(t, middle, "runs that were interrupted in the middle")
	t.Log(middle, "runs were undone")
}
