package nsenter_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/wire"
)

func itoa(n int) string { return strconv.Itoa(n) }

// FuzzRequest sends any frame with any number of descriptors: the bootstrap grants it or refuses it, and main runs
// only if it was granted.
func FuzzRequest(f *testing.F) {
	f.Add(wire.AppendRequest(nil, wire.Request{Lifeline: -1}), uint8(0))
	f.Add(wire.AppendRequest(nil, wire.Request{Flags: wire.FlagSpawn, Lifeline: 4}), uint8(0))
	f.Add(wire.AppendRequest(nil, wire.Request{Types: unix.CLONE_NEWUTS, FDs: 1, Lifeline: -1}), uint8(1))
	f.Add(wire.AppendRequest(nil, wire.Request{Flags: wire.FlagByFD, Types: unix.CLONE_NEWUTS, FDs: 8, Lifeline: -1}), uint8(8))
	f.Add(wire.AppendRequest(nil, wire.Request{Flags: wire.FlagDropPrivs | wire.FlagRemountSys | wire.FlagSpawn, Lifeline: 4}), uint8(0))
	f.Add([]byte("garbage"), uint8(20))
	f.Fuzz(func(t *testing.T, frame []byte, fds uint8) {
		if len(frame) > 4096 {
			return
		}
		var rights []int
		for range fds % 16 {
			fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			require.NoError(t, err)
			defer func() { _ = unix.Close(fd) }()
			rights = append(rights, fd)
		}
		b := start(t, frame, rights...)
		require.Len(t, b.records, 1)
		switch b.records[0].Kind {
		case wire.KindFailed:
			require.Equal(t, 125, b.status)
			require.Empty(t, b.stdout)
		case wire.KindJoined:
			require.Zero(t, b.status)
			require.Contains(t, b.stdout, "main ran")
		default:
			require.Fail(t, "neither joined nor failed", b.records)
		}
	})
}
