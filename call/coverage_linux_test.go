package call_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
)

// In a target with another mount namespace and root there is no GOCOVERDIR. The counters of a worker, here an
// unprivileged one, and of a switched process must be written nevertheless.
func TestCoverageOfWorkersIsWritten(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{OwnRoot: true})
	program := buildCovered(t, "atomic")
	for _, arguments := range [][]string{{strconv.Itoa(target.PID)}, {strconv.Itoa(target.PID), "switch"}} {
		dir := t.TempDir()
		command := exec.Command(program, arguments...)
		command.Env = append(os.Environ(), "GOCOVERDIR="+dir)
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s", output)

		text := filepath.Join(t.TempDir(), "text")
		output, err = exec.Command("go", "tool", "covdata", "textfmt", "-i="+dir, "-o="+text).CombinedOutput()
		require.NoError(t, err, "%s", output)
		profile, err := os.ReadFile(text)
		require.NoError(t, err)
		line := regexp.MustCompile(`covered/main\.go:12\.\d+,14\.\d+ \d+ (\d+)`).FindSubmatch(profile)
		require.NotNil(t, line, "%s", profile)
		require.Equal(t, strconv.Itoa(len(arguments)), string(line[1]), "one call each")
		files, err := filepath.Glob(filepath.Join(dir, "covcounters.*"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(files), 2)
	}
}

func TestCoverageThatCannotBeWrittenIsReported(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	command := exec.Command(buildCovered(t, "set"), strconv.Itoa(os.Getpid()))
	dir := t.TempDir()
	command.Env = append(os.Environ(), "GOCOVERDIR="+dir)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "-covermode=atomic")
	files, err := filepath.Glob(filepath.Join(dir, "covcounters.*"))
	require.NoError(t, err)
	require.Len(t, files, 1, "the caller's own, and no empty one")
}

func buildCovered(t *testing.T, mode string) string {
	testutil.NeedCommand(t, "go")
	program := filepath.Join(t.TempDir(), "covered")
	output, err := exec.Command("go", "build", "-cover", "-covermode="+mode, "-o", program, "./testdata/covered").CombinedOutput()
	require.NoError(t, err, "%s", output)
	return program
}

// The user of a set-user-ID program must not choose by GOCOVERDIR where root creates files.
func TestCoverageIsNotWrittenForAUserWithFewerRights(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	command := exec.Command(copyOf(t, buildCovered(t, "atomic"), 0o4755), strconv.Itoa(target.PID))
	command.Env = append(os.Environ(), "GOCOVERDIR="+dir)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	files, err := filepath.Glob(filepath.Join(dir, "covcounters.*"))
	require.NoError(t, err)
	require.Len(t, files, 1, "the caller's own, by the Go runtime")
}
