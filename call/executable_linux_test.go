package call_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	roles["renamed"] = func(args []string) {
		call.HandleReexec()
		os.Args[0] = "/does/not/exist"
		spawnAndPrint(parseRequest(args[0]))
	}
	roles["without arguments"] = func(args []string) {
		call.HandleReexec()
		os.Args = nil
		spawnAndPrint(parseRequest(args[0]))
	}
	// "replaced" deletes or replaces its own executable, then calls.
	roles["replaced"] = func(args []string) {
		call.HandleReexec()
		path, err := os.Executable()
		check(err)
		check(os.Remove(path))
		if args[1] == "replace" {
			check(os.WriteFile(path, []byte("#!/bin/sh\necho wrong program; exit 0\n"), 0o755))
		}
		spawnAndPrint(parseRequest(args[0]))
		spawnAndPrint(parseRequest(args[0]))
	}
}

func requests(pid int) []request {
	return []request{
		{Handler: "echo", Arg: "right program", Pid: pid},
		{Handler: "echo", Arg: "right program", Pid: pid, Types: defaultSet.With(species.CLONE_NEWPID)},
	}
}

func TestArgumentZeroDoesNotMatter(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	for _, r := range requests(target.PID) {
		require.JSONEq(t, `"right program"`, string(callIn(t, role(t, "renamed", r.json())).Result))
		require.JSONEq(t, `"right program"`, string(callIn(t, role(t, "without arguments", r.json())).Result))
		cmd := role(t, "caller", r.json())
		cmd.Args[0] = ""
		require.JSONEq(t, `"right program"`, string(callIn(t, cmd).Result))
	}
}

func TestProgramFoundByPATH(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	program := copyOf(t, testBinary(t), 0o755)
	for _, r := range requests(target.PID) {
		cmd := role(t, "caller", r.json())
		shell := exec.Command("/bin/sh", "-c", filepath.Base(program)+` "$1"`, "sh", cmd.Args[1])
		shell.Env, shell.Dir = append(cmd.Env, "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH")), "/"
		require.JSONEq(t, `"right program"`, string(callIn(t, shell).Result))
	}
}

func TestProgramReplacedWhileItRuns(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	for _, how := range []string{"delete", "replace"} {
		for _, request := range requests(target.PID) {
			cmd := role(t, "replaced", request.json(), how)
			cmd.Path = copyOf(t, testBinary(t), 0o755)
			r := run(t, cmd)
			require.Zero(t, r.Code, r.Stderr)
			require.Equal(t, 2, strings.Count(r.Stdout, `{"Result":"right program","Failure":""`), r.Stdout)
		}
	}
}

func TestProgramThatItsUserCannotRead(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	program := copyOf(t, testBinary(t), 0o711)
	for _, types := range []species.Set{0, allSet} {
		cmd := role(t, "caller", request{Handler: "echo", Arg: "x", Pid: os.Getpid(), Types: types}.json())
		cmd.Path = program
		require.JSONEq(t, `"x"`, string(callIn(t, cmd).Result), fmt.Sprint(types))
	}
}
