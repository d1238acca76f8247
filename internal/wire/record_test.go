package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/wire"
)

func TestRecordsComeBack(t *testing.T) {
	for kind := uint16(wire.KindForked); kind <= wire.KindResult; kind++ {
		want := wire.Record{Magic: wire.Magic, Kind: kind, Stage: 4, Type: 1 << 31, Errno: -1, Pid: 1 << 30, Size: 1 << 63}
		copy(want.Step[:], "twelve bytes")
		got, err := wire.ParseRecord(wire.AppendRecord(nil, want))
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, "twelve bytes", got.StepName())
	}
}

func TestRecordsThatAreNone(t *testing.T) {
	valid := wire.AppendRecord(nil, wire.Record{Kind: wire.KindReady})
	for name, frame := range map[string][]byte{
		"nothing": nil, "short": valid[:len(valid)-1], "long": append(valid[:len(valid):len(valid)], 0),
		"magic": append([]byte{^valid[0]}, valid[1:]...), "zeros": make([]byte, wire.RecordSize),
		"kind 0": wire.AppendRecord(nil, wire.Record{}), "kind": wire.AppendRecord(nil, wire.Record{Kind: wire.KindResult + 1}),
	} {
		_, err := wire.ParseRecord(frame)
		require.Error(t, err, name)
	}
}

func TestStepNames(t *testing.T) {
	for step, want := range map[[12]byte]string{
		{}: "", {'s', 'e', 't'}: "set", {'a', 0, 'b'}: "a", {0, 'b'}: "",
	} {
		require.Equal(t, want, wire.Record{Step: step}.StepName())
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add(wire.AppendRecord(nil, wire.Record{Kind: wire.KindFailed, Stage: wire.StageJoin}))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, err := wire.ParseRecord(frame)
		if err != nil {
			return
		}
		require.Equal(t, frame, wire.AppendRecord(nil, r))
		require.LessOrEqual(t, len(r.StepName()), 12)
	})
}
