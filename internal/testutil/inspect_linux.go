package testutil

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/species"
)

// ProcDir returns the target's folder in /proc.
func (g *Target) ProcDir() string { return "/proc/" + strconv.Itoa(g.PID) }

// NamespaceLink returns the target's link of that type, such as net:[4026531905].
func (g *Target) NamespaceLink(t species.NamespaceType) string {
	g.t.Helper()
	link, err := os.Readlink(g.ProcDir() + "/ns/" + t.Name())
	require.NoError(g.t, err)
	return link
}

// NamespaceLinks returns the target's links by the names of their types.
func (g *Target) NamespaceLinks() map[string]string {
	g.t.Helper()
	links := map[string]string{}
	for t := range species.Set(species.AllNS).All() {
		links[t.Name()] = g.NamespaceLink(t)
	}
	return links
}

// Types returns the types whose namespace is another one in the target than in the test.
func (g *Target) Types() species.Set {
	g.t.Helper()
	var types species.Set
	for t := range species.Set(species.AllNS).All() {
		own, err := os.Readlink("/proc/self/ns/" + t.Name())
		require.NoError(g.t, err)
		if own != g.NamespaceLink(t) {
			types = types.With(t)
		}
	}
	return types
}

// MountTable returns the target's mounts as the text of its mountinfo; see man 5 proc_pid_mountinfo.
func (g *Target) MountTable() string {
	g.t.Helper()
	text, err := os.ReadFile(g.ProcDir() + "/mountinfo")
	require.NoError(g.t, err)
	return string(text)
}

// Root returns the path of the target's root for the test. A symbolic link in it may lead out of it.
func (g *Target) Root() string { return g.ProcDir() + "/root" }

var nsenterFlags = map[species.NamespaceType]string{
	species.CLONE_NEWNS:     "--mount",
	species.CLONE_NEWCGROUP: "--cgroup",
	species.CLONE_NEWUTS:    "--uts",
	species.CLONE_NEWIPC:    "--ipc",
	species.CLONE_NEWUSER:   "--user",
	species.CLONE_NEWPID:    "--pid",
	species.CLONE_NEWNET:    "--net",
	species.CLONE_NEWTIME:   "--time",
}

// Sh runs a shell script as the target's root in all its namespaces, and returns what that prints. A script that fails,
// or needs a command that the target's root directory lacks, fails the test.
func (g *Target) Sh(script string) string {
	g.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := g.shCommand(script)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(g.t, cmd.Run(), "in target %d: %s\n%s", g.PID, script, &stderr)
	return stdout.String()
}

func (g *Target) shCommand(script string) *exec.Cmd {
	args := []string{"--target=" + strconv.Itoa(g.PID)}
	for t := range g.Types().All() {
		args = append(args, nsenterFlags[t])
	}
	if setgroups, _ := os.ReadFile(g.ProcDir() + "/setgroups"); string(setgroups) == "deny\n" {
		args = append(args, "--preserve-credentials") // it is root already, and no other ID is mapped
	}
	cmd := exec.Command("nsenter", append(args, "--", "/bin/sh", "-ec", usualUmask+script)...)
	cmd.Env, cmd.WaitDelay = []string{searchPath}, time.Second
	return cmd
}
