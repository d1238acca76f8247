package call_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
)

// ownNull is a script of the target's root: /dev/null becomes an ordinary file.
const ownNull = "mount -t tmpfs none /dev; : >/dev/null"

func init() {
	// "standard" returns the types of its standard descriptors, and writes to two of them.
	call.RegisterReexec("standard", func(any) (any, error) {
		var found []string
		for fd := range 3 {
			var st unix.Stat_t
			err := unix.Fstat(fd, &st)
			found = append(found, fmt.Sprintf("%o %d:%d %v", st.Mode&unix.S_IFMT, unix.Major(st.Rdev), unix.Minor(st.Rdev), err))
			if fd == 0 {
				continue
			}
			if _, err := unix.Write(fd, []byte("for nobody\n")); err != nil {
				return nil, fmt.Errorf("write to %d: %w", fd, err)
			}
		}
		return found, nil
	}, nil)
	// "closed" closes standard descriptors, then calls, and prints to descriptor 3.
	roles["closed"] = func(args []string) {
		call.HandleReexec()
		pid, err := strconv.Atoi(args[0])
		check(err)
		for _, fd := range args[1:] {
			check(map[string]*os.File{"0": os.Stdin, "1": os.Stdout, "2": os.Stderr}[fd].Close())
		}
		var o outcome
		if err := call.NewCall("standard").TargetPid(pid).SpawnInNamespaces(&o.Result); err != nil {
			o.Failure = err.Error()
		}
		if json.NewEncoder(os.NewFile(3, "output")).Encode(o) != nil {
			os.Exit(3)
		}
	}
}

// null is the type of a descriptor of /dev/null.
const null = "20000 1:3 <nil>"

// For a closed standard descriptor, the worker's Go runtime would open the target's /dev/null.
func TestClosedStandardDescriptorsAreNoFilesOfTheTarget(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Setup: ownNull})
	for _, closed := range [][]string{{"1"}, {"0", "1", "2"}} {
		output, err := os.CreateTemp(t.TempDir(), "")
		require.NoError(t, err)
		cmd := role(t, "closed", append([]string{strconv.Itoa(target.PID)}, closed...)...)
		cmd.ExtraFiles = []*os.File{output}
		require.NoError(t, cmd.Run(), closed)
		require.NoError(t, output.Close())
		text, err := os.ReadFile(output.Name())
		require.NoError(t, err)
		var o outcome
		var found []string
		require.NoError(t, unmarshal(text, &o), "%s", text)
		require.Empty(t, o.Failure, closed)
		require.NoError(t, unmarshal(o.Result, &found))
		require.Equal(t, []string{null, null, null}, found, closed)
	}
	require.Empty(t, target.Sh("cat /dev/null"))
}

func TestNoFileIsNoFileOfTheTarget(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Setup: ownNull})
	closed, err := os.Open(os.DevNull)
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for _, file := range []*os.File{nil, closed} {
		c := call.NewCall("standard").TargetPid(target.PID).Stdin(file).Stdout(file).Stderr(file)
		require.Equal(t, []string{null, null, null}, spawn[[]string](t, c))
	}
	require.Empty(t, target.Sh("cat /dev/null"))
}
