package scan

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

// withoutIterators makes the kernel seem to have no task iterators.
const withoutIterators = "NSOPS_TEST_WITHOUT_TASK_ITERATORS"

func TestMain(m *testing.M) {
	if os.Getenv(withoutIterators) != "" {
		sys.Pretend(sys.TaskIterators)
	}
	os.Exit(testutil.Run(m))
}

// TestWithoutTaskIterators runs all other tests on the way that has no snapshot.
func TestWithoutTaskIterators(t *testing.T) {
	if os.Getenv(withoutIterators) != "" {
		return
	}
	cmd := exec.Command(os.Args[0], "-test.skip=WithoutTaskIterators|SecondLook", "-test.timeout=10m", "-test.short="+strconv.FormatBool(testing.Short()))
	cmd.Env = append(os.Environ(), withoutIterators+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
