package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	modernc "modernc.org/sqlite"

	"github.com/gatepost/gatepost/internal/disktest"
)

// Set for a copy of the test binary that opens a database and is killed, or
// finds no room.
const (
	dieIn  = "GATEPOST_TEST_DIE_IN"
	fillIn = "GATEPOST_TEST_FILL_IN"
)

// third kills the process in the middle of its step.
const third = "INSERT INTO a VALUES (3, 'three'); INSERT INTO a SELECT die(), 'four';"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(dieIn) != "":
		modernc.MustRegisterScalarFunction("die", 0, func(*modernc.FunctionContext, []driver.Value) (driver.Value, error) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			return int64(4), nil
		})
		_, err := Open(context.Background(), Options{Path: os.Getenv(dieIn), Migrations: files(first, second, third)})
		fmt.Println("not killed:", err)
		os.Exit(1)
	case os.Getenv(fillIn) != "":
		upgradeWithoutRoom(os.Getenv(fillIn))
	default:
		os.Exit(m.Run())
	}
}

// made makes a file with these steps, and closes it.
func made(t *testing.T, path string, m fstest.MapFS) {
	t.Helper()
	db, err := open(t, path, m)
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// copies lists what lies beside the file.
func copies(t *testing.T, path string) (names []string) {
	t.Helper()
	all, err := filepath.Glob(path + ".*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		names = append(names, strings.TrimPrefix(p, path+"."))
	}
	return names
}

// rows counts those of table a in a file that nobody has open.
func rows(t *testing.T, path string, schema int) int64 {
	t.Helper()
	c, err := Inspect(t.Context(), path)
	if err != nil || c.Schema != schema {
		t.Fatalf("Inspect(%s) = %+v, %v, want schema %d", path, c, err, schema)
	}
	return c.Rows["a"]
}

func TestCopyBeforeMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	made(t, path, files(first))
	made(t, path, files(first))
	if got := copies(t, path); got != nil {
		t.Errorf("a new file has the copies %q", got)
	}
	steps := []string{first, second}
	for n := 2; n <= 5; n++ {
		made(t, path, files(steps...))
		steps = append(steps, fmt.Sprintf("INSERT INTO a VALUES (%d, 'more');", n+1))
	}
	if got, want := copies(t, path), []string{"before-4", "before-5"}; !slices.Equal(got, want) {
		t.Errorf("copies %q, want %q", got, want)
	}
	if got := rows(t, path+".before-4", 3); got != 3 {
		t.Errorf("%d rows before step 4, want 3", got)
	}
	if info, err := os.Stat(path + ".before-5"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy has mode %v, %v", info.Mode(), err)
	}
}

func TestNoCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	made(t, path, files(first))
	db, err := Open(t.Context(), Options{Path: path, Migrations: files(first, second), NoCopy: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got, _ := filepath.Glob(path + ".before*"); got != nil {
		t.Errorf("copies %q", got)
	}
}

// A copy that is on its way in what was committed but is still in the WAL file.
func TestCopyHasTheWAL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	old, err := open(t, path, files(first))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Writer.Exec("INSERT INTO a VALUES (77)"); err != nil {
		t.Fatal(err)
	}
	made(t, path, files(first, second)) // while old is open, so that nothing is folded
	if got := rows(t, path+".before-2", 1); got != 2 {
		t.Errorf("%d rows in the copy, want 2", got)
	}
}

// Damage that a look at the pages alone does not find stops a migration.
func TestDamageStopsMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	const table = "CREATE TABLE b (x INTEGER, y INTEGER) STRICT; CREATE INDEX i ON b (x); INSERT INTO b VALUES (1, 10), (2, 20);"
	db, err := open(t, path, files(table))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	raw.SetMaxOpenConns(1)
	// An index over x that SQLite believes to be over y.
	_, err = raw.Exec("PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON b (y)' WHERE name = 'i'")
	if err := errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, path, files(table, "DROP INDEX i;"))
	wantErr(t, err, ErrCorrupt, path, "check before migration")
	if got := copies(t, path); got != nil {
		t.Errorf("copies %q", got)
	}
}

// TestKilledInMigration: a kill in the middle of a step leaves the file before
// it with its copy, and the next Open goes on.
func TestKilledInMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	made(t, path, files(first))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), dieIn+"="+path)
	out, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed: %v %s", err, out)
	}
	if got := rows(t, path+".before-2", 1); got != 1 {
		t.Errorf("%d rows in the copy, want 1", got)
	}
	made(t, path, files(first, second, "INSERT INTO a VALUES (3, 'three');"))
	if got := rows(t, path, 3); got != 3 {
		t.Errorf("%d rows, want 3", got)
	}
	if got := rows(t, path+".before-3", 2); got != 2 {
		t.Errorf("%d rows before step 3, want 2", got)
	}
}

// TestNoRoomForCopy: without room for the copy nothing is migrated.
func TestNoRoomForCopy(t *testing.T) {
	for _, line := range disktest.Child(t, fillIn+"="+t.TempDir()) {
		if line != "" {
			t.Error(line)
		}
	}
}

// upgradeWithoutRoom prints what is wrong.
func upgradeWithoutRoom(dir string) {
	disktest.Mount(dir, "1m")
	ctx, path := context.Background(), filepath.Join(dir, "x.db")
	db, err := Open(ctx, Options{Path: path, Migrations: files(first)})
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		fmt.Println("make:", err)
	}
	_, err = Open(ctx, Options{Path: path, Migrations: files(first, second)})
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "which was not begun: ") || !strings.Contains(err.Error(), "make room on its disk") {
		fmt.Println("Open:", err)
	}
	if c, err := Inspect(ctx, path); err != nil || c.Schema != 1 {
		fmt.Println("Inspect:", c, err)
	}
	if left, _ := filepath.Glob(path + ".*"); left != nil {
		fmt.Println("left:", left)
	}
}
