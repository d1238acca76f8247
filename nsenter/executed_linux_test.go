package nsenter_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// goLibrary is a library for programs in C.
const goLibrary = `package main

import "C"
import (
	"fmt"
	"errors"

	"github.com/nsops/nsops/call"
)

//export Look
func Look(pid C.int) {
	call.RegisterReexec("look", func(any) (any, error) { return nil, nil }, nil)
	call.HandleReexec()
	for _, f := range []func(*call.Call) error{(*call.Call).SwitchToNamespaces, func(c *call.Call) error { return c.SpawnInNamespaces(nil) }} {
		err := f(call.NewCall("look").TargetPid(int(pid)))
		fmt.Println(errors.Is(err, call.ErrNotLinked), err)
	}
}

func main() {}
`

// Two programs that use it, the second one with dlopen(3).
const (
	linkingProgram = `#include <stdlib.h>
#include <unistd.h>
void Look(int pid);
int main(int argc, char **argv)
{
	(void)!write(2, "main ran\n", 9);
	if (argc > 1)
		Look(atoi(argv[1]));
	return 0;
}
`
	loadingProgram = `#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	void (*look)(int) = NULL;
	void *library = dlopen(getenv("LIBRARY"), RTLD_NOW);

	(void)!write(2, "main ran\n", 9);
	if (library)
		look = (void (*)(int))dlsym(library, "Look");
	if (look && argc > 1)
		look(atoi(argv[1]));
	return 0;
}
`
)

const refusal = `would not run the bootstrap`

// Executing the file again would run the C program outside of all namespaces: so the call must be refused.
func TestLibraryInAProgramOfAnotherLanguage(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "gcc")
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	library := build(t, []string{"CGO_ENABLED=1"}, []string{"-buildmode=c-shared"}, map[string]string{"main.go": goLibrary})
	for name, source := range map[string]string{"linked": linkingProgram, "loaded": loadingProgram} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(dir+"/main.c", []byte(source), 0o600))
		args := []string{"-o", dir + "/main", dir + "/main.c"}
		if name == "linked" {
			args = append(args, library, "-Wl,-rpath,"+filepath.Dir(library))
		}
		output, err := exec.Command("gcc", args...).CombinedOutput()
		require.NoError(t, err, "%s", output)
		cmd := exec.Command(dir+"/main", itoa(target.PID))
		cmd.Env = append(os.Environ(), "LIBRARY="+library)
		requireRefused(t, name, cmd)
	}
}

func requireRefused(t testing.TB, name string, cmd *exec.Cmd) {
	t.Helper()
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", name, output)
	require.Regexp(t, "(?s)^main ran\n.*"+refusal+".*no bootstrap in this program", string(output), name)
	require.NotContains(t, string(output)[len("main ran\n"):], "main ran", name)
	require.NotContains(t, string(output), "nsops-target", name)
}

func TestProgramStartedThroughItsLoader(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{})
	for cc, pattern := range map[string]string{"gcc": "/lib*/ld-linux*.so*", "musl-gcc": "/lib/ld-musl-*.so*"} {
		testutil.NeedCommand(t, cc)
		loaders, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, loaders)
		for _, mode := range []string{"exe", "pie"} {
			path := build(t, []string{"CGO_ENABLED=1", "CC=" + cc}, []string{"-buildmode=" + mode}, map[string]string{"main.go": program})
			requireRefused(t, cc+" "+mode, exec.Command(loaders[0], path, itoa(target.PID)))
			output, err := exec.Command(path, itoa(target.PID)).CombinedOutput()
			require.NoError(t, err, "%s", output)
			require.Equal(t, "main ran\nnsops-target true false <nil>\n", string(output))
		}
	}
}

// A program that Go's own linker has linked calls no constructors.
func TestProgramWhoseConstructorsDoNotRun(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWUTS)})
	path := build(t, []string{"CGO_ENABLED=1"}, []string{"-ldflags=-linkmode=internal"}, map[string]string{"main.go": program})
	requireRefused(t, "internal", exec.Command(path, itoa(target.PID)))
	cmd := exec.Command(path, itoa(target.PID))
	cmd.Env = append(os.Environ(), wire.ChannelEnv+"=3")
	output, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 125, cmd.ProcessState.ExitCode())
	require.Regexp(t, "^nsops: NSOPS_CHANNEL is set, but the bootstrap has not run", string(output))
}
