package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/wire"
)

// full are records with all fields set that their kind has.
var full = map[uint16]wire.Record{
	wire.KindForked: {Pid: 1 << 30},
	wire.KindJoined: {},
	wire.KindFailed: {Stage: wire.StageJoin, Type: 1 << 30, Errno: 4095, Pid: -2, Step: [12]byte([]byte("twelve bytes"))},
	wire.KindReady:  {},
	wire.KindCall:   {Pid: 1 << 30, Type: 7, Size: 1 << 63},
	wire.KindResult: {Stage: wire.OutcomeFailure, Size: 1 << 63},
}

func TestRecordsComeBack(t *testing.T) {
	for kind := uint16(wire.KindForked); kind <= wire.KindResult; kind++ {
		want, ok := full[kind]
		require.True(t, ok)
		want.Magic, want.Kind = wire.Magic, kind
		got, err := wire.ParseRecord(wire.AppendRecord(nil, want))
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.NoError(t, got.Check())
		if kind == wire.KindFailed {
			require.Equal(t, "twelve bytes", got.StepName())
		}
	}
}

func TestFailuresThatTheBootstrapDoesNotSend(t *testing.T) {
	for name, change := range map[string]func(*wire.Record){
		"stage 0":         func(r *wire.Record) { r.Stage = 0 },
		"stage 77":        func(r *wire.Record) { r.Stage = 77 },
		"stage target":    func(r *wire.Record) { r.Stage = wire.StageTarget },
		"stage handler":   func(r *wire.Record) { r.Stage = wire.StageHandler },
		"two types":       func(r *wire.Record) { r.Type = 0x60000000 },
		"no type":         func(r *wire.Record) { r.Type = 1 },
		"errno -1":        func(r *wire.Record) { r.Errno = -1 },
		"errno 4096":      func(r *wire.Record) { r.Errno = 4096 },
		"a body":          func(r *wire.Record) { r.Size = 1 },
		"escape":          func(r *wire.Record) { r.Step[3] = 0x1b },
		"line":            func(r *wire.Record) { r.Step[3] = '\n' },
		"C1":              func(r *wire.Record) { r.Step[3] = 0x9b },
		"behind its end":  func(r *wire.Record) { r.Step[3] = 0 },
		"DEL at its end":  func(r *wire.Record) { r.Step[11] = 0x7f },
		"all of it bytes": func(r *wire.Record) { *r = wire.Record{Kind: r.Kind, Stage: r.Stage, Step: [12]byte{255, 254, 253}} },
	} {
		r := full[wire.KindFailed]
		r.Kind = wire.KindFailed
		require.NoError(t, r.Check())
		change(&r)
		err := r.Check()
		require.Error(t, err, name)
		require.Regexp(t, `^[ -~]*$`, err.Error(), name)
	}
}

func TestInvalidRecords(t *testing.T) {
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
	for kind, r := range full {
		r.Kind = kind
		f.Add(wire.AppendRecord(nil, r))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		r, err := wire.ParseRecord(frame)
		if err == nil {
			require.Equal(t, frame, wire.AppendRecord(nil, r))
			err = r.Check()
		}
		if err != nil {
			require.Regexp(t, `^[ -~]*$`, err.Error())
			return
		}
		require.Regexp(t, `^[ -~]*$`, r.StepName())
		require.LessOrEqual(t, len(r.StepName()), 12)
	})
}
