package scan

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUserNames(t *testing.T) { require.Equal(t, "root", userNames()[0]) }

func FuzzUsers(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\nroot2:x:0:0\n:x:1:\n")
	f.Fuzz(func(t *testing.T, text string) {
		for uid, name := range parseUsers(text) {
			require.NotEmpty(t, name)
			require.Contains(t, text, name+":", "%d", uid)
		}
	})
}
