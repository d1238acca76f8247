// Command demo runs a Go function inside a container, and prints what the function sees there beside what it sees here.
//
// The container is a temporary one: a sleeping process in new network, mount, UTS, IPC and PID namespaces. The demo
// gives it a network from outside, and removes everything at the end. With -pid the target is the process with that
// PID, whose network the demo does not change.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/species"
)

func main() {
	runReexec()
	pid := flag.String("pid", "", "PID of a process in a real container; without it, a throw-away target is made")
	flag.Parse()
	// The demo cleans up before it ends, whichever signal ends it. SIGPIPE: "make demo | head".
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	exitOn(run(ctx, *pid))
}

// runReexec runs this process as a worker or a target, if it was started as one, and ends it.
func runReexec() {
	call.RegisterReexec("look", func(any) (any, error) { return look() }, nil)
	call.HandleReexec()
	if len(os.Args) == 2 && os.Args[1] == targetArgument {
		exitOn(beTarget())
		os.Exit(0)
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, pid string) error {
	if err := checkPrivileges(); err != nil {
		return err
	}
	if pid == "" {
		return demonstrate(ctx)
	}
	number, err := strconv.Atoi(pid)
	if err != nil || number <= 0 {
		return fmt.Errorf("PID=%s: not a process ID", pid)
	}
	if err := compare(ctx, number); err != nil {
		return err
	}
	fmt.Printf("\nProcess %d is not ours: its network was left as it is.\n", number)
	return nil
}

// demonstrate starts a target, gives it a network, compares, and removes both.
func demonstrate(ctx context.Context) (err error) {
	target, err := startTarget()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.stop()) }()
	network, err := connect(ctx, target.pid)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.remove()) }()
	fmt.Printf("Started a throw-away container, process %d, and gave it eth0 from outside.\n\n", target.pid)
	if err := compare(ctx, target.pid); err != nil {
		return err
	}
	fmt.Println("\nBoth are removed again.")
	return nil
}

// compare calls look in the container's namespaces and here.
func compare(ctx context.Context, pid int) error {
	var inside view
	err := call.NewCall("look").
		TargetPid(pid).
		Namespaces(species.CLONE_NEWNS, species.CLONE_NEWUTS, species.CLONE_NEWIPC, species.CLONE_NEWNET, species.CLONE_NEWPID).
		Context(ctx).
		SpawnInNamespaces(&inside)
	if err != nil {
		return err
	}
	outside, err := look()
	if err != nil {
		return err
	}
	return printTable(os.Stdout, "inside", inside, "here", outside)
}
