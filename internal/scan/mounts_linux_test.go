package scan

import (
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// TestListAgreesWithMountinfo compares mounts of each kind of propagation, as asked for one by one and as text.
func TestListAgreesWithMountinfo(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.NeedKernel(t, 6, 11)
	target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWNS), Setup: `
mount -t tmpfs 'a source' /mnt; mount --make-shared /mnt; mkdir '/mnt/a b' /mnt/slave /mnt/both /mnt/unbindable /mnt/deep
mount --bind /mnt/deep /mnt/slave; mount --make-slave /mnt/slave
mount --bind /mnt/deep /mnt/both; mount --make-slave /mnt/both; mount --make-shared /mnt/both
mount -t tmpfs t /mnt/unbindable; mount --make-unbindable /mnt/unbindable
mount -t tmpfs t '/mnt/a b'; mount -t tmpfs over '/mnt/a b'`})
	s := openedWith(t, func(o *Options) { o.Sources = ^facts.None })
	s.startWorkers()
	n, errno := s.table.open(species.CLONE_NEWNS, func() (int, syscall.Errno) {
		path := raw.NewPath("/proc/" + strconv.Itoa(target.PID) + "/ns/mnt")
		return raw.Open(raw.CurrentDir, &path, raw.ForReading)
	})
	require.Zero(t, errno)
	s.table.member(n, target.PID)
	info, errno := s.workers[0].readMounts(n, target.PID)
	require.Zero(t, errno)
	text := s.workers[0].parseMounts(n, target.PID, info)
	list, errno := s.workers[0].listMounts(n, 0)
	require.Zero(t, errno)
	for _, m := range text.Mounts {
		at := slices.IndexFunc(list.Mounts, func(other facts.Mount) bool { return other.ID == m.ID })
		require.GreaterOrEqual(t, at, 0, "%+v", m)
		require.Equal(t, saidOf(m), saidOf(list.Mounts[at]))
	}
	kinds := map[string]string{}
	for _, m := range text.Mounts {
		kinds[string(m.Point)] = m.Propagation
	}
	require.Regexp(t, `^shared:\d+$`, kinds["/mnt"])
	require.Regexp(t, `^master:\d+$`, kinds["/mnt/slave"])
	require.Regexp(t, `^shared:\d+ master:\d+$`, kinds["/mnt/both"])
	require.Equal(t, "unbindable", kinds["/mnt/unbindable"])
}

// saidOf returns what both ways tell of a mount.
func saidOf(m facts.Mount) []any {
	return []any{m.Parent, m.Dev, m.Root, m.Point, m.Type, m.Source, m.Propagation}
}
