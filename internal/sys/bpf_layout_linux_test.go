package sys

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestLayoutOfBPFAttributes has the offsets of union bpf_attr in linux/bpf.h, where pointers have 64 bits everywhere.
func TestLayoutOfBPFAttributes(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		return // not used there
	}
	require.EqualValues(t, 8, unsafe.Offsetof(programAttributes{}.code))
	require.EqualValues(t, 16, unsafe.Offsetof(programAttributes{}.license))
	require.EqualValues(t, 68, unsafe.Offsetof(programAttributes{}.attachType))
	require.EqualValues(t, 108, unsafe.Offsetof(programAttributes{}.function))
	require.EqualValues(t, 8, unsafe.Offsetof(linkAttributes{}.attachType))
	require.EqualValues(t, 12, unsafe.Offsetof(linkAttributes{}.flags))
}
