package sys

import (
	"os"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestLayoutOfPidfdInfo(t *testing.T) {
	require.EqualValues(t, 64, unsafe.Sizeof(pidfdInfo{}))
	require.EqualValues(t, 24, unsafe.Offsetof(pidfdInfo{}.PPID))
	require.EqualValues(t, 60, unsafe.Offsetof(pidfdInfo{}.ExitCode))
	require.EqualValues(t, uint(0xc040ff0b), pidfdGetInfo)
}

func TestPidfdKnowsTheParent(t *testing.T) {
	p, err := OpenProcess(os.Getpid())
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	info, err := p.info()
	if err != nil {
		t.Logf("no PIDFD_GET_INFO here: %v", err)
		return
	}
	require.EqualValues(t, os.Getppid(), info.PPID)
	require.EqualValues(t, os.Getpid(), info.TGID)
}
