package species

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInitialInode(t *testing.T) {
	want := map[NamespaceType]uint64{
		CLONE_NEWNS: 4026531832, CLONE_NEWNET: 4026531833, CLONE_NEWTIME: 4026531834, CLONE_NEWCGROUP: 4026531835,
		CLONE_NEWPID: 4026531836, CLONE_NEWUSER: 4026531837, CLONE_NEWUTS: 4026531838, CLONE_NEWIPC: 4026531839,
	}
	for _, tt := range types {
		require.Equal(t, want[tt.t], InitialInode(tt.t), tt.name)
		require.True(t, IsInitialInode(InitialInode(tt.t)), tt.name)
	}
	for _, bad := range append(notTypes, NaNS) {
		require.Zero(t, InitialInode(bad))
	}
}

func TestIsInitialInodeIsExact(t *testing.T) {
	for _, ino := range []uint64{0, 1, 4026531831, 4026531840, 4026532000, 1<<32 + 4026531832} {
		require.False(t, IsInitialInode(ino), ino)
	}
}
