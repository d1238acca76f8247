package handle_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func itoa(n int) string { return strconv.Itoa(n) }

// pinToOneCPU is for the rest of the process, which runs this test only.
func pinToOneCPU(t *testing.T) {
	t.Helper()
	var one unix.CPUSet
	one.Set(0)
	entries, err := unixThreads()
	require.NoError(t, err)
	for _, tid := range entries {
		_ = unix.SchedSetaffinity(tid, &one)
	}
}

func unixThreads() ([]int, error) {
	fd, err := unix.Open("/proc/self/task", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }()
	buffer := make([]byte, 1<<16)
	n, err := unix.Getdents(fd, buffer)
	_, _, names := unix.ParseDirent(buffer[:max(n, 0)], -1, nil)
	var tids []int
	for _, name := range names {
		if tid, err := strconv.Atoi(name); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, err
}

// dropCapabilities takes all rights from the calling thread.
func dropCapabilities(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Error(err)
	}
}
