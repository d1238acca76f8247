package call

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/wire"
)

// A worker whose caller has no file for a long result is not kept waiting for it, and can still report that.
func TestWorkerWaitsForNoFileThatDoesNotCome(t *testing.T) {
	testutil.CheckLeaks(t)
	ours, theirs, err := sys.Socketpair()
	require.NoError(t, err)
	inbox, err := sys.NewInbox(ours)
	require.NoError(t, err)
	defer func() { _, _ = inbox.Close(), theirs.Close() }()

	var old unix.Rlimit
	require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &old))
	require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: old.Max}, nil))
	file := sendFile(inbox)
	require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, &old, nil))
	require.Nil(t, file)

	require.ErrorIs(t, sendOutcome(theirs, wire.OutcomeFailure, make([]byte, wire.MaxInline+1)), errNoFile)
	require.NoError(t, sendOutcome(theirs, wire.OutcomeFailure, []byte("{}")))
	m, err := receive(inbox, make([]byte, wire.MaxMessage))
	require.NoError(t, err)
	require.Equal(t, "{}", string(m.inline))
}
