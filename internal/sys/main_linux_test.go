package sys_test

import (
	"os"
	"testing"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

func TestMain(m *testing.M) {
	_ = sys.HoldExecutable() // which is kept
	os.Exit(testutil.Run(m))
}
