package call_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
)

// A target with a mount namespace and root of its own has no GOCOVERDIR: the counters of a worker, here even an
// unprivileged one, and of a switched process must come out all the same.
func TestCoverageOfWorkersIsWritten(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{OwnRoot: true})
	program := filepath.Join(t.TempDir(), "covered")
	build := exec.Command("go", "build", "-cover", "-o", program, "./testdata/covered")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)

	for _, arguments := range [][]string{{strconv.Itoa(target.PID)}, {strconv.Itoa(target.PID), "switch"}} {
		dir := t.TempDir()
		command := exec.Command(program, arguments...)
		command.Env = append(os.Environ(), "GOCOVERDIR="+dir)
		output, err = command.CombinedOutput()
		require.NoError(t, err, "%s", output)

		text := filepath.Join(t.TempDir(), "text")
		output, err = exec.Command("go", "tool", "covdata", "textfmt", "-i="+dir, "-o="+text).CombinedOutput()
		require.NoError(t, err, "%s", output)
		profile, err := os.ReadFile(text)
		require.NoError(t, err)
		line := regexp.MustCompile(`covered/main\.go:12\.\d+,14\.\d+ \d+ (\d+)`).FindSubmatch(profile)
		require.NotNil(t, line, "%s", profile)
		require.Equal(t, "1", string(line[1]))
		files, err := filepath.Glob(filepath.Join(dir, "covcounters.*"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(files), 2)
	}
}
