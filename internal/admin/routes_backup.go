package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"syscall"
	"time"
)

// backupSource writes all that is below the data directory as one stream
// (package backup).
type backupSource interface {
	// Stream returns an error with nothing written, or has it in the stream, too.
	Stream(ctx context.Context, w io.Writer) error
}

// backupStall is how long a backup waits for its reader, who may have to bring a
// large file to a slow disk. While it runs, what is written to the databases stays
// in their WAL files.
const backupStall = 5 * time.Minute

// backupRoutes serves the stream; src is nil where no store is open.
func (s *Server) backupRoutes(src backupSource) {
	s.mux.HandleFunc("GET /v1/backup", func(w http.ResponseWriter, r *http.Request) {
		if src == nil {
			writeError(w, &Error{Status: http.StatusServiceUnavailable, Text: "this process has no store that it could copy"})
			return
		}
		out := &streamWriter{w: w, control: http.NewResponseController(w)}
		// The deadlines of a request are for short ones. The one for reading is not
		// ours any more: when it passes net/http takes the peer for gone.
		if err := out.control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
			writeError(w, err)
			return
		}
		err := src.Stream(r.Context(), out)
		if err == nil {
			return
		}
		if !out.begun {
			writeError(w, err)
			return
		}
		s.log.LogAttrs(r.Context(), slog.LevelError, "backup not whole", slog.Any("err", err))
	})
}

// streamWriter is a long answer, of which each piece has its own time.
type streamWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (s *streamWriter) Write(p []byte) (int, error) {
	if !s.begun {
		s.w.Header().Set("Content-Type", "application/x-tar")
		s.begun = true
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(backupStall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return s.w.Write(p)
}

// Backup returns the stream of all that is below the data directory. The caller
// closes it.
func (c *Client) Backup(ctx context.Context) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gatepost/v1/backup", nil)
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%w %s", ErrAway, c.path)
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("ask %s: %w", c.path, err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxBodyBytes))
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", c.path, err)
	}
	return nil, refusal(res, b)
}
