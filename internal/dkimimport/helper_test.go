package dkimimport

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// disk is the file system.
type disk struct{}

func (disk) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

func (disk) ReadDir(path string) ([]string, error) {
	es, err := os.ReadDir(path)
	var out []string
	for _, e := range es {
		out = append(out, e.Name())
	}
	return out, err
}

// files is a file system in memory.
type files map[string]string

func (m files) ReadFile(path string) ([]byte, error) {
	if s, ok := m[path]; ok {
		return []byte(s), nil
	}
	return nil, fs.ErrNotExist
}

func (m files) ReadDir(path string) ([]string, error) {
	var out []string
	for f := range m {
		if rest, ok := strings.CutPrefix(f, strings.TrimSuffix(path, "/")+"/"); ok {
			name, _, _ := strings.Cut(rest, "/")
			out = append(out, name)
		}
	}
	if out == nil {
		return nil, errors.New("no such directory")
	}
	return out, nil
}

// carried are the keys of a plan: "domain selector path".
func carried(p Plan) string {
	var out []string
	for _, k := range p.Keys {
		out = append(out, fmt.Sprintf("%s %s %s=%s", k.Domain, k.Selector, filepath.Base(k.Path), k.Text.Reveal()))
	}
	return strings.Join(out, "\n")
}

// noted are its notes: "file:line: what: why".
func noted(p Plan) string {
	var out []string
	for _, n := range p.Notes {
		out = append(out, fmt.Sprintf("%s:%d: %s: %s", filepath.Base(n.File), n.Line, n.What, n.Why))
	}
	return strings.Join(out, "\n")
}

// lines compares a text, and says where it differs.
func lines(t *testing.T, what, got, want string) {
	t.Helper()
	if want = strings.TrimSpace(want); got != want {
		t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}
