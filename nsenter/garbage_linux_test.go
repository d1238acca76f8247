package nsenter_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/wire"
)

// descriptors returns n of them, which are closed when the test ends.
func descriptors(t testing.TB, n int) (fds []int) {
	t.Helper()
	for range n {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		t.Cleanup(func() { _ = unix.Close(fd) })
		fds = append(fds, fd)
	}
	return fds
}

// target returns a pidfd of a process in other namespaces.
func target(t testing.TB) (pid, fd int) {
	t.Helper()
	testutil.NeedRoot(t)
	pid = testutil.StartTarget(t, testutil.TargetOptions{}).PID
	fd, err := unix.PidfdOpen(pid, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	return pid, fd
}

func TestRequestOfNothingIsGranted(t *testing.T) {
	b := start(t, wire.AppendRequest(nil, wire.Request{Lifeline: -1}))
	require.Equal(t, "main ran {3 -1 false false} true\n", b.stdout)
	require.Len(t, b.records, 1)
	require.EqualValues(t, wire.KindJoined, b.records[0].Kind)
	b = start(t, wire.AppendRequest(nil, wire.Request{Flags: wire.FlagSpawn, Lifeline: 4}))
	require.Equal(t, "main ran {3 4 true false} true\n", b.stdout)
	require.Empty(t, b.stderr)
}

func TestGarbageIsRefused(t *testing.T) {
	_, pidfd := target(t)
	const net, uts = unix.CLONE_NEWNET, unix.CLONE_NEWUTS
	null := descriptors(t, 12)
	valid := wire.Request{Types: net, FDs: 1, Order: [8]uint32{net}, Lifeline: -1}
	frame := func(r wire.Request) []byte { return wire.AppendRequest(nil, r) }
	magic := frame(valid)
	binary.NativeEndian.PutUint32(magic, wire.Magic+1)
	for name, test := range map[string]struct {
		frame []byte
		fds   []int
		stage uint16
	}{
		"magic":          {magic, []int{pidfd}, wire.StageProtocol},
		"empty":          {nil, nil, wire.StageProtocol},
		"one byte":       {[]byte("x"), nil, wire.StageProtocol},
		"short":          {frame(valid)[:wire.RequestSize-1], []int{pidfd}, wire.StageProtocol},
		"long":           {append(frame(valid), 0), []int{pidfd}, wire.StageProtocol},
		"very long":      {append(frame(valid), make([]byte, 9000)...), []int{pidfd}, wire.StageProtocol},
		"no fds":         {frame(valid), nil, wire.StageProtocol},
		"two fds":        {frame(valid), []int{pidfd, pidfd}, wire.StageProtocol},
		"too many fds":   {frame(wire.Request{Types: net, FDs: 12, Lifeline: -1}), null, wire.StageProtocol},
		"one too many":   {frame(wire.Request{Types: net, FDs: 10, Order: [8]uint32{net}, Lifeline: -1}), append([]int{pidfd}, null[:9]...), wire.StageProtocol},
		"root no fds":    {frame(wire.Request{Flags: wire.FlagRoot, Lifeline: -1}), nil, wire.StageProtocol},
		"root alone":     {frame(wire.Request{Flags: wire.FlagRoot, Types: net, FDs: 1, Order: [8]uint32{net}, Lifeline: -1}), []int{pidfd}, wire.StageProtocol},
		"no directory":   {frame(wire.Request{Flags: wire.FlagRoot, FDs: 1, Lifeline: -1}), null[:1], wire.StageJoin},
		"more than said": {frame(wire.Request{Lifeline: -1}), []int{pidfd}, wire.StageProtocol},
		"less than said": {frame(wire.Request{Types: net, FDs: 8, Lifeline: -1}), []int{pidfd}, wire.StageProtocol},
		"count of fds":   {frame(wire.Request{Types: net, FDs: 1 << 31, Lifeline: -1}), []int{pidfd}, wire.StageProtocol},
		"types no fds":   {frame(wire.Request{Types: net, Lifeline: -1}), nil, wire.StageProtocol},
		"no lifeline":    {frame(wire.Request{Flags: wire.FlagSpawn, Lifeline: -1}), nil, wire.StageProtocol},
		"stdio lifeline": {frame(wire.Request{Flags: wire.FlagSpawn, Lifeline: 0}), nil, wire.StageProtocol},
		"channel":        {frame(wire.Request{Flags: wire.FlagSpawn, Lifeline: 3}), nil, wire.StageProtocol},
		"lifeline":       {frame(wire.Request{Flags: wire.FlagSpawn, Lifeline: 77}), nil, wire.StageSpawn},
		"not a type":     {frame(wire.Request{Types: 0x4000, FDs: 1, Order: [8]uint32{0x4000}, Lifeline: -1}), []int{pidfd}, wire.StageProtocol},
		"all bits":       {frame(wire.Request{Types: 0xffffffff, FDs: 1, Order: [8]uint32{0xffffffff}, Lifeline: -1}), []int{pidfd}, wire.StageProtocol},
		"no pidfd":       {frame(valid), null[:1], wire.StageJoin},
		"no namespace": {frame(wire.Request{Flags: wire.FlagByFD, Types: net, FDs: 1, Order: [8]uint32{net}, Lifeline: -1}),
			null[:1], wire.StageJoin},
		"types and order": {frame(wire.Request{Flags: wire.FlagByFD, Types: net | uts, FDs: 1, Order: [8]uint32{net}, Lifeline: -1}),
			null[:1], 0},
		"no order":  {frame(wire.Request{Flags: wire.FlagByFD, Types: net, FDs: 1, Lifeline: -1}), null[:1], wire.StageProtocol},
		"no order2": {frame(wire.Request{Types: net, FDs: 1, Lifeline: -1}), null[:1], wire.StageProtocol},
	} {
		b := start(t, test.frame, test.fds...)
		require.Equal(t, 125, b.status, "%s: %s", name, b.stdout)
		require.NotContains(t, b.stdout, "main ran", name)
		requireFailed(t, b, test.stage, name)
	}
}

// requireFailed asks for one FAILED record. Stage 0 is any.
func requireFailed(t testing.TB, b boot, stage uint16, name string) {
	t.Helper()
	require.Len(t, b.records, 1, name)
	r := b.records[0]
	require.EqualValues(t, wire.KindFailed, r.Kind, name)
	require.NotZero(t, r.Errno, name)
	require.NotEmpty(t, r.StepName(), name)
	if stage != 0 {
		require.Equal(t, stage, r.Stage, "%s at %s", name, r.StepName())
	}
}

// A request with unknown flags must fail, not be obeyed in part.
func TestUnknownFlagsAreRefused(t *testing.T) {
	b := start(t, wire.AppendRequest(nil, wire.Request{Flags: 1 << 20, Lifeline: -1}))
	require.Equal(t, 125, b.status, b.stdout)
	requireFailed(t, b, wire.StageProtocol, "flags")
}

func TestFailureToJoinNamesTheType(t *testing.T) {
	pid, pidfd := target(t)
	ns, err := unix.Open("/proc/"+itoa(pid)+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	defer func() { _ = unix.Close(ns) }()
	// A descriptor of a namespace of another type than the request says.
	r := wire.Request{Flags: wire.FlagByFD, Types: unix.CLONE_NEWUTS, FDs: 1, Order: [8]uint32{unix.CLONE_NEWUTS}, Lifeline: -1}
	b := start(t, wire.AppendRequest(nil, r), ns)
	requireFailed(t, b, wire.StageJoin, "type")
	require.EqualValues(t, unix.CLONE_NEWUTS, b.records[0].Type)
	require.EqualValues(t, unix.EINVAL, b.records[0].Errno)
	// Our own user namespace cannot be joined. Then nothing else is joined.
	r = wire.Request{Types: unix.CLONE_NEWUTS | unix.CLONE_NEWUSER, FDs: 1, Lifeline: -1,
		Order: [8]uint32{unix.CLONE_NEWUTS, unix.CLONE_NEWUSER}}
	b = start(t, wire.AppendRequest(nil, r), pidfd)
	requireFailed(t, b, wire.StageJoin, "user")
	require.EqualValues(t, unix.CLONE_NEWUSER, b.records[0].Type)
	require.Equal(t, 125, b.status)
}

func TestSeveralRequestsAreOne(t *testing.T) {
	frame := wire.AppendRequest(nil, wire.Request{Lifeline: -1})
	require.Equal(t, 125, start(t, bytes.Repeat(frame, 2)).status)
}
