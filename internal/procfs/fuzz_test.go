package procfs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/species"
)

const stat = "4242 (a) (b\nc) S 1 4242 4242 0 -1 4194560 106 0 0 0 0 0 0 0 20 0 3 0 36147 2703360 417 18446744073709551615 1 1 0\n"

func TestStat(t *testing.T) {
	s, ok := procfs.ParseStat([]byte(stat))
	require.True(t, ok)
	require.Equal(t, procfs.Stat{PID: 4242, PPID: 1, Name: []byte("a) (b\nc"), State: 'S', Threads: 3, Start: 36147}, s)
	s, ok = procfs.ParseStat([]byte("2 (kthreadd) Z 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0"))
	require.True(t, ok)
	require.True(t, s.KernelThread)
	require.True(t, s.Zombie())
	for _, bad := range []string{"", "1", "1 (", "1 )(", "x (a) S", "1 (a) S 1 2 3", "1 (a)", "99999999999 (a) S 1"} {
		_, ok := procfs.ParseStat([]byte(bad))
		require.False(t, ok, bad)
	}
}

// addRecorded adds what the kernel of this machine writes, if it is Linux.
func addRecorded(f *testing.F, pattern string) {
	names, err := filepath.Glob(pattern)
	require.NoError(f, err)
	const enough = 64
	for _, name := range names[:min(len(names), enough)] {
		if text, err := os.ReadFile(name); err == nil {
			f.Add(text)
		}
	}
}

func FuzzStat(f *testing.F) {
	f.Add([]byte(stat))
	f.Add([]byte("1 (\xff\xfe) S 1"))
	addRecorded(f, "/proc/[0-9]*/stat")
	f.Fuzz(func(t *testing.T, text []byte) {
		s, ok := procfs.ParseStat(text)
		require.False(t, ok && (s.PID < 0 || s.PPID < 0))
	})
}

const status = "Name:\tcat\nUmask:\t0022\nTgid:\t7\nNgid:\t0\nPid:\t7\nUid:\t1000\t0\t0\t0\nGid:\t4294967294\t0\t0\t0\nNStgid:\t70\t7\nNSpid:\t70\t7\nNSsid:\t0\n"

func TestStatus(t *testing.T) {
	s, ok := procfs.ParseStatus([]byte(status), nil)
	require.True(t, ok)
	require.Equal(t, procfs.Status{UID: 1000, GID: 4294967294, PIDs: []int{70, 7}}, s)
	_, ok = procfs.ParseStatus([]byte("Name:\tUid:\n"), nil)
	require.False(t, ok)
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte(status))
	addRecorded(f, "/proc/[0-9]*/status")
	f.Fuzz(func(t *testing.T, text []byte) {
		s, _ := procfs.ParseStatus(text, nil)
		for _, pid := range s.PIDs {
			require.GreaterOrEqual(t, pid, 0)
		}
	})
}

func TestLink(t *testing.T) {
	kind, inode, ok := procfs.ParseLink([]byte("net:[4026531840]"))
	require.True(t, ok)
	require.Equal(t, species.CLONE_NEWNET, kind)
	require.Equal(t, uint64(4026531840), inode)
	for _, bad := range []string{"", "net:", "net:[]", "net:[0]", "net:[1", "foo:[1]", "net:[99999999999999999999]", "/net:[1]"} {
		_, _, ok := procfs.ParseLink([]byte(bad))
		require.False(t, ok, bad)
	}
	inode, ok = procfs.ParseSocket([]byte("socket:[77]"))
	require.True(t, ok)
	require.EqualValues(t, 77, inode)
}

func FuzzLink(f *testing.F) {
	f.Add([]byte("pid_for_children:[1]"))
	f.Add([]byte("time:[4026531834]"))
	f.Add([]byte("socket:[4]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		kind, inode, ok := procfs.ParseLink(text)
		require.Equal(t, ok, kind != species.NaNS && inode != 0)
		procfs.ParseSocket(text)
	})
}

const cgroups = "12:freezer:/a b\n5:cpu,cpuacct:/x:y\n1:name=systemd:/z\n0::/init.scope\n"

