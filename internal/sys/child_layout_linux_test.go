package sys

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestLayoutOfChildInfo(t *testing.T) {
	require.GreaterOrEqual(t, unsafe.Sizeof(childInfo{}), unsafe.Sizeof(unix.Siginfo{}))
	require.EqualValues(t, 8, unsafe.Offsetof(childInfo{}.Code))
	require.EqualValues(t, 16+unsafe.Sizeof(uintptr(0)), unsafe.Offsetof(childInfo{}.Status))
}
