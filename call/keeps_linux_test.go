package call_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// The behaviour of nsfix that its users rely on.

func TestArgumentIsAPointerToTheTypeRegistered(t *testing.T) {
	needBootstrap(t)
	for handler, want := range map[string]string{
		"type of nil":     "<nil>",
		"type of string":  "*string",
		"type of value":   "*call_test.person",
		"type of pointer": "**call_test.person",
		"type of slice":   "*[]int",
	} {
		require.Equal(t, want, spawn[string](t, call.NewCall(handler).TargetPid(os.Getpid())), handler)
	}
}

func TestArgumentAndResultAreCarried(t *testing.T) {
	needBootstrap(t)
	ours := func(name string) *call.Call { return call.NewCall(name).TargetPid(os.Getpid()) }
	ada := person{"Ada\x00 \u2028", 36}
	require.Equal(t, ada, spawn[person](t, ours("person").Arg(ada)))
	require.Equal(t, ada, spawn[person](t, ours("person").Arg(&ada)))
	require.Equal(t, person{}, spawn[person](t, ours("person")), "no argument is the zero value")
	require.Equal(t, "text", spawn[string](t, ours("echo").Arg("text")))
	require.Equal(t, map[string]any{"Name": "", "Age": 1.0}, spawn[any](t, ours("person").Arg(person{Age: 1})))
}

func TestNoResultIsFine(t *testing.T) {
	needBootstrap(t)
	require.NoError(t, call.NewCall("nothing").TargetPid(os.Getpid()).SpawnInNamespaces(nil))
	require.Nil(t, spawn[any](t, call.NewCall("nothing").TargetPid(os.Getpid())))
	require.NoError(t, call.NewCall("look").TargetPid(os.Getpid()).SpawnInNamespaces(nil), "discarded")
}

func TestTargetIsPID1UnlessNamed(t *testing.T) {
	needBootstrap(t)
	_, err := os.Readlink("/proc/1/ns/net")
	got := call.NewCall("nothing").SpawnInNamespaces(nil)
	if err == nil {
		require.NoError(t, got)
		return
	}
	require.ErrorIs(t, err, unix.EACCES)
	e := requireError(t, got, call.StageTarget)
	require.ErrorIs(t, e, unix.EACCES)
	require.ErrorContains(t, e, "process 1")
	require.ErrorContains(t, e, "CAP_SYS_PTRACE")
}

func TestDefaultTypesAreMntUtsIpcNet(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: species.Set(allButUser)})
	theirs, ours := links(t, target, allTypes), spawn[view](t, call.NewCall("look").TargetPid(os.Getpid())).Namespaces
	want := maps.Clone(ours)
	maps.Copy(want, only(theirs, defaultTypes))
	require.Equal(t, want, spawn[view](t, call.NewCall("look").TargetPid(target.PID)).Namespaces)
}

func TestTypesSharedWithTheTargetArePassedOver(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWUTS), Hostname: "just-uts"})
	v := spawn[view](t, call.NewCall("look").TargetPid(target.PID).Namespaces(allTypes))
	require.Equal(t, links(t, target, allTypes), v.Namespaces)
	require.Equal(t, "just-uts", v.Host)
}

func TestOwnPIDSucceeds(t *testing.T) {
	needBootstrap(t)
	v := spawn[view](t, call.NewCall("look").TargetPid(os.Getpid()).Namespaces(allTypes))
	require.Equal(t, os.Getpid(), v.PPID)
	require.Equal(t, os.Getuid(), v.UID)
}

func TestDropPrivsIsNobody(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	v := spawn[view](t, call.NewCall("look").TargetPid(target.PID).DropPrivs())
	require.Equal(t, []int{65534, 65534}, []int{v.UID, v.GID})
	v = spawn[view](t, call.NewCall("look").TargetPid(target.PID))
	require.Equal(t, []int{0, 0}, []int{v.UID, v.GID})
}

func TestEnvironmentIsInherited(t *testing.T) {
	needBootstrap(t)
	t.Setenv("NSOPS_TEST_A", "from the caller")
	t.Setenv("NSOPS_TEST_B", "from the caller")
	v := spawn[view](t, call.NewCall("look").TargetPid(os.Getpid()).
		Env("NSOPS_TEST_B=first", "NSOPS_TEST_C=a=b\nc").Env("NSOPS_TEST_B=second", "NSOPS_TEST_D="))
	require.Subset(t, v.Env, []string{"NSOPS_TEST_A=from the caller", "NSOPS_TEST_B=second", "NSOPS_TEST_C=a=b\nc", "NSOPS_TEST_D="})
	require.NotContains(t, v.Env, "NSOPS_TEST_B=from the caller")
	require.NotContains(t, v.Env, "NSOPS_TEST_B=first")
	v.Env = slices.DeleteFunc(v.Env, func(s string) bool {
		return slices.Contains(os.Environ(), s) || strings.HasPrefix(s, "NSOPS_TEST_")
	})
	require.Len(t, v.Env, 1, "nothing is added but the depth")
}

func TestWorkerHasOneArgument(t *testing.T) {
	needBootstrap(t)
	require.Equal(t, os.Args[:1], spawn[view](t, call.NewCall("look").TargetPid(os.Getpid())).Args)
}

func init() {
	roles["init"] = func([]string) { spawnAndPrint(request{Handler: "look", Pid: os.Getppid()}) }
	if os.Getenv(roleEnv) == "init" {
		call.HandleReexec()
	}
}

func TestHandleReexecFromInit(t *testing.T) {
	needBootstrap(t)
	o := callIn(t, role(t, "init"))
	require.Empty(t, o.Failure)
	require.Contains(t, string(o.Result), `"Host":`)
}

func TestCallMayBeEndedTwice(t *testing.T) {
	needBootstrap(t)
	c := call.NewCall("echo").TargetPid(os.Getpid()).Arg("again")
	require.Equal(t, "again", spawn[string](t, c))
	require.Equal(t, "again", spawn[string](t, c))
}
