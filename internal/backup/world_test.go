package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gatepost/gatepost/internal/sqlite"
)

// Set for a copy of the test binary that is killed in the middle of its work, or
// has a full disk.
const (
	killBackup  = "GATEPOST_TEST_KILL_BACKUP"
	killRestore = "GATEPOST_TEST_KILL_RESTORE"
	fullDisk    = "GATEPOST_TEST_FULL_DISK"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(killBackup) != "":
		beKilledInBackup(os.Getenv(killBackup))
	case os.Getenv(killRestore) != "":
		beKilledInRestore(os.Getenv(killRestore))
	case os.Getenv(fullDisk) != "":
		onFullDisk(os.Getenv(fullDisk))
	default:
		os.Exit(m.Run())
	}
}

// schema is that of all databases here.
var schema = fstest.MapFS{"0001_t.sql": {Data: []byte("CREATE TABLE t (n INTEGER PRIMARY KEY, x BLOB) STRICT;")}}

func openDB(ctx context.Context, path string) (*sqlite.DB, error) {
	return sqlite.Open(ctx, sqlite.Options{Path: path, Migrations: schema})
}

// rest are the other files of a data directory.
var rest = map[string]string{
	"classifier.weights": strings.Repeat("w", 100_000),
	"srs.keys":           "key\n", "logs.json": "{}",
	"dkim/example.org/gp1.pem": "private", "dkim/example.org/states.json": "{}", "dkim/example.org/states.json.copy": "{}",
	"dkim/example.net/gp1.pem":                                   "private too",
	"quarantine/20261120/20261120-065535-k3f9x2.4Xy.quarantine":  "message",
	"outgoing/new/20261120T065535.000000000-ABCDEFGHIJ.mail":     "notice",
	"outgoing/failed/20261120T065535.000000001-ABCDEFGHIJ.mail":  "notice",
	"quarantine/20261121/20261121-065535-k3f9x2.4Xyz.quarantine": strings.Repeat("message\r\n", 50_000),
}

// passingBy is what a backup leaves.
var passingBy = []string{"lock", "spool/gatepost-123", "outgoing/tmp/x.mail", "quarantine/tmp/y", "dkim/example.org/.new-1",
	"accounts.db.before-3", "state.db.corrupt-20261009T120000.000Z", "classifier.weights.next", "before-restore-20261009T120000.000Z/srs.keys"}

func put(dir, name, text string) error {
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		return err
	}
	return os.WriteFile(p, []byte(text), 0o600)
}

// makeWorld makes a data directory, with its databases closed.
func makeWorld(ctx context.Context, dir string) error {
	for name, text := range rest {
		if err := put(dir, name, text); err != nil {
			return err
		}
	}
	for _, name := range passingBy {
		if err := put(dir, name, "passing"); err != nil {
			return err
		}
	}
	for i, name := range order {
		db, err := openDB(ctx, filepath.Join(dir, name))
		if err == nil {
			_, err = db.Writer.ExecContext(ctx, fmt.Sprintf("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r LIMIT %d) INSERT INTO t SELECT n, randomblob(500) FROM r", 100*(i+1)))
			err = errors.Join(err, db.Close())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// world is a data directory, a configuration with a file beside it, and a
// directory for backups.
type world struct{ dir, data, config, secret, to string }

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{dir: dir, data: filepath.Join(dir, "data"), config: filepath.Join(dir, "etc/gatepost.yaml"),
		secret: filepath.Join(dir, "etc/secrets/key"), to: filepath.Join(dir, "backups")}
	if err := errors.Join(makeWorld(t.Context(), w.data), put(dir, "etc/gatepost.yaml", "hostname: x\n"), put(dir, "etc/secrets/key", "s3cret")); err != nil {
		t.Fatal(err)
	}
	return w
}

// pump receives what src streams.
func pump(ctx context.Context, b *Builder, src *Source) error {
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := src.Stream(ctx, w)
		w.CloseWithError(err)
		done <- err
	}()
	err := b.Receive(ctx, r, nil)
	_ = r.CloseWithError(errors.New("received"))
	if sent := <-done; err == nil && sent != nil && sent.Error() != "received" {
		err = sent
	}
	return err
}

// makeSet backs a world up, and returns the set.
func makeSet(ctx context.Context, w *world) (string, Manifest, error) {
	b, err := Create(w.to, Manifest{Version: "v1", Host: "mx.example.org", DataDirectory: w.data, Config: w.config})
	if err != nil {
		return "", Manifest{}, err
	}
	set, m, err := "", Manifest{}, pump(ctx, b, &Source{Dir: w.data})
	if err == nil {
		err = errors.Join(b.AddFile(ctx, w.config, true), b.AddFile(ctx, w.secret, false))
	}
	if err == nil {
		set, m, err = b.Commit(ctx)
	}
	return set, m, errors.Join(err, b.Close())
}

func (w *world) backup(t *testing.T) (string, Manifest) {
	t.Helper()
	set, m, err := makeSet(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return set, m
}

// tree returns the files below dir by name; databases by the number of rows.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 && p != dir {
			t.Errorf("%s has mode %v", p, info.Mode())
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil || e.IsDir() {
			return err
		}
		if strings.HasSuffix(rel, ".db") {
			c, err := sqlite.Inspect(t.Context(), p)
			out[rel] = fmt.Sprint(c.Rows["t"])
			return err
		}
		b, err := os.ReadFile(p)
		out[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// now is when a restore takes place.
var now = time.Date(2026, 11, 20, 23, 0, 0, 0, time.UTC)

// restore puts a set into data, after all checks.
func restore(ctx context.Context, set string, p Place, at time.Time, reach func(string)) ([]Step, error) {
	s, err := Open(set)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	s.reach = reach
	if _, err := s.Verify(ctx, nil); err != nil {
		return nil, err
	}
	return s.Restore(ctx, p, at, nil)
}

func killed(cmd interface{ Sys() any }) bool {
	status, ok := cmd.Sys().(syscall.WaitStatus)
	return ok && status.Signal() == syscall.SIGKILL
}
