package notice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

const (
	maxURL = 4096
	// hookTime bounds one POST, hookRest is how long none is tried after a
	// failure, hookTries how often one is.
	hookTime  = 10 * time.Second
	hookRest  = time.Minute
	hookTries = 3
	// maxPending is what waits for the webhook.
	maxPending = 100
)

// pending waits for the webhook.
type pending struct {
	body  []byte
	tries int
}

// hook posts events. It is used by one goroutine.
type hook struct {
	client  *http.Client
	pending []pending
	rest    time.Time // no POST before
	dropped uint64
}

func newHook() *hook {
	return &hook{client: &http.Client{
		Timeout: hookTime,
		// A redirect would send what we tell to whoever that server names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: nil, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
			DialContext: (&net.Dialer{Timeout: hookTime}).DialContext, TLSHandshakeTimeout: hookTime,
		},
	}}
}

// add takes an event. The oldest goes when too many wait.
func (h *hook) add(e Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode notice: %w", err)
	}
	if len(h.pending) >= maxPending {
		h.pending = h.pending[1:]
		h.dropped++
	}
	h.pending = append(h.pending, pending{body: body})
	return nil
}

// send posts what waits, unless the webhook has just failed. After a failure
// the rest waits too.
func (h *hook) send(ctx context.Context, to func() (secret.Value, error)) error {
	for len(h.pending) > 0 && ctx.Err() == nil && !time.Now().Before(h.rest) {
		at, err := to()
		if err == nil {
			err = h.post(ctx, at, h.pending[0].body)
		}
		if err == nil {
			h.pending = h.pending[1:]
			continue
		}
		h.rest = time.Now().Add(hookRest)
		if h.pending[0].tries++; h.pending[0].tries >= hookTries {
			h.pending = h.pending[1:]
			h.dropped++
		}
		return err
	}
	return nil
}

// post sends one body. The error does not hold the URL, which is a secret.
func (h *hook) post(ctx context.Context, to secret.Value, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, string(to.Reveal()), bytes.NewReader(body))
	if err != nil {
		return errors.New("webhook: the URL is not one")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "gatepost")
	resp, err := h.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return fmt.Errorf("webhook: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // what it says is not asked for
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("webhook: it answers %d", resp.StatusCode)
	}
	return nil
}

// readURL reads the file of the webhook.
func readURL(path string) (secret.Value, error) {
	b, err := readFile(path, maxURL)
	if err != nil {
		return secret.Value{}, fmt.Errorf("webhook: %w", err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	s := strings.TrimSpace(string(line))
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return secret.Value{}, fmt.Errorf("webhook: the first line of %s is not a URL", path)
	}
	ip := net.ParseIP(u.Hostname())
	here := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && here) {
		return secret.Value{}, fmt.Errorf("webhook: the URL in %s has to begin with https:// (http:// for this host only)", path)
	}
	return secret.String(s), nil
}
