package call_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// Without MustDiffer, the handler of a target in our own namespaces runs here, without an error.
func TestTargetInOurOwnNamespaceIsRefusedWhereItMustDiffer(t *testing.T) {
	testutil.CheckLeaks(t)
	target := startTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWNS | species.CLONE_NEWUTS)})
	const mnt, net, user = species.CLONE_NEWNS, species.CLONE_NEWNET, species.CLONE_NEWUSER
	for name, test := range map[string]struct {
		call *call.Call
		typ  species.NamespaceType
	}{
		"ourselves":          {call.NewCall("look").TargetPid(os.Getpid()).MustDiffer(net), net},
		"PID 1 by default":   {call.NewCall("look").MustDiffer(mnt), mnt},
		"shared network":     {call.NewCall("look").TargetPid(target.PID).MustDiffer(mnt, net), net},
		"is not joined":      {call.NewCall("look").TargetPid(target.PID).Namespaces(mnt).MustDiffer(user), user},
		"one of a set":       {call.NewCall("look").TargetPid(target.PID).MustDiffer(mnt | net), net},
		"with DropPrivs set": {call.NewCall("look").TargetPid(target.PID).DropPrivs().MustDiffer(net), net},
	} {
		if name == "PID 1 by default" && !inspectable(1) {
			continue
		}
		requireNothingStarted(t, func() {
			for _, err := range []error{test.call.SpawnInNamespaces(nil), test.call.SwitchToNamespaces()} {
				e := requireError(t, err, call.StageTarget)
				require.ErrorIs(t, err, call.ErrSameNamespace, name)
				require.Equal(t, test.typ, e.Type, name)
			}
		})
	}
	v := spawn[view](t, call.NewCall("look").TargetPid(target.PID).MustDiffer(mnt, species.CLONE_NEWUTS))
	require.Equal(t, "nsops-target", v.Host)
	v = spawn[view](t, call.NewCall("look").TargetPid(target.PID).Namespaces(mnt).MustDiffer(species.CLONE_NEWUTS))
	require.NotEqual(t, "nsops-target", v.Host, "MustDiffer joins nothing")
}

func inspectable(pid int) bool {
	p, err := sys.OpenProcess(pid)
	if err != nil {
		return false
	}
	defer func() { _ = p.Close() }()
	_, err = p.NamespaceID(species.CLONE_NEWNS)
	return err == nil
}

// A type is compared with the namespace that a child of the calling thread starts in.
func TestOurOwnNamespaceIsTheCallingThreads(t *testing.T) {
	testutil.CheckLeaks(t)
	startTarget(t, testutil.TargetOptions{}) // asks for what the test needs
	onNewThread(func() {
		if err := sys.Unshare(int(species.CLONE_NEWUTS)); err != nil {
			t.Error(err)
		}
		if err := call.NewCall("nothing").TargetPid(os.Getppid()).MustDiffer(species.CLONE_NEWUTS).SpawnInNamespaces(nil); err != nil {
			t.Error(err)
		}
	})
}

func TestMustDifferRefusesOtherValues(t *testing.T) {
	needBootstrap(t)
	err := call.NewCall("nothing").TargetPid(os.Getpid()).MustDiffer(0x4000).SpawnInNamespaces(nil)
	require.ErrorContains(t, requireError(t, err, call.StageTarget), "types that must differ")
}
