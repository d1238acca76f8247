package runtimes

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
)

const patience = 10 * time.Second

var containers atomic.Int32

// newName returns a name that no other container and no cgroup of this machine has.
func newName() string { return fmt.Sprintf("nsops-test-%d-%d", os.Getpid(), containers.Add(1)) }

// run runs a command that must succeed, and returns what it prints.
func run(t testing.TB, argv ...string) string {
	t.Helper()
	output, err := try(argv...)
	require.NoError(t, err, "%s\n%s", strings.Join(argv, " "), output)
	return output
}

func try(argv ...string) (string, error) { return tryWith(nil, argv...) }

// tryWith runs a command with that environment; nil: the caller's. The output goes to a file: a pipe that the container
// holds open would make it wait.
func tryWith(env []string, argv ...string) (string, error) {
	output, err := os.CreateTemp("", "nsops-output-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.Remove(output.Name()) }()
	defer func() { _ = output.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = env, output, output
	err = cmd.Run()
	text, _ := os.ReadFile(output.Name())
	return string(text), err
}

func parsePID(t testing.TB, text string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	require.NoError(t, err)
	return pid
}

// awaitEnd waits until the process has ended. The machine's init process may take seconds to reap it.
func awaitEnd(t testing.TB, pid int) {
	t.Helper()
	gone := func() bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ") || strings.Contains(string(stat), ") X ")
	}
	require.Eventually(t, gone, patience, 5*time.Millisecond, "process %d of a container still runs", pid)
}

// cgroups returns the folders of that name in all hierarchies, of versions 1 and 2.
func cgroups(name string) []string {
	var found []string
	for _, line := range strings.Split(mountTable(), "\n") {
		mount, fsType, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(mount); len(fields) > 4 && strings.HasPrefix(fsType, "cgroup") {
			found = append(found, find(fields[4], name)...)
		}
	}
	return found
}

func mountTable() string {
	text, _ := os.ReadFile("/proc/self/mountinfo")
	return string(text)
}

// find returns the folders of that name below dir, deepest last.
func find(dir, name string) []string {
	var found []string
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if path := filepath.Join(dir, entry.Name()); entry.IsDir() {
			if entry.Name() == name {
				found = append(found, path)
			}
			found = append(found, find(path, name)...)
		}
	}
	return found
}

// attach returns a target that stop ends. At the end of the test it checks that nothing is left.
func attach(t testing.TB, name string, pid int, stop func()) *testutil.Target {
	t.Helper()
	return testutil.Attach(t, pid, func() {
		stop()
		awaitEnd(t, pid)
		require.Empty(t, cgroups(name), "cgroups left by a container")
	})
}
