package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	t    *testing.T
	lock string
}

func newHost(t *testing.T) host {
	testutil.NeedRoot(t)
	return host{testutil.StartTarget(t, testutil.TargetOptions{}), t, t.TempDir() + "/lock"}
}

func (h host) command(args ...string) *exec.Cmd {
	nsenter := []string{"--net=" + h.ProcDir() + "/ns/net", "--", "/proc/" + strconv.Itoa(os.Getpid()) + "/exe", "--lock", h.lock}
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

func TestCommand(t *testing.T) {
	testutil.CheckLeaks(t)
	h := newHost(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Setup: "mount -t tmpfs none /etc"})
	pid := strconv.Itoa(target.PID)
	withDNS := strings.Replace(config, "{", `{"dns": {"nameservers": ["10.88.0.1"]}, "sysctls": {"net.ipv4.ip_forward": "1"}, `, 1)

	require.Len(t, h.object(withDNS, "--pid", pid, "--dry-run")["steps"], 15)
	require.NotContains(t, h.Sh("ip link"), "br0")

	result := h.object(withDNS, "--pid", pid)
	require.Equal(t, "1.1.0", result["cniVersion"])
	require.Equal(t, map[string]any{"nameservers": []any{"10.88.0.1"}}, result["dns"])
	require.Equal(t, "nameserver 10.88.0.1\n", target.Sh("cat /etc/resolv.conf"))

	stdout, stderr, status := h.netconf(withDNS, "--pid", pid)
	require.Zero(t, status)
	require.True(t, strings.HasSuffix(stderr, "netconf: all is as configured, nothing was done\n"), stderr)
	require.True(t, json.Valid([]byte(stdout)))

	shown := h.object("", "--path", target.ProcDir()+"/ns/net", "--show")
	require.Len(t, shown["interfaces"], 2)
	require.Len(t, h.object("", "--pid", pid, "--delete")["deleted"], 2)
	require.Empty(t, h.object("", "--pid", pid, "--delete")["deleted"])
	require.NotContains(t, h.Sh("ip link"), "br0")
	require.Empty(t, target.Sh("ls /etc"))
}

// TestCommandName has a host whose /run is its own, with a pin of ip netns.
func TestCommandName(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "ip", "unshare")
	script := "mount -t tmpfs none /run\nip netns add c1\n\"$0\" --name c1\n\"$0\" --name c1 --show\n\"$0\" --name c1 --delete\nip netns del c1\n"
	cmd := exec.Command("unshare", "--mount", "--net", "sh", "-ec", script, "/proc/"+strconv.Itoa(os.Getpid())+"/exe")
	cmd.Env = append(os.Environ(), commandEnv+"=1")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(config), &stderr
	stdout, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	d := json.NewDecoder(bytes.NewReader(stdout))
	for _, key := range []string{"ips", "interfaces", "deleted"} {
		var object map[string]any
		require.NoError(t, d.Decode(&object))
		require.Contains(t, object, key)
	}
}

