package call_test

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// startMapped starts a target in user and mount namespaces that an ordinary user has made, with these ID maps.
func startMapped(t testing.TB, uids, gids string) (pid int) {
	t.Helper()
	needBootstrap(t)
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "unshare")
	cmd := exec.Command("unshare", "--user", "--mount", "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1234}}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	waitUntil(t, func() bool { return name(cmd.Process.Pid) == "sleep" }, "it sleeps")
	for file, ids := range map[string]string{"uid_map": uids, "gid_map": gids} {
		if ids != "" {
			require.NoError(t, os.WriteFile(fmt.Sprintf("/proc/%d/%s", cmd.Process.Pid, file), []byte(ids), 0))
		}
	}
	return cmd.Process.Pid
}

// A worker that kept the caller's unmapped UID 0 could read all files of the host.
func TestWorkerNeverKeepsAnUnmappedID(t *testing.T) {
	const types = species.CLONE_NEWUSER | species.CLONE_NEWNS
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("of the host"), 0o600))
	for _, test := range []struct {
		uids, gids string
		user       []int  // nil: none is chosen
		missing    string // "": the call succeeds
		outside    string // the worker's IDs as the machine sees them
	}{
		{missing: "ID 0"},
		{user: []int{0, 0}, missing: "ID 0"},
		{user: []int{65534, 65534}, missing: "ID 65534"},
		{uids: "0 100000 1", missing: "ID 0"},
		{uids: "0 100000 1", user: []int{0, 0}, missing: "ID 0"},
		{gids: "0 100000 1", missing: "ID 0"},
		{uids: "1 100001 10", gids: "1 100001 10", missing: "ID 0"},
		{uids: "1 100001 10", gids: "1 100001 10", user: []int{11, 1}, missing: "ID 11"},
		{uids: "1 100001 10", gids: "1 100001 10", user: []int{3, 4}, outside: "100003 100004"},
		{uids: "5 0 1", gids: "5 0 1", missing: "ID 0"},
		{uids: "1 100001 65534", gids: "1 100001 65534", missing: "ID 0"},
		{uids: "0 100000 65536", gids: "0 100000 65536", outside: "100000 100000"},
		{uids: "0 100000 65536", gids: "0 100000 65536", user: []int{7, 8}, outside: "100007 100008"},
	} {
		what := fmt.Sprintf("%q %q %v", test.uids, test.gids, test.user)
		pid := startMapped(t, test.uids, test.gids)
		c := func(handler string) *call.Call {
			c := call.NewCall(handler).TargetPid(pid).Namespaces(types)
			if test.user != nil {
				c.User(test.user[0], test.user[1])
			}
			return c
		}
		text := ""
		err := c("sh").Arg("LC_ALL=C cat " + secret + " 2>&1 || true").SpawnInNamespaces(&text)
		require.NotContains(t, text, "of the host", what)
		if test.missing != "" {
			require.Contains(t, requireError(t, err, call.StagePrivileges).Error(), test.missing+":", what)
			continue
		}
		require.NoError(t, err, what)
		require.Contains(t, text, "denied", what)
		_, worker := orphan(t, "caller", request{Handler: "block", Pid: pid, Types: species.Set(types), User: test.user})
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", worker))
		require.NoError(t, err)
		var uid, gid int
		_, err = fmt.Sscan(test.outside, &uid, &gid)
		require.NoError(t, err)
		require.Contains(t, string(status), fmt.Sprintf("\nUid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", uid), what)
		require.Contains(t, string(status), fmt.Sprintf("\nGid:\t%d\t%[1]d\t%[1]d\t%[1]d\n", gid), what)
	}
}

// Users who are mapped to themselves only, as by bubblewrap, keep their ID.
func TestUserMappedToThemselvesKeepsTheirID(t *testing.T) {
	pid := startMapped(t, "1234 1234 1", "1234 1234 1")
	o := callIn(t, asUser(t, nil, request{Handler: "look", Pid: pid, Types: species.Set(species.CLONE_NEWUSER | species.CLONE_NEWNS)}))
	require.Empty(t, o.Failure)
	var v view
	require.NoError(t, unmarshal(o.Result, &v))
	require.Equal(t, []int{1234, 1234}, []int{v.UID, v.GID})
}

// asUser returns the command that makes a call as the ordinary user 1234 with some groups.
func asUser(t testing.TB, groups []uint32, r request) *exec.Cmd {
	t.Helper()
	cmd := role(t, "caller", r.json())
	cmd.Path = copyOf(t, testBinary(t), 0o755)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1234, Groups: groups}}
	return cmd
}

// withoutSetgid returns the command that makes a call as root with groups and without CAP_SETGID.
func withoutSetgid(t testing.TB, r request) *exec.Cmd {
	t.Helper()
	testutil.NeedCommand(t, "setpriv")
	cmd := role(t, "caller", r.json())
	cmd.Args = append([]string{"setpriv", "--groups=4,27", "--bounding-set=-setgid", "--inh-caps=-setgid", testBinary(t)}, cmd.Args[1:]...)
	path, err := exec.LookPath("setpriv")
	require.NoError(t, err)
	cmd.Path = path
	return cmd
}

