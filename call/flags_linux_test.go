package call_test

import (
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
)

func init() {
	roles["flags"] = func([]string) { // package testing registers its flags later, when the tests start
		flag.CommandLine.VisitAll(func(f *flag.Flag) { _, _ = os.Stdout.WriteString(f.Name + "\n") })
	}
}

func TestNoGlobalFlagsAreRegistered(t *testing.T) {
	needBootstrap(t)
	for _, name := range strings.Fields(run(t, role(t, "flags")).Stdout) {
		require.True(t, strings.HasPrefix(name, "test."), name)
	}
	testutil.NeedCommand(t, "go")
	output, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	require.NotContains(t, strings.Split(string(output), "\n"), "flag", "not even imported")
}
