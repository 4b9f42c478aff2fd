package admin

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/quarantine/release"
)

// fakeReleaser keeps what it was asked.
type fakeReleaser struct {
	asked release.Request
	out   release.Outcome
	err   error
}

func (f *fakeReleaser) Release(_ context.Context, q release.Request) (release.Outcome, error) {
	f.asked = q
	return f.out, f.err
}

// quarantineClient returns a client of the routes alone.
func quarantineClient(q quarantineStore, rel releaser) *Client {
	s := &Server{mux: http.NewServeMux(), log: discard}
	s.quarantineRoutes(q, rel)
	return &Client{path: "test", http: &http.Client{Transport: localTransport{s.mux}}}
}

func TestQuarantineRoutes(t *testing.T) {
	cfg := quarantine.Default()
	cfg.MinFree = 0
	q, err := quarantine.Open(filepath.Join(t.TempDir(), "q"), cfg, discard)
	if err != nil {
		t.Fatal(err)
	}
	rel := &fakeReleaser{}
	c, ctx := quarantineClient(q, rel), t.Context()
	big := "From: a@example.net\r\nSubject: =?utf-8?q?x?=\r\n\r\n" + strings.Repeat("0123456789\x00\xff\r\n", 700_000) // three pieces
	at := time.Date(2026, 11, 20, 6, 55, 35, 0, time.UTC)
	id, err := q.Put(ctx, quarantine.Entry{QueueID: "4XyZ", Arrived: at, MailFrom: "a b&c@example.net", RcptTo: []string{"alice@example.org"}, Size: int64(len(big))},
		strings.NewReader(big))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		f    quarantine.Filter
		want int
	}{{quarantine.Filter{}, 1}, {quarantine.Filter{From: "a b&C@"}, 1}, {quarantine.Filter{To: "bob"}, 0},
		{quarantine.Filter{Since: at, Limit: 1}, 1}, {quarantine.Filter{Since: at.Add(time.Second)}, 0}} {
		if got, err := c.Quarantined(ctx, tc.f); err != nil || len(got) != tc.want {
			t.Errorf("Quarantined(%+v) = %+v, %v, want %d", tc.f, got, err, tc.want)
		}
	}
	d, err := c.QuarantineShow(ctx, "4XyZ")
	if err != nil || d.ID != id || d.Fields != "From: a@example.net\r\nSubject: =?utf-8?q?x?=\r\n" || d.State != quarantine.Held {
		t.Errorf("QuarantineShow = %+v, %v", d, err)
	}
	var b bytes.Buffer
	if err := c.QuarantineRaw(ctx, id, &b); err != nil || b.String() != big {
		t.Errorf("QuarantineRaw = %d bytes, %v, want %d", b.Len(), err, len(big))
	}
	to := mustAddr(t, "bob@example.org")
	rel.out = release.Outcome{ID: id, Delivered: []quarantine.Delivered{{To: "bob@example.org"}}, State: quarantine.Partly}
	out, err := c.QuarantineRelease(ctx, release.Request{ID: id, To: to, NoLearn: true})
	if err != nil || out.State != quarantine.Partly || rel.asked != (release.Request{ID: id, To: to, NoLearn: true}) {
		t.Errorf("QuarantineRelease = %+v, %v, asked %+v", out, err, rel.asked)
	}
	// Somebody has it: that is no failure, and still told.
	var warned string
	c.Warn = func(s string) { warned = s }
	rel.err = errors.New("not learned yet")
	if out, err := c.QuarantineRelease(ctx, release.Request{ID: id}); err != nil || len(out.Delivered) != 1 || warned != "not learned yet" || !rel.asked.To.IsNull() {
		t.Errorf("QuarantineRelease = %+v, %v, warned %q", out, err, warned)
	}
	if err := c.QuarantineDelete(ctx, id); err != nil {
		t.Error(err)
	}
	if got, err := c.Quarantined(ctx, quarantine.Filter{}); err != nil || len(got) != 0 {
		t.Errorf("after the delete: %+v, %v", got, err)
	}
}

func TestQuarantineRoutesRefuse(t *testing.T) {
	q, err := quarantine.Open(filepath.Join(t.TempDir(), "q"), quarantine.Default(), discard)
	if err != nil {
		t.Fatal(err)
	}
	c, ctx := quarantineClient(q, nil), t.Context()
	for _, path := range []string{"/v1/quarantine?limit=0", "/v1/quarantine?limit=x", "/v1/quarantine?since=yesterday", "/v1/quarantine/x/raw?at=-1", "/v1/quarantine/x/raw"} {
		var e *Error
		if err := c.do(ctx, http.MethodGet, path, nil, nil); !errors.As(err, &e) || e.Status != http.StatusBadRequest {
			t.Errorf("%s: %v", path, err)
		}
	}
	var e *Error
	if _, err := c.QuarantineRelease(ctx, release.Request{ID: "x"}); !errors.As(err, &e) || e.Hint != "systemctl start gatepost, then release again" {
		t.Errorf("a release while nothing runs: %v", err)
	}
	if err := c.QuarantineDelete(ctx, "../../x"); err == nil {
		t.Error("an id that is none was deleted")
	}
}

func TestHeaderOf(t *testing.T) {
	for in, want := range map[string]string{"": "", "A: b\r\n\r\nc": "A: b\r\n", "A: b\n\nc": "A: b\n", "\r\nx": "", "A: b": "A: b", "A: b\r\n": "A: b\r\n"} {
		if got := headerOf(in); got != want {
			t.Errorf("headerOf(%q) = %q, want %q", in, got, want)
		}
	}
}
