package raw_test

import (
	"os"
	"testing"

	"github.com/nsops/nsops/internal/testutil"
)

func TestMain(m *testing.M) { os.Exit(testutil.Run(m)) }