// TestCommandFails: status 1, a line on stderr that says why, nothing on stdout.
func TestCommandFails(t *testing.T) {
	h := newHost(t)
	ns := h.ProcDir() + "/ns/net"
	file := t.TempDir() + "/config"
	require.NoError(t, os.WriteFile(file, []byte(`{"bridge": {"name": "br0"}, "mtu": 9}`), 0o600))
	for _, c := range []struct{ args, stdin, want string }{
		{"", "", "netconf: exactly one of --pid, --path, --name is needed\n"},
		{"--pid 1 --name x", "", "netconf: exactly one of --pid, --path, --name is needed\n"},
		{"--pid 1 --show --delete", "", "netconf: only one of --dry-run, --show, --delete\n"},
		{"--pid 1 x", "", "netconf: what is \"x\"? See netconf --help\n"},
		{"--pid x", "", "invalid value \"x\" for flag -pid"},
		{"--path " + ns, config, "netconf: " + ns + " is our own network namespace: name another target\n"},
		{"--pid 4194304", config, "netconf: open net namespace of process 4194304: no such process\n"},
		{"--pid 1", "", "netconf: config JSON: there is none: give it on stdin, or with --config\n"},
		{"--pid 1", `{"brigde": 1}`, "netconf: config JSON: json: unknown field \"brigde\"\n"},
		{"--pid 1 --config " + file, "", "netconf: config mtu: \"9\" is not from 68 to 65535\n"},
		{"--pid 1 --config /nowhere", "", "netconf: open /nowhere: no such file or directory\n"},
	} {
		stdout, stderr, status := h.netconf(c.stdin, strings.Fields(c.args)...)
		require.Equal(t, 1, status, c.args)
		require.Empty(t, stdout, c.args)
		require.True(t, strings.HasPrefix(stderr, c.want), "%s: %s", c.args, stderr)
	}
	stdout, stderr, status := h.netconf("", "--help")
	require.Zero(t, status)
	require.Empty(t, stdout)
	require.True(t, strings.HasPrefix(stderr, "usage: netconf --pid PID"))
}

// TestCommandKilled kills the command at any time. What it has made is taken away by --delete, and can then be made.
func TestCommandKilled(t *testing.T) {
	testutil.CheckLeaks(t)
	h := newHost(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Setup: "mount -t tmpfs none /etc"})
	pid := strconv.Itoa(target.PID)
	withDNS := strings.Replace(config, "{", `{"dns": {"nameservers": ["10.88.0.1"]}, "sysctls": {"net.ipv4.ip_forward": "1"}, `, 1)
	state := func() string {
		return h.Sh("ip -o address") + target.Sh("ip -o address; ip route; ls -A /etc; cat /proc/sys/net/ipv4/ip_forward")
	}
	before := state()
	start := time.Now()
	h.object(withDNS, "--pid", pid)
	took := time.Since(start)
	h.object("", "--pid", pid, "--delete")
	for i := range 12 {
		cmd := h.command("--pid", pid)
		cmd.Stdin = strings.NewReader(withDNS)
		require.NoError(t, cmd.Start())
		time.Sleep(took * time.Duration(i) / 12)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		h.object("", "--pid", pid, "--delete")
		require.Equal(t, before, state(), "after %d/12 of %v", i, took)
	}
	h.object(withDNS, "--pid", pid)
	require.NotEqual(t, before, state())
}

// TestCommandInterrupted: SIGINT undoes what was made, or comes too late.
func TestCommandInterrupted(t *testing.T) {
	h := newHost(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	before := h.Sh("ip -o address") + target.Sh("ip -o address; ip route")
	pid := strconv.Itoa(target.PID)
	start := time.Now()
	h.object(config, "--pid", pid)
	took := time.Since(start)
	h.object("", "--pid", pid, "--delete")
	interrupted := 0
	for i := range 12 {
		cmd := h.command("--pid", pid)
		cmd.Stdin = strings.NewReader(config)
		require.NoError(t, cmd.Start())
		time.Sleep(took * time.Duration(i) / 12)
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		_ = cmd.Wait()
		if cmd.ProcessState.ExitCode() == 1 {
			interrupted++
		} else { // it was done, or had not begun
			h.object("", "--pid", pid, "--delete")
		}
		require.Equal(t, before, h.Sh("ip -o address")+target.Sh("ip -o address; ip route"), "after %d/12 of %v", i, took)
	}
	t.Log(interrupted, "runs were undone")
}

func TestCommandTimeout(t *testing.T) {
	h := newHost(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	stdout, stderr, status := h.netconf(config, "--pid", strconv.Itoa(target.PID), "--timeout", "1ns")
	require.Equal(t, 1, status)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "not done within 1ns")
	require.NotContains(t, h.Sh("ip link"), "br0")
}
