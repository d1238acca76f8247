package engines

import (
	"os"
	"testing"

	"github.com/nsops/nsops/internal/testutil"
)

// sleeps is the variable that makes the test a process that waits, with arguments of a runtime's.
const sleeps = "NSOPS_TEST_ENGINE"

func TestMain(m *testing.M) {
	if os.Getenv(sleeps) != "" {
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(testutil.Run(m))
}
