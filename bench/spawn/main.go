// Command spawn compares what it takes to run a Go function in four namespaces of a target with other ways to start a
// process, and prints a table for docs/benchmarks.md. It needs root: the target is a sleeping process that it starts.
//
//	cd bench && go run ./spawn -n 400
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	rounds := flag.Int("n", 400, "calls of each route")
	warmUp := flag.Int("warmup", 20, "calls of each route before those")
	flag.Parse()
	if err := run(*rounds, *warmUp); err != nil {
		log.Fatal(err)
	}
}

func run(rounds, warmUp int) error {
	target, err := startTarget()
	if err != nil {
		return fmt.Errorf("start a target: %w", err)
	}
	defer stop(target)
	dir, err := os.MkdirTemp("", "nsops-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	rows, err := startCallers(dir, target.Process.Pid)
	if err != nil {
		return err
	}
	if err := interleave(rows, rounds, warmUp); err != nil {
		return err
	}
	printTable(os.Stdout, rows)
	return nil
}

// interleave makes every row's calls side by side, in another order in each round: noise hits all alike.
func interleave(rows []*row, rounds, warmUp int) error {
	for round := range warmUp + rounds {
		for _, i := range rand.Perm(len(rows)) {
			took, err := rows[i].caller.call(rows[i].route)
			if err != nil {
				return fmt.Errorf("%s: %w", rows[i].name(), err)
			}
			if round >= warmUp {
				rows[i].took = append(rows[i].took, took)
			}
		}
	}
	return nil
}

// startTarget starts a process in four namespaces of its own, which ends with ours.
func startTarget() (*exec.Cmd, error) {
	cmd := exec.Command("sleep", "infinity")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
	}
	return cmd, cmd.Start()
}

func stop(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
