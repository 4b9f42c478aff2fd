package sink

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

const (
	minSecret, maxSecret = 16, 4096
	// maxPosted bounds the bans of one sync.
	maxPosted = 20_000
	// tries is how often one POST is tried before the whole list has to follow.
	tries = 2
)

// message is the body of a POST.
type message struct {
	Action string    `json:"action"`
	Time   time.Time `json:"time"`
	Ban    *Ban      `json:"ban,omitempty"`
	// Bans are all that hold, with action sync; More says that there are
	// others, which last less long.
	Bans []Ban `json:"bans,omitempty"`
	More bool  `json:"more,omitempty"`
}

// webhook posts changes.
type webhook struct {
	url, auth string
	secret    secret.Value
	client    *http.Client
}

func newWebhook(cfg WebhookConfig) (*webhook, error) {
	w := &webhook{url: cfg.URL, auth: cfg.Auth}
	if cfg.SecretFile != "" {
		s, err := readSecret(cfg.SecretFile)
		if err != nil {
			return nil, err
		}
		w.secret = s
	}
	t := cfg.Timeout.Std()
	w.client = &http.Client{
		Timeout: t,
		// A redirect would send our secret to whoever that server names.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: nil, MaxIdleConns: 1, IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10,
			DialContext: (&net.Dialer{Timeout: t}).DialContext, TLSHandshakeTimeout: t,
		},
	}
	return w, nil
}

// readSecret reads the first line of a file.
func readSecret(path string) (secret.Value, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Value{}, fmt.Errorf("ban_sinks.webhook.secret_file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return secret.Value{}, fmt.Errorf("ban_sinks.webhook.secret_file: read %s: %w", path, err)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSpace(line)
	if len(line) < minSecret || len(line) > maxSecret || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
		return secret.Value{}, fmt.Errorf("ban_sinks.webhook.secret_file: the first line of %s is not %d to %d printable characters", path, minSecret, maxSecret)
	}
	return secret.New(line), nil
}

func (w *webhook) apply(ctx context.Context, c Change) error {
	m := message{Action: "ban", Time: time.Now().UTC(), Ban: &c.Ban}
	if c.Lifted {
		m.Action = "lift"
	}
	return w.send(ctx, m)
}

func (w *webhook) sync(ctx context.Context, all []Ban) error {
	m := message{Action: "sync", Time: time.Now().UTC(), Bans: all}
	if len(all) > maxPosted {
		m.Bans, m.More = longest(all, maxPosted), true
	}
	return w.send(ctx, m)
}

func (w *webhook) close() error {
	w.client.CloseIdleConnections()
	return nil
}

// send posts m, twice when the first time fails on the way or with a 5xx.
func (w *webhook) send(ctx context.Context, m message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	for range tries {
		var again bool
		if again, err = w.post(ctx, body); !again {
			return err
		}
	}
	return err
}

// post sends one body. The error holds nothing of the secret.
func (w *webhook) post(ctx context.Context, body []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("webhook: the URL is not one")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "gatepost")
	w.sign(req, body, time.Now())
	resp, err := w.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return ctx.Err() == nil, fmt.Errorf("webhook: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // what it says is not asked for
	if resp.StatusCode/100 != 2 {
		return resp.StatusCode/100 == 5, fmt.Errorf("webhook: it answers %d", resp.StatusCode)
	}
	return false, nil
}

// sign proves who sends. The time is signed too, so that a POST cannot be sent
// again later.
func (w *webhook) sign(req *http.Request, body []byte, now time.Time) {
	switch {
	case w.secret.IsEmpty():
	case w.auth == "bearer":
		req.Header.Set("Authorization", "Bearer "+string(w.secret.Reveal()))
	default:
		t := strconv.FormatInt(now.Unix(), 10)
		mac := hmac.New(sha256.New, w.secret.Reveal())
		mac.Write([]byte(t + "."))
		mac.Write(body)
		req.Header.Set("X-Gatepost-Signature", "t="+t+",v1="+hex.EncodeToString(mac.Sum(nil)))
	}
}
