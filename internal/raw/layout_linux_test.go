package raw

import (
	"os"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The structs have the sizes that the kernel's headers give them, on every architecture.
func TestLayouts(t *testing.T) {
	require.EqualValues(t, unix.NS_ID_REQ_SIZE_VER0, unsafe.Sizeof(unix.NsIdReq{}))
	require.EqualValues(t, 8, unsafe.Offsetof(unix.NsIdReq{}.Ns_id))
	require.EqualValues(t, 24, unsafe.Offsetof(unix.NsIdReq{}.User_ns_id))
	require.EqualValues(t, unix.MNT_ID_REQ_SIZE_VER1, unsafe.Sizeof(mountRequest{}))
	require.EqualValues(t, 24, unsafe.Offsetof(mountRequest{}.namespace))
	require.EqualValues(t, unix.MNT_NS_INFO_SIZE_VER0, unsafe.Sizeof(mountNamespaceInfo{}))
	require.EqualValues(t, 8, unsafe.Offsetof(mountNamespaceInfo{}.id))
	require.EqualValues(t, unix.PIDFD_GET_INFO>>16&(1<<13-1), unsafe.Sizeof(unix.PidfdInfo{}))
	require.EqualValues(t, 19, unsafe.Offsetof(unix.Dirent{}.Name))
}

func TestPidfdInfoOfThisProcess(t *testing.T) {
	pidfd, errno := OpenPidfd(os.Getpid(), false)
	require.Zero(t, errno)
	defer CloseNoWait(pidfd)
	var info ProcessInfo
	if errno := PidfdInfo(pidfd, &info); errno != 0 {
		t.Logf("no PIDFD_GET_INFO here: %v", errno)
		return
	}
	require.Equal(t, os.Getpid(), info.TGID)
	require.Equal(t, os.Getppid(), info.PPID)
	require.EqualValues(t, os.Getuid(), info.UID)
	require.EqualValues(t, os.Getgid(), info.GID)
}
