package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/species"
)

// odd would clear a screen, reverse text, or hide it.
const odd = "a\x1b[2J\x7f\u0085\u009b\u200b\u202e\u2066\u2028\U000e0041\ufeff\u00a0\tb\n"

func oddResult() *discover.Result {
	owner := &discover.Namespace{ID: species.NamespaceID{Dev: 4, Ino: 1}, Type: species.CLONE_NEWUSER, OwnerUID: -1, OwnerName: odd}
	mnt := &discover.Namespace{ID: species.NamespaceID{Dev: 4, Ino: 2}, Type: species.CLONE_NEWNS, Owner: owner, OwnerName: odd}
	mnt.References = []discover.Reference{{Kind: discover.ByPin, MountNamespace: mnt, Path: odd}}
	c := &discover.Container{ID: odd, Runtime: odd, Name: odd, Pod: odd, Cgroup: odd}
	p := &discover.Process{PID: 7, Name: odd, Cmdline: []string{odd, odd}, State: 'S', Cgroup: odd, Container: c, Threads: 1}
	owner.Leader, mnt.Leader = p, p
	return &discover.Result{Device: 4, Namespaces: []*discover.Namespace{mnt, owner}, Processes: []*discover.Process{p},
		Containers: []*discover.Container{c}, Problems: []discover.Problem{{Path: odd, Errno: 13}}}
}

// requirePlain fails if a terminal might obey a character of the text.
func requirePlain(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		require.True(t, r == '\n' || unicode.IsPrint(r), "%q in %q", r, text)
	}
}

// TestOddTexts puts control sequences into every text that other users choose.
func TestOddTexts(t *testing.T) {
	r := oddResult()
	var out bytes.Buffer
	require.NoError(t, writeTable(&out, rows(r)))
	requirePlain(t, out.String())
	require.Equal(t, 3, strings.Count(out.String(), "\n"))

	out.Reset()
	require.NoError(t, writeJSON(&out, rows(r)))
	requirePlain(t, out.String())
	var table []row
	require.NoError(t, json.Unmarshal(out.Bytes(), &table))
	require.Equal(t, rows(r), table, "nothing is lost")

	out.Reset()
	require.NoError(t, writeJSON(&out, r))
	requirePlain(t, out.String())
	var again discover.Result
	require.NoError(t, json.Unmarshal(out.Bytes(), &again))
	require.Equal(t, odd, again.Process(7).Cmdline[0])

	file := filepath.Join(t.TempDir(), "dump.json")
	require.NoError(t, os.WriteFile(file, out.Bytes(), 0o600))
	for _, args := range [][]string{{"ls", "-i", file}, {"ls", "--json", "-i", file}, {"dump", "-i", file}} {
		text, _, err := run(t, args...)
		require.NoError(t, err)
		requirePlain(t, text)
	}
}

// TestOddErrors causes an error that quotes the input.
func TestOddErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), odd)
	require.NoError(t, os.WriteFile(file, []byte(`{"version":1,"types":"`+strings.ReplaceAll(odd[1:], "\n", "")+`"}`), 0o600))
	for _, name := range []string{file, "/nowhere/" + odd} {
		text, err := command(t, "ls", "-i", name).CombinedOutput()
		require.Error(t, err)
		requirePlain(t, string(text))
	}
}

// TestEndlessInput requires that reading ends at the first invalid byte, or at the limit.
func TestEndlessInput(t *testing.T) {
	for _, args := range [][]string{{"dump", "-i", "/dev/zero"}, {"ls", "-i", "/dev/zero"}} {
		start := time.Now()
		_, _, err := run(t, args...)
		require.ErrorContains(t, err, "invalid character")
		require.Less(t, time.Since(start), 5*time.Second)
	}
	_, err := readResult("-", endless(' '))
	require.ErrorIs(t, err, errTooLong)
	file := filepath.Join(t.TempDir(), "two")
	require.NoError(t, os.WriteFile(file, []byte(`{"version":1} {}`), 0o600))
	_, _, err = run(t, "dump", "-i", file)
	require.ErrorIs(t, err, errTrailing)
}

type endless byte

func (e endless) Read(into []byte) (int, error) {
	for i := range into {
		into[i] = byte(e)
	}
	return len(into), nil
}

// TestOneInterrupt interrupts a command that waits for its input.
func TestOneInterrupt(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	for _, input := range []string{"-", fifo} {
		cmd := command(t, "dump", "-i", input)
		stdin, err := cmd.StdinPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		time.Sleep(300 * time.Millisecond)
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err := <-done:
			require.Error(t, err)
		case <-time.After(5 * time.Second):
			require.NoError(t, cmd.Process.Kill())
			require.Fail(t, "it goes on")
		}
		_ = stdin.Close()
	}
}
