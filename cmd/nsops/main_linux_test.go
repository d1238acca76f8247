package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/testutil"
)

// TestMain is also the command, for tests that need a process of it.
func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(testutil.Run(m))
}

const asCommand = "NSOPS_TEST_COMMAND"

// command returns the command in a process of its own.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func TestLs(t *testing.T) {
	out, _, err := run(t, "ls")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Equal(t, "NAMESPACE TYPE PROCESSES LEADER OWNER USER HELD COMMAND", strings.Join(strings.Fields(lines[0]), " "))
	own, err := os.Readlink("/proc/self/ns/net")
	require.NoError(t, err)
	require.Contains(t, out, own[len("net:["):len(own)-1]+" net ")
}

func TestLsOfTypes(t *testing.T) {
	out, _, err := run(t, "ls", "-t", "net,uts", "--json")
	require.NoError(t, err)
	var rows []row
	require.NoError(t, json.Unmarshal([]byte(out), &rows))
	types := map[string]bool{}
	for _, r := range rows {
		types[r.Type] = true
	}
	require.Equal(t, map[string]bool{"net": true, "uts": true}, types)
	_, _, err = run(t, "ls", "-t", "nets")
	require.ErrorContains(t, err, "nets")
}

func TestDumpAndBack(t *testing.T) {
	out, errs, err := run(t, "dump", "--full")
	require.NoError(t, err)
	var r discover.Result
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.Equal(t, len(r.Problems), strings.Count(errs, "not seen: "))
	file := filepath.Join(t.TempDir(), "dump.json")
	require.NoError(t, os.WriteFile(file, []byte(out), 0o600))
	again, errs, err := run(t, "dump", "-i", file)
	require.NoError(t, err)
	require.Empty(t, errs)
	require.JSONEq(t, out, again)
	table, _, err := run(t, "ls", "-i", file, "-t", "user")
	require.NoError(t, err)
	require.Contains(t, table, "user")
	require.NotContains(t, table, " net ")
	_, _, err = run(t, "dump", "-i", file, "-t", "user")
	require.Error(t, err, "it could not be read back")
	some, _, err := run(t, "dump", "-t", "user")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(some), &r))
	_, _, err = run(t, "ls", "-i", "/nowhere")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, writeTable(&out, []row{
		{Namespace: 1, Type: "net", Hidden: true, OwnerUID: -1, Held: []string{`pin "/a"`, "fd 1 of process 2"}},
		{Namespace: 2, Type: "user", Processes: 1, PID: 7, OwnerUID: 1000, Command: "a\x1b[31m\n" + strings.Repeat("x", 90), Container: "web"},
		{Namespace: 3, Type: "pid", Owner: 2, OwnerName: "root"},
	}))
	require.Equal(t, `NAMESPACE TYPE PROCESSES LEADER OWNER USER HELD                      COMMAND
1         net  0         -      ?     ?    pin "/a" and 1 more       -
2         user 1         7      -     1000 -                         {web} a?[31m?`+strings.Repeat("x", 47)+`…
3         pid  0         -      2     root owner or parent of others -
`, out.String())
}
