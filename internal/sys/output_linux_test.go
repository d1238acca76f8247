package sys_test

import (
	"bytes"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

// eachOutput runs a test where the kernel refuses descriptors, and where it does not.
func eachOutput(t *testing.T, test func(t *testing.T, ours *sys.Output, theirs *os.File)) {
	for name, old := range map[string]bool{"refused": false, "looked at first": true} {
		t.Run(name, func(t *testing.T) {
			if old {
				defer sys.Pretend(sys.RightsRefusal)()
			}
			testutil.CheckLeaks(t)
			ours, theirs, err := sys.OpenOutput()
			require.NoError(t, err)
			t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
			test(t, ours, theirs)
		})
	}
}

func TestOutputIsRead(t *testing.T) {
	eachOutput(t, func(t *testing.T, ours *sys.Output, theirs *os.File) {
		text := bytes.Repeat([]byte("output "), 1<<18)
		go func() { _, _ = theirs.Write(text); _ = theirs.Close() }()
		got, err := io.ReadAll(ours)
		require.NoError(t, err)
		require.True(t, bytes.Equal(text, got))
	})
}

func TestOutputCanBeStopped(t *testing.T) {
	eachOutput(t, func(t *testing.T, ours *sys.Output, theirs *os.File) {
		require.NoError(t, ours.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		_, err := ours.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		_, err = theirs.WriteString("late")
		require.NoError(t, err)
		require.Equal(t, 4, sys.Buffered(ours.File))
		require.NoError(t, ours.Close())
		_, err = theirs.WriteString("nobody reads")
		require.ErrorIs(t, err, unix.EPIPE)
	})
}

func TestOutputTakesNoDescriptors(t *testing.T) {
	eachOutput(t, func(t *testing.T, ours *sys.Output, theirs *os.File) {
		_, err := theirs.WriteString("plain")
		require.NoError(t, err)
		file := lingering(t)
		err = unix.Sendmsg(int(theirs.Fd()), []byte("descriptor"), unix.UnixRights(file.Int()), nil, 0)
		if err != nil {
			unlinger(t, file)
			return
		}
		require.NoError(t, file.Close(), "not the last")
		_, err = io.ReadAll(ours)
		require.ErrorIs(t, err, sys.ErrDescriptors)
		requireSoon(t, func() { require.NoError(t, ours.Close()) })
	})
}
