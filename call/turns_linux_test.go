package call_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// A hostile worker must not report that nothing was started once its handler runs: the caller might run it twice.
func TestHostileFailureAfterTheStartIsRefused(t *testing.T) {
	needBootstrap(t)
	testutil.CheckLeaks(t)
	for _, stage := range []uint16{
		wire.StageTarget, wire.StageSpawn, wire.StageJoin, wire.StageMounts, wire.StagePrivileges, wire.StageHandler, wire.StageProtocol, 77,
	} {
		for _, back := range []bool{true, false} {
			if !back && stage != wire.StageJoin {
				continue // it takes as long as the call may
			}
			r := wire.Record{Kind: wire.KindFailed, Stage: stage, Type: uint32(species.CLONE_NEWNET), Errno: 1, Step: [12]byte{'s', 'e', 't', 'n', 's'}}
			err := endureFor(t, 2*time.Second, ours("forge").Arg(forgery{Record: r, Return: back}))
			e := requireError(t, err, call.StageProtocol)
			require.Equal(t, "receive", e.Op)
			require.Equal(t, species.NaNS, e.Type)
		}
	}
}

func TestHostileRecordsOutOfTurn(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	testutil.CheckLeaks(t)
	for _, kind := range []uint16{wire.KindForked, wire.KindJoined, wire.KindFailed, wire.KindReady, wire.KindCall} {
		for _, types := range []species.NamespaceType{defaultTypes, allTypes} {
			r := wire.Record{Kind: kind}
			if kind == wire.KindForked {
				r.Pid = 1
			}
			c := call.NewCall("forge").Arg(forgery{Record: r, Return: true}).TargetPid(target.PID).Namespaces(types)
			e := requireError(t, endureFor(t, 5*time.Second, c), call.StageProtocol)
			require.Equal(t, "receive", e.Op)
		}
	}
	// A second result does not count, whatever it is.
	r := wire.Record{Kind: wire.KindResult, Size: 4}
	requireError(t, endureFor(t, 5*time.Second, ours("forge").Arg(forgery{Record: r, Body: "null", Return: true})), call.StageProtocol)
}

// No bytes that a worker chooses are printed as they are.
func TestHostileBytesReachNoError(t *testing.T) {
	needBootstrap(t)
	for _, step := range []string{"\x1b[2J\x1b]0;x\a", "a\nb", "\x9b31m", "\u202e", "\xff\xfe"} {
		r := wire.Record{Kind: wire.KindFailed, Stage: wire.StageJoin, Errno: 1}
		copy(r.Step[:], step)
		err := endureFor(t, 5*time.Second, ours("forge").Arg(forgery{Record: r, Return: true}))
		require.Error(t, err)
		require.Regexp(t, `^[ -~]*$`, err.Error())
	}
}
