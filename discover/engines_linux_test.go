package discover_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/testutil"
)

const otherUser = 64321

// startEngine starts a shell by the name of a runtime's program, with such arguments, as a user.
func startEngine(t *testing.T, program string, uid uint32, args ...string) {
	t.Helper()
	dir := t.TempDir()
	for up := dir; up != os.TempDir(); up = filepath.Dir(up) {
		require.NoError(t, os.Chmod(up, 0o755)) //nolint:gosec // another user starts it
	}
	shell, err := os.ReadFile("/bin/sh")
	require.NoError(t, err)
	program = filepath.Join(dir, program)
	require.NoError(t, os.WriteFile(program, shell, 0o755)) //nolint:gosec // it is a program
	require.NoError(t, os.Chmod(program, 0o755))            //nolint:gosec // whatever the umask is
	cmd := exec.Command(program, append([]string{"-s", "--"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
}

// TestContainerOfAnyCgroup has one of runc with --root, whose cgroup does not say that it is one.
func TestContainerOfAnyCgroup(t *testing.T) {
	testutil.NeedRoot(t)
	hierarchy, name, state := unifiedHierarchy(t), fmt.Sprintf("nsops-runc-%d", os.Getpid()), t.TempDir()
	leader := inCgroup(t, hierarchy+"/"+name)
	require.Nil(t, standard(t).Process(leader).Container)
	require.NoError(t, os.MkdirAll(state+"/web", 0o700))
	require.NoError(t, os.WriteFile(state+"/web/state.json", fmt.Appendf(nil, `{"id":"web","cgroup_paths":{"":"%s/%s"}}`, hierarchy, name), 0o600))
	startEngine(t, "runc", 0, "--root", state, "run", "web")
	c := standard(t).Process(leader).Container
	require.Equal(t, discover.Container{ID: "web", Runtime: "runc", Cgroup: "/" + name}, alone(c))
	require.Equal(t, leader, c.Leader.PID)
}

// TestArgumentsOfAnEngine has a container of root's, and one of a user's, with what processes of both say of them.
func TestArgumentsOfAnEngine(t *testing.T) {
	testutil.NeedRoot(t)
	hierarchy := unifiedHierarchy(t)
	id := fmt.Sprintf("%064x", os.Getpid())
	rooted := inCgroup(t, hierarchy+"/libpod-"+id+".scope")
	slice := fmt.Sprintf("/nsops-user-%d.slice", os.Getpid())
	require.NoError(t, os.Mkdir(hierarchy+slice, 0o755)) //nolint:gosec // for the test
	t.Cleanup(func() { require.NoError(t, os.Remove(hierarchy+slice)) })
	require.NoError(t, os.Chown(hierarchy+slice, otherUser, otherUser))
	own := fmt.Sprintf("%063xf", os.Getpid())
	rootless := inCgroup(t, hierarchy+slice+"/libpod-"+own+".scope")

	startEngine(t, "conmon", otherUser, "-c", id, "-n", "forged")
	startEngine(t, "conmon", otherUser, "-c", own, "-n", "mine")
	r := standard(t)
	require.Empty(t, r.Process(rooted).Container.Name)
	require.Equal(t, "mine", r.Process(rootless).Container.Name)
	startEngine(t, "conmon", 0, "-c", id, "-n", "web")
	startEngine(t, "conmon", 0, "-c", own, "-n", "other")
	r = standard(t)
	require.Equal(t, "web", r.Process(rooted).Container.Name)
	require.Equal(t, "mine", r.Process(rootless).Container.Name, "root's processes have nothing to say of it")
}
