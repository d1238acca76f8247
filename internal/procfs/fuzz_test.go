package procfs_test

import (
	"os"
	"path/filepath"
	"strings"
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
	require.EqualValues(t, 'Z', s.State)
	for _, bad := range []string{"", ")", "4711 (sh", "4711 (sh) ", "4711 (sh) R 1 2", strings.Repeat(" ", 100),
		statText("sh", "RR", "1", "2"), statText("sh", "R", "x", "2"), statText("sh", "R", "1", "-2"),
		statText("sh", "R", "1", "99999999999999999999"), "1", "1 (", "1 )(", "x (a) S", "1 (a) S 1 2 3", "1 (a)", "99999999999 (a) S 1"} {
		_, ok := procfs.ParseStat([]byte(bad))
		require.False(t, ok, bad)
	}
}

// statText is a /proc/PID/stat with that name, state, flags and start.
func statText(name, state, flags, start string) string {
	return "4711 (" + name + ") " + state + " 1 4711 4711 0 -1 " + flags + " 0 0 0 0 0 0 0 0 20 0 1 0 " + start + " 0 0\n"
}

func TestStatWithAnyName(t *testing.T) {
	for _, name := range []string{"sh", "", "a b", "a) Z 1 2 3", ")", "((", "new\nline", ") S 0 0 0 0 -1 2097152 0", "\xff", "x) "} {
		got, ok := procfs.ParseStat([]byte(statText(name, "R", "4194560", "12345")))
		require.True(t, ok, "%q", name)
		require.Equal(t, procfs.Stat{PID: 4711, PPID: 1, Name: []byte(name), State: 'R', Threads: 1, Start: 12345}, got, "%q", name)
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
	f.Add([]byte(statText("a b", "Z", "1", "2")))
	f.Add([]byte(")"))
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
	require.Equal(t, procfs.Status{TGID: 7, UID: 1000, GID: 4294967294, PIDs: []int{70, 7}}, s)
	_, ok = procfs.ParseStatus([]byte("Name:\tUid:\n"), nil)
	require.False(t, ok)
	for _, bad := range []string{"NSpid:\n", "NSpid:\t1 x\n", "NSpid:\t-1\n", "NSpid:\t9999999999\n"} {
		s, _ = procfs.ParseStatus([]byte(bad), nil)
		require.Empty(t, s.PIDs, bad)
	}
}

func TestCapabilities(t *testing.T) {
	permitted, bounding, ok := procfs.ParseCapabilities([]byte("Groups:\t0\nCapInh:\t0\nCapPrm:\t000001ffffffffff\nCapBnd:\t0000000000000021\n"))
	require.True(t, ok)
	require.Equal(t, []uint64{1<<41 - 1, 0x21}, []uint64{permitted, bounding})
	for _, bad := range []string{"", "\nCapPrm:\t1\n", "\nCapBnd:\t1\n", "\nCapPrm:\t1\nCapBnd:\t1", "\nCapPrm:\tx\nCapBnd:\t1\n"} {
		_, _, ok = procfs.ParseCapabilities([]byte(bad))
		require.False(t, ok, bad)
	}
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte(status))
	f.Add([]byte("Name:\tx\nNSpid:\t17\t1\nNSpgid:\t17\n"))
	addRecorded(f, "/proc/[0-9]*/status")
	f.Fuzz(func(t *testing.T, text []byte) {
		procfs.ParseCapabilities(text)
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
	require.EqualValues(t, uint64(4026531840), inode)
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
	for text, want := range map[string]procfs.FDInfo{
		"pos:\t0\nflags:\t02\nmnt_id:\t9\nino:\t1034\nscm_fds: 2\n": {InFlight: 2},
		"ino:\t1\nPid:\t17\nNSpid:\t17\n":                           {PID: 17, Pidfd: true},
		"Pid:\t-1\n":                                                {PID: -1, Pidfd: true},
		"Pid:\t0\n":                                                 {Pidfd: true},
		"Pid:\tx\n":                                                 {},
		"":                                                          {},
	} {
		require.Equal(t, want, procfs.ParseFDInfo([]byte(text)), text)
	}
}

func FuzzFDInfo(f *testing.F) {
	f.Add([]byte("mnt_id:\t9\nscm_fds: 2\nPid:\t-1\n"))
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
