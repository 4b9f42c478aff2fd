package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// version is set by the Makefile from git describe.
var version = "development"

func newVersion() *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version",
		Example: "  gatepost version --json",
		Args:    cobra.NoArgs,
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), map[string]string{"version": version, "go": runtime.Version()})
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "gatepost %s (%s)\n", version, runtime.Version())
		return err
	}
	return cmd
}
