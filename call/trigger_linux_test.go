package call_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/wire"
)

func init() {
	roles["plain"] = func([]string) {
		call.HandleReexec()
		link, _ := os.Readlink("/proc/self/ns/uts")
		fmt.Println("main ran", os.Geteuid(), link, os.Getenv(wire.ChannelEnv))
	}
	roles["sets the variable"] = func([]string) {
		check(os.Setenv(wire.ChannelEnv, "3")) // as if the bootstrap had not run
		roles["plain"](nil)
	}
}

// pair returns the ends of a socket; theirs becomes descriptor 3 of a command.
func pair(t testing.TB, kind int) (ours int, theirs *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	theirs = os.NewFile(uintptr(fds[1]), "socket")
	t.Cleanup(func() { _ = unix.Close(fds[0]); _ = theirs.Close() })
	return fds[0], theirs
}

// sendJoin asks for the UTS namespace of a process, as package call does before SwitchToNamespaces.
func sendJoin(t testing.TB, socket, pid int) {
	t.Helper()
	pidfd, err := unix.PidfdOpen(pid, 0)
	require.NoError(t, err)
	frame := wire.AppendRequest(nil, wire.Request{Types: unix.CLONE_NEWUTS, FDs: 1, Lifeline: -1})
	require.NoError(t, unix.Sendmsg(socket, frame, unix.UnixRights(pidfd), nil, 0))
	require.NoError(t, unix.Close(pidfd))
}

func triggered(t testing.TB, value string, files ...*os.File) *exec.Cmd {
	cmd := role(t, "plain")
	cmd.Env = append(cmd.Env, wire.ChannelEnv+"="+value)
	cmd.ExtraFiles = files
	return cmd
}

func requireRefusal(t testing.TB, cmd *exec.Cmd, what string) {
	t.Helper()
	r := run(t, cmd)
	require.Equal(t, 125, r.Code, "%s: %s", what, r.Stderr)
	require.NotContains(t, r.Stdout, "main ran", what)
	require.Contains(t, r.Stderr, "nsops: ", what)
}

func TestRequestIsObeyed(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	ours, theirs := pair(t, unix.SOCK_SEQPACKET)
	sendJoin(t, ours, target.PID)
	record := wire.AppendRecord(nil, wire.Record{Kind: wire.KindCall, Pid: 4, Size: 4})
	require.NoError(t, unix.Sendto(ours, append(record, "none"...), 0, nil))
	r := run(t, triggered(t, "3", theirs))
	require.NotContains(t, r.Stdout, "main ran")
	require.Contains(t, r.Stderr, "no such handler")
	require.Equal(t, 1, r.Code)
}

func TestGarbageInTheVariableEndsTheProgram(t *testing.T) {
	needBootstrap(t)
	for _, value := range []string{
		"", "0", "1", "2", "3", "63", "03", "+3", " 3", "3 ", "3x", "0x3", "-1", "99999999", "4294967299", strings.Repeat("9", 100), "\xff",
	} {
		requireRefusal(t, triggered(t, value), "value "+value)
	}
}

func TestDescriptorThatIsNoChannelEndsTheProgram(t *testing.T) {
	needBootstrap(t)
	file, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	requireRefusal(t, triggered(t, "3", file), "file")
	_, stream := pair(t, unix.SOCK_STREAM)
	requireRefusal(t, triggered(t, "3", stream), "stream socket")
	_, datagram := pair(t, unix.SOCK_DGRAM)
	requireRefusal(t, triggered(t, "3", datagram), "datagram socket")
	_, silent := pair(t, unix.SOCK_SEQPACKET)
	requireRefusal(t, triggered(t, "3", silent), "no request")
	ours, closed := pair(t, unix.SOCK_SEQPACKET)
	require.NoError(t, unix.Shutdown(ours, unix.SHUT_RDWR))
	requireRefusal(t, triggered(t, "3", closed), "closed")
}

func TestChannelOfSomebodyElseEndsTheProgram(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	ours, theirs := pair(t, unix.SOCK_SEQPACKET)
	sendJoin(t, ours, target.PID)
	cmd := triggered(t, "3", theirs)
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", testBinary(t) + "; exit $?"}
	requireRefusal(t, cmd, "the shell between is its parent")
}

// Its user cannot stop it with the variable either.
func TestProgramWithMoreRightsThanItsUserCannotBeTriggered(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	testutil.NeedCommand(t, "setcap")
	capable := copyOf(t, testBinary(t), 0o755)
	require.NoError(t, exec.Command("setcap", someCaps, capable).Run())
	own, err := os.Readlink("/proc/self/ns/uts")
	require.NoError(t, err)
	for program, want := range map[string]string{
		copyOf(t, testBinary(t), 0o4755): "main ran 0 ", copyOf(t, testBinary(t), 0o2755): "main ran 1000 ", capable: "main ran 1000 ",
	} {
		for _, value := range []string{"3", "", "77"} {
			ours, theirs := pair(t, unix.SOCK_SEQPACKET)
			sendJoin(t, ours, target.PID)
			cmd := triggered(t, value, theirs)
			cmd.Path, cmd.SysProcAttr = program, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
			r := run(t, cmd)
			require.Equal(t, want+own+" \n", r.Stdout, "effective user, namespaces ours, no variable: %s", r.Stderr)
			require.Zero(t, r.Code)
		}
	}
}

// A bootstrap that has not run has joined nothing: main must not run outside in place of the handler.
func TestVariableThatTheBootstrapHasLeftEndsTheProgram(t *testing.T) {
	r := run(t, role(t, "sets the variable"))
	require.Equal(t, 125, r.Code)
	require.Empty(t, r.Stdout)
	require.Contains(t, r.Stderr, "nsops: NSOPS_CHANNEL is set, but the bootstrap has not run")
}

func TestVariableIsNotHandedOn(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	v := spawn[view](t, call.NewCall("look").TargetPid(target.PID))
	require.NotContains(t, strings.Join(v.Env, "\n"), wire.ChannelEnv)
	child := spawn[string](t, call.NewCall("sh").Arg("env").TargetPid(target.PID).Env(wire.ChannelEnv+"=77"))
	require.Contains(t, child, "PATH=")
	require.NotContains(t, child, wire.ChannelEnv)
}
