package srs

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gatepost/gatepost/internal/secret"
)

// Bounds of a file of keys.
const (
	// MaxKeys bounds the keys of a file; Rotate drops the oldest beyond.
	MaxKeys = 8
	// maxKeyFile bounds the file.
	maxKeyFile = 64 << 10
	// newKey is the length of a key that Rotate makes, before base64.
	newKey = 32
)

// ReadKeys reads a file of keys: one a line, the newest first. A line is the
// key, whatever it holds; empty lines and those that begin with "#" are none. A
// file that others may read is an error.
func ReadKeys(path string) ([]secret.Value, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("SRS keys: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("SRS keys: %w", err)
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("SRS keys: %s is no file", path)
	case st.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("SRS keys: %s has mode %04o, others could forge addresses: chmod 600 %s", path, st.Mode().Perm(), path)
	case st.Size() > maxKeyFile:
		return nil, fmt.Errorf("SRS keys: %s is longer than %d bytes", path, maxKeyFile)
	}
	b := make([]byte, st.Size())
	if _, err := f.ReadAt(b, 0); err != nil && len(b) > 0 {
		return nil, fmt.Errorf("SRS keys: read %s: %w", path, err)
	}
	return parseKeys(path, b)
}

func parseKeys(path string, b []byte) ([]secret.Value, error) {
	var keys []secret.Value
	for i, line := range bytes.Split(b, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if len(line) < MinKey {
			return nil, fmt.Errorf("SRS keys: line %d of %s has %d bytes, a key needs %d", i+1, path, len(line), MinKey)
		}
		if keys = append(keys, secret.New(line)); len(keys) > MaxKeys {
			return nil, fmt.Errorf("SRS keys: %s has more than %d keys", path, MaxKeys)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("SRS keys: %s has none: remove it, and a new one is made", path)
	}
	return keys, nil
}

// Keys is ReadKeys, and makes a file with a new key where there is none.
func Keys(path string) ([]secret.Value, error) {
	keys, err := ReadKeys(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	return Rotate(path)
}

// Rotate puts a new key in front of those of the file, and drops the oldest
// beyond MaxKeys. The file is whole at any time, and keeps its owner only if
// that is who calls.
func Rotate(path string) ([]secret.Value, error) {
	old, err := ReadKeys(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	random := make([]byte, newKey)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("new SRS key: %w", err)
	}
	fresh := secret.String(base64.StdEncoding.EncodeToString(random))
	keys := append([]secret.Value{fresh}, old...)
	keys = keys[:min(len(keys), MaxKeys)]
	var b bytes.Buffer
	for _, k := range keys {
		b.Write(k.Reveal())
		b.WriteByte('\n')
	}
	if err := replace(path, b.Bytes()); err != nil {
		return nil, fmt.Errorf("write SRS keys: %w", err)
	}
	return keys, nil
}

// replace writes a file of mode 0600 under another name, and moves it to path
// once it is on the disk.
func replace(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".srs-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err2 := os.Open(filepath.Dir(path))
	if err2 != nil {
		return nil // it is there; a power cut may still bring the old one back
	}
	return errors.Join(dir.Sync(), dir.Close())
}
