package raw

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// FuzzStatMount starts from what the kernel says of each mount of this process.
func FuzzStatMount(f *testing.F) {
	const least = 512
	f.Add(make([]byte, least))
	own := NewPath("/proc/thread-self/ns/mnt")
	if fd, errno := Open(CurrentDir, &own, ForReading); errno == 0 {
		serial, _ := MountSerial(fd)
		ids, _ := ListMounts(serial, nil)
		for _, id := range ids {
			var m MountStat
			buf, errno := StatMount(serial, id, MountSuper|MountBasics|MountTexts|MountSource, nil, &m)
			if errno == 0 {
				f.Add(buf[:1024])
				require.Equal(f, id, m.ID)
				require.NotEmpty(f, m.Type)
			}
		}
		CloseNoWait(fd)
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		var m MountStat
		parseStatMount(append(b, make([]byte, max(0, least-len(b)))...), &m)
	})
}

// FuzzEntry starts from what the kernel lists of /proc.
func FuzzEntry(f *testing.F) {
	dir, err := os.Open("/proc")
	require.NoError(f, err)
	buf := make([]byte, 4096)
	n, err := unix.Getdents(int(dir.Fd()), buf)
	require.NoError(f, err)
	require.NoError(f, dir.Close())
	f.Add(buf[:n])
	f.Fuzz(func(t *testing.T, b []byte) {
		for {
			name, rest, ok := Entry(b)
			if !ok {
				return
			}
			require.Less(t, len(name)+len(rest), len(b))
			b = rest
		}
	})
}
