// Command nsops shows what package discover finds.
//
//	nsops ls [-t TYPES] [--full] [--json]    a table of all namespaces
//	nsops dump [--full] [-i FILE]            the whole result as JSON, or one read back
//
// With NSOPS_NO_SNAPSHOT set to anything it does without bpf(2), which a filter of system calls may end it for.
//
// What could not be seen is written to stderr; that is no failure.
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

// execute returns the exit status. An interrupt ends the program at once, whatever it waits for, such as a terminal.
func execute() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- newCommand().ExecuteContext(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = errInterrupted
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "nsops:", oneLine(err.Error()))
		return 1
	}
	return 0
}

var errInterrupted = errors.New("interrupted")

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "nsops",
		Short: "Find the Linux namespaces of this machine, what holds them, and how they relate",
		Long: `nsops shows what namespaces there are, what holds them, and how they relate.
With NSOPS_NO_SNAPSHOT set to anything it does without bpf(2), for which a filter of system calls might end it.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newLs(), newDump())
	return root
}
