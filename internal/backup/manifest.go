package backup

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Format is the version of sets that this program writes, and the newest that it
// reads.
const Format = 1

// Bounds of a set.
const (
	maxFiles    = 500_000
	maxManifest = 256 << 20
	maxPath     = 1024
	maxText     = 4096
	maxNotes    = 10_000
	maxBytes    = 1 << 50
)

// The directories of a set.
const (
	dataDir   = "data"
	configDir = "config"
	filesDir  = "files"
)

// ErrManifest means that a manifest is none, or one that no backup wrote.
var ErrManifest = errors.New("not the manifest of a backup")

// Manifest says what is in a set.
type Manifest struct {
	// Format is the version of this structure.
	Format int `json:"format"`
	// Version is that of the program.
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
	Host    string    `json:"host"`
	// DataDirectory and Config are where things were.
	DataDirectory string `json:"data_directory"`
	Config        string `json:"config"`
	// Elsewhere is what other programs have to save.
	Elsewhere []Elsewhere `json:"elsewhere,omitempty"`
	// LeftOut names what lies beside the rest and is not in the set, with the
	// reason.
	LeftOut []string `json:"left_out,omitempty"`
	Files   []File   `json:"files"`
}

// Elsewhere is a store of which a set has nothing.
type Elsewhere struct {
	What string `json:"what"`
	How  string `json:"how"`
}

// File is one file of a set.
type File struct {
	// Path is below the set, with slashes.
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Target is where a file lay that is not in the data directory; Mode and the
	// names of Owner and Group are those that it had.
	Target string `json:"target,omitempty"`
	Mode   uint32 `json:"mode,omitempty"`
	Owner  string `json:"owner,omitempty"`
	Group  string `json:"group,omitempty"`
	// Schema and Rows, the number of rows by table, are those of a database.
	Schema int              `json:"schema,omitempty"`
	Rows   map[string]int64 `json:"rows,omitempty"`
}

// Bytes is the size of all files.
func (m Manifest) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// encode writes a manifest; the result is one that parse takes.
func (m Manifest) encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return append(b, '\n'), nil
}

// parse reads a manifest, and refuses whatever encode would not write.
func parse(b []byte) (Manifest, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &version); err != nil || version.Format < 1 {
		return Manifest{}, ErrManifest
	}
	if version.Format > Format {
		return Manifest{}, fmt.Errorf("the backup has format %d, this gatepost reads up to %d: install the version that made it", version.Format, Format)
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Manifest{}, fmt.Errorf("%w: something follows it", ErrManifest)
	}
	return m, m.check()
}

// check reports the first thing that is wrong with m.
func (m Manifest) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrManifest, fmt.Sprintf(format, args...))
	}
	texts := []string{m.Version, m.Host, m.DataDirectory, m.Config}
	for _, e := range m.Elsewhere {
		texts = append(texts, e.What, e.How)
	}
	for _, s := range append(texts, m.LeftOut...) {
		if !isText(s) {
			return bad("%.40q is no line of text", s)
		}
	}
	if m.Format != Format || len(m.Files) > maxFiles || len(m.Elsewhere)+len(m.LeftOut) > maxNotes {
		return bad("%d files of format %d", len(m.Files), m.Format)
	}
	seen := make(map[string]bool, len(m.Files))
	var sum int64
	for _, f := range m.Files {
		if err := f.check(); err != nil {
			return err
		}
		if seen[f.Path] {
			return bad("%q is in it twice", f.Path)
		}
		seen[f.Path] = true
		if sum += f.Size; sum > maxBytes {
			return bad("more than %d bytes", int64(maxBytes))
		}
	}
	for _, f := range m.Files { // none may be the directory of another
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if seen[dir] {
				return bad("%q is a file and a directory", dir)
			}
		}
	}
	return nil
}

func (f File) check() error {
	bad := func(what string) error { return fmt.Errorf("%w: %.200q has %s", ErrManifest, f.Path, what) }
	top, _, below := strings.Cut(f.Path, "/")
	switch {
	case !isName(f.Path) || !below:
		return bad("a bad name")
	case top == dataDir && f.Target != "", top != dataDir && !isTarget(f.Target):
		return bad("no place")
	case top != dataDir && top != configDir && top != filesDir:
		return bad("a bad directory")
	case f.Size < 0 || f.Size > maxBytes:
		return bad("a bad size")
	case f.Mode > 0o777 || !isText(f.Owner) || !isText(f.Group):
		return bad("a bad mode or owner")
	case f.Schema < 0 || len(f.Rows) > 1000:
		return bad("a bad schema")
	}
	for table, n := range f.Rows {
		if n < 0 || !isText(table) {
			return bad("bad counts")
		}
	}
	if b, err := hex.DecodeString(f.SHA256); err != nil || len(b) != 32 || strings.ToLower(f.SHA256) != f.SHA256 {
		return bad("no checksum")
	}
	return nil
}

// isName reports whether p is a relative name that stays below its directory and
// that a terminal and a tar can show.
func isName(p string) bool {
	return fs.ValidPath(p) && p != "." && len(p) <= maxPath && isText(p) && !strings.Contains(p, `\`)
}

// isTarget reports whether p is a clean absolute path.
func isTarget(p string) bool {
	return filepath.IsAbs(p) && filepath.Clean(p) == p && p != "/" && len(p) <= maxPath && isText(p)
}

// isText reports whether s is a line of valid UTF-8 without control bytes.
func isText(s string) bool {
	if len(s) > maxText || strings.ToValidUTF8(s, "") != s {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// isDatabase reports whether a file of the data directory is one of SQLite's: a
// file that must be read through SQLite.
func isDatabase(rel string) bool { return !strings.Contains(rel, "/") && strings.HasSuffix(rel, ".db") }
