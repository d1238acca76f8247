package nsenter_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// program calls a function in all namespaces of the process named by its argument, and prints what it returns.
const program = `package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/species"
)

func main() {
	call.RegisterReexec("look", func(any) (any, error) {
		host, err := os.Hostname()
		_, visible := os.LookupEnv("NSOPS_CHANNEL")
		return fmt.Sprint(host, " ", os.Getpid() < 1000, " ", visible, os.Getenv("OTHER")), err
	}, nil)
	call.HandleReexec()
	fmt.Fprintln(os.Stderr, "main ran")
	pid, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	var text string
	err = call.NewCall("look").TargetPid(pid).Namespaces(species.AllNS).SpawnInNamespaces(&text)
	fmt.Println(text, err)
}
`

// other is a library whose constructor runs first and replaces the environment, and with a symbol of a common name.
const other = `package main

/*
#include <stdlib.h>

int ran;

__attribute__((constructor(101))) void init(void)
{
	ran = setenv("OTHER", "", 1) == 0;
}
*/
import "C"
import "os"

func init() {
	if C.ran == 1 {
		os.Setenv("OTHER", " other")
	}
}
`

// build builds the program as if it were a package of this module, in a folder without one, and returns its path.
func build(t testing.TB, env []string, flags []string, files map[string]string) string {
	t.Helper()
	testutil.NeedCommand(t, "go")
	dir := t.TempDir()
	module, err := filepath.Abs("..")
	require.NoError(t, err)
	if _, err := os.Stat(module + "/go.mod"); err != nil {
		testutil.Skip(t, "needs the sources of the module")
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range files {
		require.NoError(t, os.WriteFile(dir+"/"+name, []byte(text), 0o600))
		overlay.Replace[module+"/docs/"+name] = dir + "/" + name
	}
	text, err := json.Marshal(overlay)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dir+"/overlay.json", text, 0o600))
	args := append([]string{"build", "-buildvcs=false", "-overlay", dir + "/overlay.json", "-o", dir + "/program"}, flags...)
	cmd := exec.Command("go", append(args, "./docs")...)
	cmd.Dir, cmd.Env = module, append(os.Environ(), env...)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return dir + "/program"
}

func TestToolchains(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000})
	static := []string{"-ldflags", `-linkmode external -extldflags "-static"`}
	for name, test := range map[string]struct {
		cc    string
		flags []string
	}{
		"dynamic":     {"gcc", nil},
		"static":      {"gcc", static},
		"musl static": {"musl-gcc", static},
		"PIE":         {"gcc", []string{"-buildmode=pie"}},
		"race":        {"gcc", []string{"-race"}},
		"clang":       {"clang", nil},
	} {
		t.Run(name, func(t *testing.T) {
			testutil.NeedCommand(t, test.cc)
			env := []string{"CGO_ENABLED=1", "CC=" + test.cc}
			for suffix, files := range map[string]map[string]string{
				"": {"main.go": program}, " other": {"main.go": program, "other.go": other},
			} {
				path := build(t, env, test.flags, files)
				output, err := exec.Command(path, itoa(target.PID)).CombinedOutput()
				require.NoError(t, err, "%s", output)
				require.Equal(t, "main ran\nnsops-target true false"+suffix+" <nil>\n", string(output))
			}
		})
	}
}

func TestWithoutCgoNothingRuns(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	path := build(t, []string{"CGO_ENABLED=0"}, nil, map[string]string{"main.go": program})
	output, err := exec.Command(path, itoa(target.PID)).CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "no bootstrap in this program")
	require.NotContains(t, string(output), "nsops-target")
	require.Equal(t, 1, strings.Count(string(output), "main ran"))
}
