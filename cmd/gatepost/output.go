package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// printable makes text from a peer safe for a terminal: control bytes and
// what is not UTF-8 become escapes.
func printable(s string) string {
	clean := true
	for _, r := range s {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) && r != '\n' {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\n' || unicode.IsPrint(r) && r != unicode.ReplacementChar:
			b.WriteRune(r)
		case r == unicode.ReplacementChar:
			fmt.Fprintf(&b, "\\x%02x", s[i])
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// jsonFlag adds --json to cmd.
func jsonFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("json", false, "print JSON for a script")
}

// printJSON writes v as indented JSON. What a terminal would act on is escaped:
// encoding/json leaves DEL, C1 controls and what turns text around as they are.
func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("encode JSON: %w", err)
	}
	var out strings.Builder
	for _, r := range b.String() {
		if r == '\n' || unicode.IsPrint(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&out, "\\u%04x", unit)
		}
	}
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// list returns l such that JSON has [] and not null where nothing is in it.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// leastFit is how far fit cuts a column at most.
const leastFit = 16

// fit cuts one column of rows such that the table is no wider than a terminal of
// so many columns; 0 is no terminal, which gets all.
func fit(head []string, rows [][]string, column, columns int) {
	if columns == 0 {
		return
	}
	left := columns
	for i := range head {
		if i == column {
			continue
		}
		widest := len(head[i])
		for _, r := range rows {
			widest = max(widest, utf8.RuneCountInString(printable(r[i])))
		}
		left -= widest + 2
	}
	for _, r := range rows {
		r[column] = clip(r[column], max(left, leastFit))
	}
}

// printTable writes rows under a head line, in columns, for a person.
func printTable(w io.Writer, head []string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for _, r := range rows {
		for i := range r {
			r[i] = strings.ReplaceAll(printable(r[i]), "\n", " ")
		}
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return t.Flush()
}
