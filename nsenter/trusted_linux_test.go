package nsenter_test

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/nsenter"
)

// prepared is the descriptor of a channel that a hostile user has prepared for a program to inherit.
const prepared = 7

func init() {
	// "prepare" makes a channel with a request in it, for the program that it becomes.
	roles["prepare"] = func(args []string) error {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
		if err != nil {
			return err
		}
		frame := wire.AppendRequest(nil, wire.Request{Lifeline: -1})
		if err := unix.Sendmsg(pair[0], frame, nil, nil, 0); err != nil {
			return err
		}
		if pair[1] != prepared {
			if err := unix.Dup3(pair[1], prepared, 0); err != nil {
				return err
			}
		}
		if err := os.Setenv(wire.ChannelEnv, strconv.Itoa(prepared)); err != nil {
			return err
		}
		return execute(args)
	}
	// "wrapper" does what many set-user-ID programs do: it sets all its IDs to root, then executes another program.
	roles["wrapper"] = func(args []string) error {
		if err := syscall.Setgid(0); err != nil {
			return err
		}
		if err := syscall.Setuid(0); err != nil {
			return err
		}
		return execute(args)
	}
}

// execute executes a program: args are its role and its path, then its own arguments.
func execute(args []string) error {
	if err := os.Setenv(bootEnv, args[0]); err != nil {
		return err
	}
	return unix.Exec(args[1], args[1:], os.Environ())
}

// A user prepares a channel that a set-user-ID program inherits and passes to a program which it executes as root. That
// is not set-user-ID any more, so the kernel does not warn it: the bootstrap must check who has made the channel.
func TestChannelOfAnotherUserIsRefused(t *testing.T) {
	if !nsenter.Linked {
		testutil.Skip(t, "needs cgo")
	}
	testutil.NeedRoot(t)
	program, wrapper := copyOfTest(t, 0o755), copyOfTest(t, 0o4755)
	const granted, refused = `^main ran \{7 -1 false false\} true\n$`, `^nsops: bootstrap: errno 001 at NSOPS_CHANNEL *\n$`
	for name, test := range map[string]struct {
		uid    uint32
		become []string
		status int
		output string
	}{
		"root's own":     {0, []string{"main", program}, 0, granted},
		"a user's own":   {1000, []string{"main", program}, 0, granted},
		"a user's to us": {1000, []string{"wrapper", wrapper, "main", program}, 125, refused},
	} {
		cmd := exec.Command(program, test.become...)
		cmd.Env = append(os.Environ(), bootEnv+"=prepare", "GORACE=atexit_sleep_ms=0")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: test.uid, Gid: test.uid}}
		output, _ := cmd.CombinedOutput()
		require.Equal(t, test.status, cmd.ProcessState.ExitCode(), "%s: %s", name, output)
		require.Regexp(t, test.output, string(output), name)
	}
}

// copyOfTest returns a copy of this program that everybody may execute.
func copyOfTest(t testing.TB, mode uint32) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nsops-nsenter")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	path, err := os.Executable()
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dir+"/program", text, 0o755))
	require.NoError(t, unix.Chmod(dir+"/program", mode))
	return dir + "/program"
}
