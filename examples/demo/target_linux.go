package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// targetArgument as the only argument makes the program a target.
const targetArgument = "sleep-as-target"

// target is a process that sleeps in namespaces of its own until its standard input ends.
type target struct {
	pid     int
	command *exec.Cmd
	wake    io.Closer
}

// startTarget starts this program as a target, and returns when it sleeps. The caller stops it. If the caller ends
// first, its end of the pipe is closed, and the target ends, too.
func startTarget() (*target, error) {
	command := exec.Command("/proc/self/exe", targetArgument)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWPID,
		Setpgid:    true, // Ctrl-C is for the demo, which then stops the target
	}
	wake, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	ready, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start a target in new namespaces: %w", err)
	}
	t := &target{command.Process.Pid, command, wake}
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		return nil, errors.Join(errors.New("the target has failed to set itself up"), t.stop())
	}
	return t, nil
}

// stop ends the target, and with it its namespaces and what is in them.
func (t *target) stop() error {
	_ = t.wake.Close()
	if err := t.command.Wait(); err != nil {
		return fmt.Errorf("stop the target: %w", err)
	}
	return nil
}

// beTarget makes this process look like a container, then sleeps.
func beTarget() error {
	if err := changeRoot(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("throw-away")); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if _, err := os.Stdout.WriteString("."); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// changeRoot gives this mount namespace an empty root with a /proc. man 2 pivot_root explains the two ".".
func changeRoot() error {
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"make the mounts private", func() error { return unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "") }},
		{"mount a new root", func() error { return unix.Mount("demo", "/tmp", "tmpfs", 0, "") }},
		{"change to the new root", func() error { return unix.Chdir("/tmp") }},
		{"make /proc", func() error { return unix.Mkdir("proc", 0o755) }},
		{"mount /proc", func() error {
			return unix.Mount("proc", "proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
		}},
		{"change the root", func() error { return unix.PivotRoot(".", ".") }},
		{"unmount the old root", func() error { return unix.Unmount(".", unix.MNT_DETACH) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}
