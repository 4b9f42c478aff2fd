// Package page keeps the tables of docs/ that a program prints.
package page

import (
	"bytes"
	"fmt"
	"os"
)

// Publish puts text on the page between the line "<!-- NAME: begin -->" and the
// one that ends it, in place of what stands there. Without a page it prints it.
func Publish(path, name string, text []byte) error {
	if path == "" {
		_, err := os.Stdout.Write(text)
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	first, last := fmt.Sprintf("<!-- %s: begin -->\n", name), fmt.Sprintf("<!-- %s: end -->\n", name)
	i, j := bytes.Index(old, []byte(first)), bytes.Index(old, []byte(last))
	if i < 0 || j < i {
		return fmt.Errorf("%s has no place for the tables of %s", path, name)
	}
	return os.WriteFile(path, bytes.Join([][]byte{old[:i+len(first)], text, old[j:]}, nil), 0o644)
}