func TestCgroups(t *testing.T) {
	var found []string
	for c, rest, ok := procfs.NextCgroup([]byte(cgroups)); ok; c, rest, ok = procfs.NextCgroup(rest) {
		found = append(found, string(c.Controllers)+"="+string(c.Path))
	}
	require.Equal(t, []string{"freezer=/a b", "cpu,cpuacct=/x:y", "name=systemd=/z", "=/init.scope"}, found)
}

func FuzzCgroups(f *testing.F) {
	f.Add([]byte(cgroups))
	addRecorded(f, "/proc/[0-9]*/cgroup")
	f.Fuzz(func(t *testing.T, text []byte) {
		for c, rest, ok := procfs.NextCgroup(text); ok; c, rest, ok = procfs.NextCgroup(rest) {
			require.EqualValues(t, '/', c.Path[0])
		}
	})
}

func TestFDInfo(t *testing.T) {
	text := "pos:\t0\nflags:\t02\nmnt_id:\t9\nino:\t1034\nscm_fds: 2\niff:\ttap0\n"
	require.Equal(t, procfs.FDInfo{MountID: 9, Inode: 1034, InFlight: 2, Device: []byte("tap0")}, procfs.ParseFDInfo([]byte(text)))
}

func FuzzFDInfo(f *testing.F) {
	f.Add([]byte("mnt_id:\t9\nscm_fds: 2\n"))
	addRecorded(f, "/proc/self/fdinfo/*")
	f.Fuzz(func(_ *testing.T, text []byte) { procfs.ParseFDInfo(text) })
}

const mountinfo = `21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
30 21 0:4 net:[4026532300] /run/netns/a\040b rw shared:3 master:2 - nsfs nsfs rw
31 21 0:30 / /mnt/x\134y rw - tmpfs nsfs rw
32 31 0:4 mnt:[4026532301] /mnt/m rw - nsfs nsfs rw
`

func TestMounts(t *testing.T) {
	var points []string
	for m, rest, ok := procfs.NextMount([]byte(mountinfo)); ok; m, rest, ok = procfs.NextMount(rest) {
		points = append(points, string(procfs.Unescape(nil, m.Point)))
	}
	require.Equal(t, []string{"/", "/run/netns/a b", `/mnt/x\y`, "/mnt/m"}, points)

	m, _, ok := procfs.NextMount([]byte(mountinfo[len(mountinfo)-50:] + mountinfo))
	require.True(t, ok)
	require.Equal(t, 21, m.ID)
	require.EqualValues(t, 254, m.Major)
	require.Equal(t, "shared:1", string(m.Propagation))
	require.Equal(t, "rw", string(m.SuperBlockOpt))
}

func TestPins(t *testing.T) {
	var roots []string
	for m, rest, ok := procfs.NextPin([]byte(mountinfo)); ok; m, rest, ok = procfs.NextPin(rest) {
		roots = append(roots, string(m.Root)+" "+string(m.Propagation))
	}
	require.Equal(t, []string{"net:[4026532300] shared:3 master:2", "mnt:[4026532301] "}, roots)
}

func FuzzMounts(f *testing.F) {
	f.Add([]byte(mountinfo))
	addRecorded(f, "/proc/self/mountinfo")
	f.Add([]byte(" - nsfs \n - nsfs nsfs\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		pins := 0
		for m, rest, ok := procfs.NextMount(text); ok; m, rest, ok = procfs.NextMount(rest) {
			if string(m.Type) == "nsfs" {
				pins++
			}
			require.NotEmpty(t, m.Point)
		}
		for _, rest, ok := procfs.NextPin(text); ok; _, rest, ok = procfs.NextPin(rest) {
			pins--
		}
		require.GreaterOrEqual(t, pins, 0, "of a line that ends after nsfs there is no mount to be had")
	})
}

func FuzzUnescape(f *testing.F) {
	f.Add([]byte(`/a\040b\`))
	f.Fuzz(func(t *testing.T, text []byte) {
		require.LessOrEqual(t, len(procfs.Unescape(nil, text)), len(text))
	})
}
