package admin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// fakeBackup writes that many bytes and ends with err.
type fakeBackup struct {
	bytes int
	err   error
}

func (f fakeBackup) Stream(_ context.Context, w io.Writer) error {
	for left := f.bytes; left > 0; left -= 1 << 16 {
		if _, err := w.Write(bytes.Repeat([]byte{'x'}, min(left, 1<<16))); err != nil {
			return err
		}
	}
	return f.err
}

// backupClient serves src on a socket of its own.
func backupClient(t *testing.T, src backupSource, log io.Writer) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "gp")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "admin")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{uids: []int{os.Getuid()}, mux: http.NewServeMux(), log: slog.New(slog.NewTextHandler(log, nil))}
	s.backupRoutes(src)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	c := NewClient(path)
	t.Cleanup(func() {
		c.http.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve() = %v", err)
		}
		_ = os.RemoveAll(dir)
	})
	return c
}

func TestBackupStream(t *testing.T) {
	var log bytes.Buffer
	c := backupClient(t, fakeBackup{bytes: 100 << 20}, &log)
	in, err := c.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if n, err := io.Copy(io.Discard, in); n != 100<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestBackupRefused: what fails before the first byte is an answer.
func TestBackupRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		src  backupSource
		want string
	}{
		{"busy", fakeBackup{err: errors.New("another backup is under way")}, "another backup is under way"},
		{"no store", nil, "this process has no store that it could copy"},
	} {
		var log bytes.Buffer
		_, err := backupClient(t, tc.src, &log).Backup(t.Context())
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: Backup() = %v, want %s", tc.name, err, tc.want)
		}
	}
	if _, err := NewClient("/nowhere/admin").Backup(t.Context()); !errors.Is(err, ErrAway) {
		t.Errorf("Backup() of nobody = %v", err)
	}
}
