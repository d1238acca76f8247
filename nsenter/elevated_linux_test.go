package nsenter_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// environ prints the environment of a worker and of a program that it starts.
const environ = `package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/species"
)

func main() {
	call.RegisterReexec("environ", func(any) (any, error) {
		child, err := exec.Command("/usr/bin/env").Output()
		fmt.Printf("worker %d %d\n%s\n%s", os.Getuid(), os.Geteuid(), strings.Join(os.Environ(), "\n"), child)
		return nil, err
	}, nil)
	call.HandleReexec()
	pid, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	c := call.NewCall("environ").TargetPid(pid).Namespaces(species.CLONE_NEWUTS).Env("LD_BIND_NOW=given")
	if len(os.Args) > 2 {
		err = c.SwitchToNamespaces()
	} else {
		err = c.SpawnInNamespaces(nil)
	}
	fmt.Println(err)
}
`

// preloaded is a library that creates the file named by the environment when it is loaded.
const preloaded = `#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void)
{
	if (geteuid() == 0)
		open(getenv("TRACE"), O_CREAT | O_WRONLY, 0666);
}
`

// forEverybody moves a program to a folder that everybody may enter.
func forEverybody(t testing.TB, path, mode string, caps string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nsops-nsenter")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	program := dir + "/program"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(program, text, 0o755))
	require.NoError(t, exec.Command("chmod", mode, program).Run())
	if caps != "" {
		testutil.NeedCommand(t, "setcap")
		output, err := exec.Command("setcap", caps, program).CombinedOutput()
		require.NoError(t, err, "%s", output)
	}
	return program
}

// library compiles preloaded with a C compiler.
func library(t testing.TB, cc string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/preloaded.c", []byte(preloaded), 0o600))
	output, err := exec.Command(cc, "-shared", "-fPIC", "-o", dir+"/preloaded.so", dir+"/preloaded.c").CombinedOutput()
	require.NoError(t, err, "%s", output)
	return forEverybody(t, dir+"/preloaded.so", "0755", "")
}

// The worker of a set-user-ID program is not set-user-ID itself: its loader and its runtime would obey the environment
// of the user, with the rights of root.
func TestUsersEnvironmentDoesNotSteerAPrivilegedWorker(t *testing.T) {
	testutil.NeedRoot(t)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWUTS)})
	for _, cc := range []string{"musl-gcc", "gcc"} {
		testutil.NeedCommand(t, cc)
		path := build(t, []string{"CGO_ENABLED=1", "CC=" + cc}, []string{"-ldflags", "-linkmode external"}, map[string]string{"main.go": environ})
		lib := library(t, cc)
		for name, program := range map[string]string{
			"set-user-ID":  forEverybody(t, path, "4755", ""),
			"set-group-ID": forEverybody(t, path, "6755", ""),
			"capabilities": forEverybody(t, path, "0755", "cap_sys_admin,cap_sys_ptrace=ep"),
		} {
			for _, args := range [][]string{{itoa(target.PID)}, {itoa(target.PID), "switch"}} {
				checkEnvironment(t, name+" "+cc, lib, exec.Command(program, args...))
			}
		}
	}
}

func checkEnvironment(t testing.TB, name, library string, cmd *exec.Cmd) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	steering := []string{
		"LD_PRELOAD=" + library, "LD_LIBRARY_PATH=/tmp", "LD_BIND_NOW=inherited", "GCONV_PATH=/tmp", "LOCPATH=/tmp", "TMPDIR=/tmp/x",
		"GODEBUG=inittrace=1", "GOTRACEBACK=crash", "GORACE=log_path=/tmp/x", "GOGC=1", "GOMAXPROCS=7", "GOCOVERDIR=/tmp",
		"MALLOC_TRACE=/tmp/x", "MUSL_LOCPATH=/tmp", "GLIBC_TUNABLES=x", "BASH_ENV=/tmp/x", "PERL5LIB=/tmp", "TZ=/tmp/x",
	}
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "MINE=kept", "TRACE=" + dir + "/loaded"}, steering...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", name, text)
	output := string(text)
	require.NoFileExists(t, dir+"/loaded", "%s: root has loaded the user's library: %s", name, output)
	require.Contains(t, output, "worker ", name)
	require.Equal(t, 2, strings.Count(output, "MINE=kept\n"), "%s: %s", name, output)
	require.Equal(t, 2, strings.Count(output, "LD_BIND_NOW=given\n"), "what the caller gives by itself: %s: %s", name, output)
	for _, assignment := range steering {
		variable, _, _ := strings.Cut(assignment, "=")
		require.NotContains(t, output, "\n"+assignment+"\n", name)
		require.False(t, variable != "LD_BIND_NOW" && variable != "GOMAXPROCS" && strings.Contains(output, "\n"+variable+"="), "%s: %s", name, variable)
	}
}
