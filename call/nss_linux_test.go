package call_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	call.RegisterReexec("nss", func(any) (any, error) {
		_, err := user.Lookup("somebody")
		return nil, err
	}, nil)
}

// evil is a library that creates a file when it is loaded.
const evil = `#include <fcntl.h>
__attribute__((constructor)) static void loaded(void) { open("/tmp/loaded", O_CREAT | O_WRONLY, 0666); }
`

// trap installs that library in the target, for lookups of users, groups, hosts and character sets.
func trap(t testing.TB, target *testutil.Target) (trace string) {
	t.Helper()
	testutil.NeedCommand(t, "gcc")
	source, library := t.TempDir()+"/evil.c", t.TempDir()+"/evil.so"
	require.NoError(t, os.WriteFile(source, []byte(evil), 0o600))
	output, err := exec.Command("gcc", "-shared", "-fPIC", "-o", library, source).CombinedOutput()
	require.NoError(t, err, "%s", output)
	text, err := os.ReadFile(library)
	require.NoError(t, err)
	multiarch, err := exec.Command("gcc", "-print-multiarch").Output()
	require.NoError(t, err)
	root := target.Root()
	for _, dir := range []string{"lib", "lib64", "usr/lib", "lib/" + strings.TrimSpace(string(multiarch))} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
		for _, name := range []string{"libnss_evil.so.2", "libnss_files.so.2", "libnss_dns.so.2"} {
			require.NoError(t, os.WriteFile(filepath.Join(root, dir, name), text, 0o755))
		}
	}
	require.NoError(t, os.MkdirAll(root+"/etc", 0o755))
	config := "passwd: evil\ngroup: evil\nhosts: evil\ninitgroups: evil\n"
	require.NoError(t, os.WriteFile(root+"/etc/nsswitch.conf", []byte(config), 0o644))
	require.NoError(t, os.WriteFile(root+"/etc/ld.so.preload", []byte("/lib/libnss_evil.so.2\n"), 0o644))
	return root + "/tmp/loaded"
}

func TestNoCodeOfTheTargetIsLoaded(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{OwnRoot: true, Setup: "chmod 1777 /tmp"})
	trace := trap(t, target)
	for _, types := range []species.NamespaceType{defaultTypes, allTypes} {
		c := call.NewCall("look").TargetPid(target.PID).Namespaces(types).RemountSys()
		require.Equal(t, "nsops-target", spawn[view](t, c).Host)
		require.Equal(t, "nsops-target", spawn[view](t, c.DropPrivs()).Host)
	}
	require.NoFileExists(t, trace)
	require.Error(t, call.NewCall("nss").TargetPid(target.PID).SpawnInNamespaces(nil))
	require.FileExists(t, trace, "the trap works: a handler that asks for users does load it")
}
