package main

import "github.com/spf13/cobra"

func newDump() *cobra.Command {
	var d discovery
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Write the whole result of a discovery as JSON",
		Long: `dump writes the whole result to stdout, as JSON that docs/discovery.schema.json describes.
What could not be seen is in the JSON, and is written to stderr, too.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := d.result(cmd)
			if err != nil {
				return err
			}
			return writeJSON(cmd.OutOrStdout(), r)
		},
	}
	d.flags(cmd)
	cmd.MarkFlagsMutuallyExclusive("types", "input") // processes refer to namespaces of all types
	return cmd
}
