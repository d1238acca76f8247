// Command nsops shows what package discover finds.
//
//	nsops ls [-t TYPES] [--full] [--json]    a table of all namespaces
//	nsops dump [--full] [-i FILE]            the whole result as JSON, or one read back
//
// What could not be seen is written to stderr; the exit status is 0 nevertheless.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
)

func main() { os.Exit(execute()) }

// execute returns the exit status. An interrupt ends the program at once, even while it waits for a terminal.
func execute() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- newCommand().ExecuteContext(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "nsops:", oneLine(err.Error()))
		return 1
	}
	return 0
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "nsops",
		Short: "Find the Linux namespaces of this machine, what keeps them alive, and how they relate",
		Long: `nsops shows the namespaces of this machine, what keeps them alive, and how they relate.
With NSOPS_NO_SNAPSHOT set to any text it does not call bpf(2): a seccomp filter may end programs that do.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newLs(), newDump())
	return root
}
