// Command nsops shows what package discover finds.
//
//	nsops ls [-t TYPES] [--full] [--json]    a table of all namespaces
//	nsops dump [--full] [-i FILE]            the whole result as JSON, or one read back
//
// What could not be seen is written to stderr; that is no failure.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends what does not know of the context, such as reading a terminal
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "nsops:", err)
		stop()
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "nsops",
		Short:         "Find the Linux namespaces of this machine, what holds them, and how they relate",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newLs(), newDump())
	return root
}
