package handle_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// Whatever fails says what was done to what, and can be taken apart.
func TestEveryErrorIsAnError(t *testing.T) {
	testutil.CheckLeaks(t)
	none, user := handle.None(), handle.Of(species.CLONE_NEWUSER)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	ended := handle.LockThread()
	ended.Unlock()
	var h handle.FileHandle
	for name, err := range map[string]error{
		"Set":             handle.Set(none),
		"Setns":           handle.Setns(none, 0),
		"Close":           none.Close(),
		"GetFromPath":     second(handle.GetFromPath("/proc/self/status")),
		"GetFromName":     second(handle.GetFromName("no/name")),
		"Of GetFromName":  second(user.GetFromName("no-such-name")),
		"GetFromPid":      second(handle.GetFromPid(-1)),
		"GetFromThread":   second(handle.GetFromThread(os.Getpid(), -1)),
		"GetFromDocker":   second(handle.GetFromDocker("")),
		"GetFromSocket":   second(handle.GetFromSocket(-1)),
		"NewNamed":        second(handle.NewNamed("a/b")),
		"DeleteNamed":     handle.DeleteNamed("no/name"),
		"Of DeleteNamed":  user.DeleteNamed("no-such-name"),
		"Pin":             handle.Of(species.CLONE_NEWNET).Pin("x", none),
		"Of New":          second(user.New()),
		"Of Set":          user.Set(none),
		"Of List":         second(handle.Of(0).List()),
		"Create":          second(handle.Create(species.AllNS)),
		"Go":              handle.Go(func() {}, none),
		"Execute":         second(handle.Execute(func() int { return 0 }, none)),
		"ExecuteContext":  second(handle.ExecuteContext(cancelled, func(context.Context) int { return 0 })),
		"MayJoin":         handle.MayJoin(none),
		"Visit":           handle.Visit(func() {}, none),
		"Thread.Visit":    ended.Visit(func() {}),
		"OpenProcess":     second(handle.OpenProcess(-1)),
		"OpenRoot":        second(handle.OpenRoot(none)),
		"Serial":          second(handle.Serial(none)),
		"NewFileHandle":   second(handle.NewFileHandle(none)),
		"UnmarshalBinary": h.UnmarshalBinary(nil),
		"NewPortable":     second(handle.NewPortable(none)),
		"Portable.Open":   second(handle.Portable{}.Open()),
		"TranslatePID":    second(handle.TranslatePID(0, nil, nil)),
		"Dup":             second(none.Dup()),
	} {
		var e *handle.Error
		require.ErrorAs(t, err, &e, name)
		require.NotEmpty(t, e.Op, name)
		require.NotEmpty(t, e.Ref, name)
		require.Error(t, errors.Unwrap(err), name)
		require.Contains(t, err.Error(), e.Err.Error(), name)
		require.NotContains(t, err.Error(), "\n", name)
	}
}

func second[T any](_ T, err error) error { return err }
