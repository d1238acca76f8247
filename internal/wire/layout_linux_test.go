package wire_test

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/wire"
)

// The layouts are those of nsenter.h, which holds for every architecture: no padding, no pointer, no long.
func TestLayouts(t *testing.T) {
	var q wire.Request
	var r wire.Record
	for name, test := range map[string]struct{ got, want uintptr }{
		"request":  {unsafe.Sizeof(q), wire.RequestSize},
		"flags":    {unsafe.Offsetof(q.Flags), 4},
		"types":    {unsafe.Offsetof(q.Types), 8},
		"uid":      {unsafe.Offsetof(q.UID), 12},
		"gid":      {unsafe.Offsetof(q.GID), 16},
		"lifeline": {unsafe.Offsetof(q.Lifeline), 20},
		"fds":      {unsafe.Offsetof(q.FDs), 24},
		"order":    {unsafe.Offsetof(q.Order), 28},
		"bits":     {unsafe.Offsetof(q.Securebits), 60},
		"lose":     {unsafe.Offsetof(q.Lose), 64},
		"unbound":  {unsafe.Offsetof(q.Unbound), 72},
		"record":   {unsafe.Sizeof(r), wire.RecordSize},
		"kind":     {unsafe.Offsetof(r.Kind), 4},
		"stage":    {unsafe.Offsetof(r.Stage), 6},
		"type":     {unsafe.Offsetof(r.Type), 8},
		"errno":    {unsafe.Offsetof(r.Errno), 12},
		"pid":      {unsafe.Offsetof(r.Pid), 16},
		"step":     {unsafe.Offsetof(r.Step), 20},
		"size":     {unsafe.Offsetof(r.Size), 32},
	} {
		require.Equal(t, test.want, test.got, name)
	}
	require.Len(t, wire.AppendRequest(nil, q), wire.RequestSize)
	require.Len(t, wire.AppendRecord([]byte("x"), r), 1+wire.RecordSize)
	require.Less(t, wire.RecordSize, wire.MaxMessage)
}
