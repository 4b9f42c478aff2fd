package mariadbtest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// small keeps a server's files and memory small, and never waits for the disk.
var small = []string{
	"--innodb-data-file-path=ibdata1:5M:autoextend", "--innodb-autoextend-increment=1",
	"--innodb-log-file-size=4M", "--innodb-buffer-pool-size=16M", "--key-buffer-size=1M", "--aria-pagecache-buffer-size=1M",
	"--innodb-flush-log-at-trx-commit=2", "--skip-innodb-doublewrite", "--innodb-flush-method=nosync", "--sync-binlog=0",
	"--innodb-buffer-pool-dump-at-shutdown=OFF", "--innodb-buffer-pool-load-at-startup=OFF",
}

// tables is the data directory of a server that nobody has used, by path. About
// 15 MB, most of it zeros.
type tables map[string][]byte

// errNoServer means that MariaDB is not installed.
var errNoServer = errors.New("mariadbd or mariadb-install-db is not here: install mariadb-server")

// fresh makes the system tables once for each test binary: that takes longer
// than everything else here. They stay in memory, so that nothing is left behind
// when the tests are over.
var fresh = sync.OnceValues(makeTables)

// systemTables returns the tables of a fresh server.
func systemTables(t testing.TB) tables {
	t.Helper()
	files, err := fresh()
	if errors.Is(err, errNoServer) {
		missing(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func makeTables() (files tables, err error) {
	for _, name := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := lookPath(name); err != nil {
			return nil, errNoServer
		}
	}
	id, err := whoRuns()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "gpdb")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := id.own(dir); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	cmd := id.command("mariadb-install-db", append([]string{
		"--no-defaults", "--datadir=" + data, "--tmpdir=" + dir,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
	}, small...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	files = tables{}
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(data, path)
		if err != nil {
			return err
		}
		files[name], err = os.ReadFile(path)
		return err
	})
	return files, err
}

// write lays the files out below dir, for id.
func (f tables) write(dir string, id *identity) error {
	if err := id.mkdir(dir, 0o700); err != nil {
		return err
	}
	for name, data := range f {
		path := filepath.Join(dir, name)
		if err := id.mkdir(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := writeSparse(path, data); err != nil {
			return err
		}
		if err := id.own(path); err != nil {
			return err
		}
	}
	return nil
}

// writeSparse writes data without its blocks of zeros.
func writeSparse(path string, data []byte) (err error) {
	const block = 16 << 10
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(int64(len(data))); err != nil {
		return err
	}
	zeros := make([]byte, block)
	for at := 0; at < len(data); at += block {
		b := data[at:min(at+block, len(data))]
		if bytes.Equal(b, zeros[:len(b)]) {
			continue
		}
		if _, err := f.WriteAt(b, int64(at)); err != nil {
			return err
		}
	}
	return nil
}
