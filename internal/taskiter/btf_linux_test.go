package taskiter

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/sys"
)

// described is a description of three types: an int, struct outer { int first; union { int second; }; }, and a function.
func described() []byte {
	var text, data []byte
	name := func(s string) uint32 {
		at := len(text)
		text = append(append(text, s...), 0)
		return uint32(at)
	}
	words := func(all ...uint32) {
		for _, w := range all {
			data = binary.NativeEndian.AppendUint32(data, w)
		}
	}
	name("")
	words(name("int"), kindInt<<24, 4, 32)                                   // 1
	words(0, kindUnion<<24|1, 4, name("second"), 1, 0)                       // 2
	words(name("outer"), kindStruct<<24|2, 8, name("first"), 1, 0, 0, 2, 32) // 3
	words(name("alias"), kindTypedef<<24, 3)                                 // 4
	words(name("holder"), kindStruct<<24|1, 16, name("inner"), 4, 64)        // 5
	words(name("run"), kindFunc<<24, 1)                                      // 6
	b := binary.NativeEndian.AppendUint16(nil, typesMagic)
	b = append(b, 1, 0)
	for _, w := range []uint32{24, 0, uint32(len(data)), uint32(len(data)), uint32(len(text))} {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return append(append(b, data...), text...)
}

var some = []typeName{{kindStruct, "outer"}, {kindStruct, "holder"}, {kindFunc, "run"}, {kindFunc, "outer"}}

func TestTypes(t *testing.T) {
	w := writerFor(t, described(), some)
	for _, want := range []struct {
		at        int
		structure string
		path      []string
	}{{0, "outer", []string{"first"}}, {4, "outer", []string{"second"}}, {12, "holder", []string{"inner", "second"}}} {
		require.Equal(t, want.at, w.at(want.structure, want.path...))
		require.NoError(t, w.err)
	}
	require.Equal(t, 16, w.sizeOf("holder"))
	require.EqualValues(t, 6, w.find(kindFunc, "run"))
	require.NoError(t, w.err)
	for _, missing := range [][]string{{"outer", "third"}, {"outer", "first", "second"}, {"nothing", "first"}} {
		w := writer{types: w.types}
		w.at(missing[0], missing[1:]...)
		require.ErrorIs(t, w.err, errors.ErrUnsupported)
	}
	w.find(kindFunc, "outer")
	require.ErrorIs(t, w.err, errors.ErrUnsupported)
}

func writerFor(t *testing.T, description []byte, wanted []typeName) *writer {
	t.Helper()
	types, err := parseTypes(description, wanted)
	require.NoError(t, err)
	return &writer{types: types}
}

func TestBadTypes(t *testing.T) {
	good := described()
	for cut := range len(good) - 60 {
		_, err := parseTypes(good[:cut], some)
		require.ErrorIs(t, err, errTypes, "%d", cut)
	}
}

func FuzzTypes(f *testing.F) {
	f.Add(described())
	f.Fuzz(func(_ *testing.T, b []byte) {
		types, err := parseTypes(b, some)
		if err != nil {
			return
		}
		w := writer{types: types}
		w.at("outer", "second")
		w.at("holder", "inner", "first")
		w.sizeOf("outer")
	})
}

func BenchmarkTypes(b *testing.B) {
	text, err := sys.KernelTypes()
	require.NoError(b, err)
	for b.Loop() {
		_, err := parseTypes(text, wanted)
		require.NoError(b, err)
	}
}

// TestTypesOfAnotherKernel has none of the types that the programs need.
func TestTypesOfAnotherKernel(t *testing.T) {
	types := writerFor(t, described(), wanted).types
	for _, i := range iterators {
		_, err := types.program(i)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.False(t, mayPass(err))
	}
}

// TestTypesOfThemselves has a struct of many nameless members of its own type, each of which would be searched.
func TestTypesOfThemselves(t *testing.T) {
	const members = 100
	text := []byte("\x00outer\x00")
	data := []uint32{1, kindStruct<<24 | members, 8}
	for range members {
		data = append(data, 0, 1, 0)
	}
	b := binary.NativeEndian.AppendUint16(nil, typesMagic)
	b = append(b, 1, 0)
	for _, w := range append([]uint32{24, 0, uint32(4 * len(data)), uint32(4 * len(data)), uint32(len(text))}, data...) {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	w := writerFor(t, append(b, text...), some)
	w.at("outer", "missing")
	require.ErrorIs(t, w.err, errors.ErrUnsupported)
}
