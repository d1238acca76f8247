package sys_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/internal/sys"
)

// statText is a /proc/PID/stat with that name, state, flags and start.
func statText(name, state, flags, start string) string {
	return "4711 (" + name + ") " + state + " 1 4711 4711 0 -1 " + flags + " 0 0 0 0 0 0 0 0 20 0 1 0 " + start + " 0 0\n"
}

func TestParseStat(t *testing.T) {
	for _, name := range []string{"sh", "", "a b", "a) Z 1 2 3", ")", "((", "new\nline", ") S 0 0 0 0 -1 2097152 0", "\xff", "x) "} {
		got, err := sys.ParseStat([]byte(statText(name, "R", "4194560", "12345")))
		require.NoError(t, err, "%q", name)
		require.Equal(t, sys.Stat{State: 'R', Start: 12345}, got, "%q", name)
	}
	got, err := sys.ParseStat([]byte(statText("kthreadd", "S", "2129984", "0")))
	require.NoError(t, err)
	require.Equal(t, sys.Stat{State: 'S', KernelThread: true}, got)
}

func TestParseStatThatIsNone(t *testing.T) {
	for _, text := range []string{
		"", ")", "4711 (sh", "4711 (sh) ", "4711 (sh) R 1 2", statText("sh", "RR", "1", "2"),
		statText("sh", "R", "x", "2"), statText("sh", "R", "1", "-2"), strings.Repeat(" ", 100), statText("sh", "R", "1", "99999999999999999999"),
	} {
		_, err := sys.ParseStat([]byte(text))
		require.Error(t, err, "%q", text)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(statText("a b", "Z", "1", "2")))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, text []byte) { _, _ = sys.ParseStat(text) })
}

func TestStatOfARealProcess(t *testing.T) {
	own, err := sys.OpenProcess(os.Getpid())
	require.NoError(t, err)
	defer func() { _ = own.Close() }()
	stat, err := own.Stat()
	require.NoError(t, err)
	require.False(t, stat.KernelThread)
	require.NotZero(t, stat.Start)

	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	child, err := sys.OpenProcess(cmd.Process.Pid)
	require.NoError(t, err)
	defer func() { _ = child.Close() }()
	require.True(t, child.Alive())
	require.NoError(t, stdin.Close())
	require.NoError(t, cmd.Wait())
	require.False(t, child.Alive())
	_, err = child.Stat()
	require.ErrorContains(t, err, "no such process")
}
