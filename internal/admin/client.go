package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"syscall"
)

// maxAnswerBytes bounds what the client reads of one answer.
const maxAnswerBytes = 64 << 20

// ErrAway means that nothing answers on the admin socket.
var ErrAway = errors.New("nothing answers on the admin socket")

// Client asks a running Gatepost. It may be used concurrently.
type Client struct {
	path string
	http *http.Client
	// Warn, if set before the first request, hears what an answer lacks.
	Warn func(text string)
}

// NewClient returns a Client for the socket at path. It does not connect yet.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Local returns a Client for parts that this process itself has opened, when
// no other does: the same requests without a socket.
func Local(b Backend, log *slog.Logger) *Client {
	s := New(nil, b, log)
	return &Client{path: "the local store", http: &http.Client{Transport: localTransport{s.mux}}}
}

// localTransport hands a request to the handler it wraps.
type localTransport struct{ http.Handler }

func (t localTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := &answer{header: http.Header{}, status: http.StatusOK}
	t.ServeHTTP(w, r)
	return &http.Response{StatusCode: w.status, Status: http.StatusText(w.status), Header: w.header,
		Body: io.NopCloser(&w.body), Request: r}, nil
}

// answer is a ResponseWriter into memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// Health returns nil if Gatepost answers and is well, ErrAway (wrapped) if
// nothing answers, and what is wrong else.
func (c *Client) Health(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/healthz", nil, nil)
}

// do sends in as JSON and decodes the answer into out; both may be nil.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://gatepost"+path, body)
	if err != nil {
		return fmt.Errorf("build request: %w", err)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("%w %s", ErrAway, c.path)
		}
		var u *url.Error // says "Get" and our own made-up address
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("ask %s: %w", c.path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", c.path, err)
	}
	if text := res.Header.Get("X-Warning"); text != "" && c.Warn != nil {
		c.Warn(text)
	}
	if res.StatusCode != http.StatusOK {
		return refusal(res, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("decode answer of %s: %w", c.path, err)
	}
	return nil
}

// refusal turns an answer that is not 200 into an error that errors.Is knows.
func refusal(res *http.Response, body []byte) error {
	e := &Error{Status: res.StatusCode}
	if err := json.Unmarshal(body, e); err != nil || e.Text == "" {
		e.Text = "the admin socket answered " + res.Status
	}
	for sentinel, name := range sentinels {
		if res.Header.Get("X-Error") == name {
			return &remoteError{err: e, is: sentinel}
		}
	}
	return e
}

// remoteError is an Error that is also a sentinel of the part that gave it.
type remoteError struct {
	err *Error
	is  error
}

func (e *remoteError) Error() string   { return e.err.Text }
func (e *remoteError) Unwrap() []error { return []error{e.err, e.is} }

func escape(s string) string { return url.PathEscape(s) }