func TestGroupsAreDroppedBeforeOrAfterTheJoin(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	for _, r := range []request{{}, {DropPrivs: true}, {User: []int{3, 4}}} {
		r.Handler, r.Pid, r.Types = "status", target.PID, allSet
		require.Empty(t, statusOf(t, callIn(t, withoutSetgid(t, r)))["Groups"][0], "%+v", r)
	}
	// If setgroups(2) is refused before and after the join, the worker would keep them.
	r := request{Handler: "status", Pid: startDenied(t), Types: species.Set(species.CLONE_NEWUSER)}
	o := callIn(t, withoutSetgid(t, r))
	require.Equal(t, call.StagePrivileges, o.Stage, o.Failure)
	require.Contains(t, o.Failure, "denies setgroups")
	cmd := role(t, "caller", r.json())
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{4, 27}}}
	require.Empty(t, statusOf(t, callIn(t, cmd))["Groups"][0], "dropped before the join")
	// An ordinary user keeps their own, except with DropPrivs.
	require.NotEmpty(t, statusOf(t, callIn(t, asUser(t, []uint32{4}, r)))["Groups"][0])
	r.DropPrivs = true
	o = callIn(t, asUser(t, []uint32{4}, r))
	require.Equal(t, call.StagePrivileges, o.Stage, o.Failure)
	require.Contains(t, o.Failure, "denies setgroups")
}

// startDenied starts a target in a user namespace of user 1234 that maps only this user and denies setgroups(2).
func startDenied(t testing.TB) (pid int) {
	t.Helper()
	pid = startMapped(t, "0 1234 1", "")
	require.NoError(t, os.WriteFile(fmt.Sprintf("/proc/%d/setgroups", pid), []byte("deny"), 0))
	require.NoError(t, os.WriteFile(fmt.Sprintf("/proc/%d/gid_map", pid), []byte("0 1234 1"), 0))
	return pid
}

func TestDropPrivsNamesAnUnmappedNobody(t *testing.T) {
	pid := startDenied(t)
	c := call.NewCall("status").TargetPid(pid).Namespaces(species.CLONE_NEWUSER, species.CLONE_NEWNS).DropPrivs()
	err := requireError(t, c.SpawnInNamespaces(nil), call.StagePrivileges)
	require.ErrorIs(t, err, unix.EINVAL)
	require.Contains(t, err.Error(), "does not map ID 65534: set a user that it maps with User")
	requireUnprivileged(t, spawn[map[string][]string](t, c.User(0, 0)), "0 0 0 0")
}

func TestUserIsChecked(t *testing.T) {
	for _, ids := range [][2]int64{{-1, 0}, {0, -1}, {1<<32 - 1, 0}, {0, 1 << 40}} {
		if ids[0] > math.MaxInt || ids[1] > math.MaxInt {
			continue // cannot be said where an int has 32 bits
		}
		requireError(t, ours("nothing").User(int(ids[0]), int(ids[1])).SpawnInNamespaces(nil), call.StagePrivileges)
	}
}

// Without a user namespace, a UID other than 0 has no capabilities.
func TestUserWithoutAUserNamespace(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	status := spawn[map[string][]string](t, call.NewCall("status").TargetPid(target.PID).Namespaces(allButUser).User(1234, 2345))
	for name, want := range map[string]string{
		"Uid": "1234 1234 1234 1234", "Gid": "2345 2345 2345 2345", "Groups": "", "CapPrm": noCaps, "CapEff": noCaps,
	} {
		require.NotEmpty(t, status[name], name)
		for _, got := range status[name] {
			require.Equal(t, want, got, name)
		}
	}
	// setresuid(2) removes the capabilities of UID 0 only; a worker of a capable caller with another UID must lose its
	// own, too.
	keeper := role(t, "keeper", request{Handler: "status", Pid: target.PID, Types: species.Set(allButUser), User: []int{5, 6}}.json(), "spawn")
	status = statusOf(t, callIn(t, keeper))
	require.Equal(t, []string{"5 5 5 5", noCaps, noCaps}, []string{status["Uid"][0], status["CapPrm"][0], status["CapEff"][0]})
	o := callIn(t, asUser(t, nil, request{Handler: "nothing", Pid: os.Getpid(), User: []int{1, 1}}))
	require.Equal(t, call.StageTarget, o.Stage, "it may not inspect us: %s", o.Failure)
}

// A user namespace may map UID 0 but not GID 0: another user must have no capabilities there either.
func TestUserWhereRootHasNoGroup(t *testing.T) {
	pid := startMapped(t, "0 100000 10", "5 100005 1")
	c := call.NewCall("status").TargetPid(pid).Namespaces(species.CLONE_NEWUSER, species.CLONE_NEWNS).User(5, 5)
	status := spawn[map[string][]string](t, c)
	require.Equal(t, []string{"5 5 5 5", "5 5 5 5", noCaps, noCaps},
		[]string{status["Uid"][0], status["Gid"][0], status["CapPrm"][0], status["CapEff"][0]})
	require.NotEqual(t, noCaps, spawn[map[string][]string](t, c.User(0, 5))["CapPrm"][0])
}
