package sys

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestLayoutOfNamespaceRequest has the numbers of struct ns_id_req in linux/nsfs.h.
func TestLayoutOfNamespaceRequest(t *testing.T) {
	require.EqualValues(t, 32, unsafe.Sizeof(namespaceRequest{}))
	require.EqualValues(t, 8, unsafe.Offsetof(namespaceRequest{}.after))
	require.EqualValues(t, 16, unsafe.Offsetof(namespaceRequest{}.kind))
	require.EqualValues(t, 24, unsafe.Offsetof(namespaceRequest{}.owner))
}
