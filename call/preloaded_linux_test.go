package call_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// threaded is a library that starts a thread when it is loaded, as profilers and allocators do.
const threaded = `
#include <pthread.h>
#include <unistd.h>

static void *sleeper(void *unused) { for (;;) pause(); return unused; }

__attribute__((constructor)) static void start(void)
{
	pthread_t thread;
	pthread_create(&thread, 0, sleeper, 0);
}
`

// filtered is a library that makes close_range(2) ENOSYS, as old seccomp filters do.
const filtered = `
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

__attribute__((constructor)) static void start(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 436, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof code[0], code };

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}
`

// library builds a shared library and returns its path.
func library(t testing.TB, text string) string {
	t.Helper()
	testutil.NeedCommand(t, "gcc")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "library.c"), []byte(text), 0o600))
	output, err := exec.Command("gcc", "-shared", "-fPIC", "-o", dir+"/library.so", dir+"/library.c", "-lpthread").CombinedOutput()
	require.NoError(t, err, "%s", output)
	return dir + "/library.so"
}

// The thread would stay outside of all namespaces.
func TestThreadOfAPreloadedLibraryIsNotLeftOutside(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet})
	preload := library(t, threaded)
	for _, types := range []species.Set{species.Set(species.CLONE_NEWNET | species.CLONE_NEWNS), allSet} {
		c := request{Handler: "nothing", Pid: target.PID, Types: types}.call().Env("LD_PRELOAD=" + preload)
		err := requireError(t, c.SpawnInNamespaces(nil), call.StageSpawn)
		require.Contains(t, err.Error(), "started a thread before the bootstrap ran", "%s", types)
	}
}

// Without a list of the open descriptors, every possible number would have to be closed, and there may be 2^30.
func TestInheritedDescriptorsAreClosedWithoutCloseRange(t *testing.T) {
	leak(t)
	target := startTarget(t, testutil.TargetOptions{})
	preload := library(t, filtered)
	for _, types := range []species.Set{species.Set(species.CLONE_NEWNET), target.Types()} {
		c := request{Handler: "descriptors", Pid: target.PID, Types: types}.call().Env("LD_PRELOAD=" + preload)
		found := spawn[[]string](t, c)
		require.GreaterOrEqual(t, len(found), 5)
		for _, fd := range found {
			require.Regexp(t, declared, fd)
		}
	}
	testutil.NeedCommand(t, "strace")
	log := t.TempDir() + "/log"
	cmd := role(t, "caller", request{Handler: "nothing", Pid: target.PID}.json())
	traced := exec.Command("strace", append([]string{"-f", "-o", log, "-e", "trace=close,setns", testBinary(t)}, cmd.Args[1:]...)...)
	traced.Env = append(cmd.Env, "LD_PRELOAD="+preload)
	require.Empty(t, callIn(t, traced).Failure)
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Less(t, len(text), 100<<10, "few are closed")
}
