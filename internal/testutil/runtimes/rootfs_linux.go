package runtimes

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// OnlyHere is a file that the containers have and the machine lacks, OnlyHereText its content.
const (
	OnlyHere     = "/etc/nsops-container"
	OnlyHereText = "only in the container\n"
)

// UserBase is the UID and GID of the root of containers with a user namespace, which map 65536 IDs from there on.
const UserBase = 100000

// makeBundle creates a folder with a busybox system in rootfs, which every user can reach, and returns its path.
func makeBundle(t testing.TB, owner int) string {
	t.Helper()
	bundle := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(bundle), 0o755)) // the container's root must reach it
	rootfs := filepath.Join(bundle, "rootfs")
	for _, dir := range []string{"bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"} {
		require.NoError(t, os.MkdirAll(filepath.Join(rootfs, dir), 0o755))
	}
	busybox, err := exec.LookPath("busybox")
	require.NoError(t, err)
	run(t, "cp", busybox, filepath.Join(rootfs, "bin/busybox"))
	run(t, "chroot", rootfs, "/bin/busybox", "--install", "-s", "/bin")
	require.NoError(t, os.WriteFile(rootfs+OnlyHere, []byte(OnlyHereText), 0o644))
	require.NoError(t, os.WriteFile(rootfs+"/etc/os-release", []byte("ID=nsops\n"), 0o644))
	run(t, "chmod", "-R", "go+rX", bundle) // with any umask
	require.NoError(t, filepath.WalkDir(rootfs, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, owner, owner)
	}))
	return bundle
}
