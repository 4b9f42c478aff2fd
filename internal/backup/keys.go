package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
)

const (
	// maxKeyFile bounds a file beside keys, in octets; keys and their states are
	// smaller.
	maxKeyFile = 512 << 10
	// keyTries is how often a directory is read until it holds still.
	keyTries = 20
)

// keyFile is a file of one domain.
type keyFile struct {
	name string
	text []byte
}

// domain sends the keys of one domain with their states: as they were at one
// time, because a key without its state, or a state without its key, would keep
// all keys from being used.
func (st *stream) domain(dir string) error {
	now, err := st.readDomain(dir)
	for range keyTries {
		if err != nil {
			return err
		}
		var again []keyFile
		if again, err = st.readDomain(dir); err == nil && sameFiles(now, again) {
			return st.sendDomain(dir, now)
		}
		now = again
	}
	return fmt.Errorf("%s: its keys change all the time", dir)
}

func sameFiles(a, b []keyFile) bool {
	return slices.EqualFunc(a, b, func(x, y keyFile) bool { return x.name == y.name && bytes.Equal(x.text, y.text) })
}

func (st *stream) sendDomain(dir string, all []keyFile) error {
	for _, f := range all {
		err := st.entry(path.Join(dir, f.name), int64(len(f.text)), func(w io.Writer) error {
			_, err := w.Write(f.text)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readDomain reads all files of a domain, by name.
func (st *stream) readDomain(dir string) (all []keyFile, err error) {
	entries, err := fs.ReadDir(st.root.FS(), dir)
	if err != nil {
		return nil, gone(err)
	}
	for _, e := range entries {
		p := path.Join(dir, e.Name())
		if passing(p) || !e.Type().IsRegular() || !isName(path.Join(dataDir, p)) {
			continue
		}
		text, err := st.readSmall(p)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the next look finds the same
		}
		if err != nil {
			return nil, err
		}
		all = append(all, keyFile{e.Name(), text})
	}
	return all, nil
}

func (st *stream) readSmall(p string) ([]byte, error) {
	f, err := st.openFile(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(b) > maxKeyFile {
		err = fmt.Errorf("%s: larger than any file of keys", p)
	}
	return b, err
}
