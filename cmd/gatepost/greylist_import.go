package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatepost/gatepost/internal/greylist"
)

// maxImportBytes bounds a file of postgrey; that of Debian has 10 KB.
const maxImportBytes = 4 << 20

// greylistImport is what became of one file.
type greylistImport struct {
	File    string          `json:"file"`
	Of      string          `json:"of"`
	Entries []string        `json:"entries"`
	Left    []greylist.Left `json:"left"`
}

func newGreylistImport() *cobra.Command {
	cmd := &cobra.Command{Use: "import FILE...", Short: "Turn postgrey's whitelists into a file for greylist.whitelist_files",
		Long: `Turn postgrey's whitelists into a file for greylist.whitelist_files.

The new file goes to the standard output, and what is not carried over, with the
reason, to the standard error. A file with "recipient" in its name has recipients,
one with "client" has clients; --as says so for others.`,
		Example: "  gatepost greylist import /etc/postgrey/whitelist_clients /etc/postgrey/whitelist_recipients > /etc/gatepost/greylist.list",
		Args:    cobra.MinimumNArgs(1)}
	as := cmd.Flags().String("as", "", "clients or recipients: what the files have")
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var all []greylistImport
		var whole strings.Builder
		for _, path := range args {
			im, err := importFile(path, *as)
			if err != nil {
				return err
			}
			all = append(all, im)
			fmt.Fprintf(&whole, "# %s of postgrey, from %s\n", im.Of, filepath.Base(path))
			for _, e := range im.Entries {
				whole.WriteString(e + "\n")
			}
		}
		var check greylist.Whitelist
		if err := check.Read("the new file", []byte(whole.String())); err != nil {
			return hint(err, "import fewer files into one")
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), all)
		}
		for _, im := range all {
			reportImport(cmd.ErrOrStderr(), im)
		}
		_, err := io.WriteString(cmd.OutOrStdout(), whole.String())
		return err
	}
	return cmd
}

func importFile(path, as string) (greylistImport, error) {
	im := greylistImport{File: path, Of: as, Entries: []string{}}
	if as == "" {
		switch base := strings.ToLower(filepath.Base(path)); {
		case strings.Contains(base, "recipient"):
			im.Of = "recipients"
		case strings.Contains(base, "client"):
			im.Of = "clients"
		}
	}
	if im.Of != "recipients" && im.Of != "clients" {
		return im, &misuse{hint(fmt.Errorf("%s: its name does not tell whether it has clients or recipients", path), "--as clients or --as recipients says so")}
	}
	f, err := os.Open(path)
	if err != nil {
		return im, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxImportBytes+1))
	if err == nil && len(b) > maxImportBytes {
		err = errors.New("it is larger than 4 MB")
	}
	if err != nil {
		return im, fmt.Errorf("read %s: %w", path, err)
	}
	read := greylist.ReadPostgrey(b, im.Of == "recipients")
	for _, e := range read.Entries {
		im.Entries = append(im.Entries, e.String())
	}
	im.Left = list(read.Left)
	return im, nil
}

// reportImport says what was carried over of a file, and what was not.
func reportImport(w io.Writer, im greylistImport) {
	for _, l := range im.Left {
		fmt.Fprintf(w, "%s:%d: left out %q: %s\n", im.File, l.Line, l.Text, printable(l.Why))
	}
	fmt.Fprintf(w, "%s: %d %s carried over, %d lines left out\n", im.File, len(im.Entries), im.Of, len(im.Left))
}
