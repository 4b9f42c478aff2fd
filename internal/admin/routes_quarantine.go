package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/quarantine/release"
)

type quarantineStore interface {
	List(ctx context.Context, f quarantine.Filter) ([]quarantine.Item, error)
	Show(id string) (quarantine.Item, error)
	Message(id string) (quarantine.Entry, *quarantine.Message, error)
	Remove(id string) error
}

// releaser hands messages over (package release).
type releaser interface {
	Release(ctx context.Context, q release.Request) (release.Outcome, error)
}

// Bounds of what one answer holds.
const (
	maxQuarantined = 10_000
	maxRawPiece    = 4 << 20
	maxHeaderShown = 64 << 10
)

// QuarantineDetail is an entry with the header of its message.
type QuarantineDetail struct {
	quarantine.Item
	// Fields are the header as it came, up to 64 KB.
	Fields string `json:"fields"`
}

// rawPiece is a part of a message.
type rawPiece struct {
	Data []byte `json:"data"`
	// Next is where the next piece begins, 0 at the end.
	Next int64 `json:"next,omitempty"`
}

// newRelease asks for a release.
type newRelease struct {
	To      mailaddr.Address `json:"to,omitzero"`
	NoLearn bool             `json:"no_learn,omitempty"`
}

func (s *Server) quarantineRoutes(q quarantineStore, rel releaser) {
	s.handle("GET /v1/quarantine", func(r *http.Request) (any, error) {
		f, err := quarantineFilter(r.URL.Query())
		if err != nil {
			return nil, badRequest(err)
		}
		return q.List(r.Context(), f)
	})
	s.handle("GET /v1/quarantine/{id}", func(r *http.Request) (any, error) { return quarantineDetail(q, r.PathValue("id")) })
	s.handle("GET /v1/quarantine/{id}/raw", func(r *http.Request) (any, error) {
		at, err := strconv.ParseInt(r.URL.Query().Get("at"), 10, 64)
		if err != nil || at < 0 {
			return nil, badRequest(errors.New("at is no place in a message"))
		}
		return quarantineRaw(q, r.PathValue("id"), at)
	})
	s.handle("POST /v1/quarantine/{id}/release", func(r *http.Request) (any, error) {
		var in newRelease
		if err := input(r, &in); err != nil {
			return nil, err
		}
		if rel == nil {
			return nil, &Error{Status: http.StatusServiceUnavailable, Text: "gatepost does not run: a message is released through its delivery daemon",
				Hint: "systemctl start gatepost, then release again"}
		}
		out, err := rel.Release(r.Context(), release.Request{ID: r.PathValue("id"), To: in.To, NoLearn: in.NoLearn})
		if err != nil && len(out.Delivered) > 0 { // somebody has it
			return withWarning{out, err.Error()}, nil
		}
		return out, err
	})
	s.handle("DELETE /v1/quarantine/{id}", func(r *http.Request) (any, error) { return nil, q.Remove(r.PathValue("id")) })
}

func quarantineFilter(v url.Values) (quarantine.Filter, error) {
	f := quarantine.Filter{From: v.Get("from"), To: v.Get("to"), Limit: maxQuarantined}
	if n := v.Get("limit"); n != "" {
		limit, err := strconv.Atoi(n)
		if err != nil || limit < 1 {
			return f, fmt.Errorf("limit %q is not a number from 1 on", n)
		}
		f.Limit = min(limit, maxQuarantined)
	}
	if t := v.Get("since"); t != "" {
		since, err := time.Parse(time.RFC3339, t)
		if err != nil {
			return f, err
		}
		f.Since = since
	}
	return f, nil
}

// quarantineDetail returns an entry; one with a damaged file is shown as far as
// its name tells.
func quarantineDetail(q quarantineStore, id string) (QuarantineDetail, error) {
	it, err := q.Show(id)
	if errors.Is(err, quarantine.ErrDamaged) {
		return QuarantineDetail{Item: it}, nil
	}
	if err != nil {
		return QuarantineDetail{}, err
	}
	_, msg, err := q.Message(it.ID)
	if err != nil {
		return QuarantineDetail{}, err
	}
	defer msg.Close()
	b, err := io.ReadAll(io.LimitReader(msg, maxHeaderShown))
	if err != nil {
		return QuarantineDetail{}, fmt.Errorf("read %s: %w", it.ID, err)
	}
	return QuarantineDetail{it, headerOf(string(b))}, nil
}

// headerOf returns what stands before the first empty line.
func headerOf(s string) string {
	for pos := 0; pos < len(s); {
		end := pos
		for end < len(s) && s[end] != '\n' {
			end++
		}
		if line := s[pos:end]; end < len(s) && (line == "" || line == "\r") {
			return s[:pos]
		}
		pos = end + 1
	}
	return s
}

func quarantineRaw(q quarantineStore, id string, at int64) (rawPiece, error) {
	e, msg, err := q.Message(id)
	if err != nil {
		return rawPiece{}, err
	}
	defer msg.Close()
	p := rawPiece{Data: make([]byte, max(0, min(maxRawPiece, e.Size-at)))}
	if n, err := msg.ReadAt(p.Data, at); n < len(p.Data) {
		return rawPiece{}, fmt.Errorf("read %s: %w", e.ID, err)
	}
	if next := at + int64(len(p.Data)); next < e.Size {
		p.Next = next
	}
	return p, nil
}

// Quarantined lists what is in quarantine, the newest first.
func (c *Client) Quarantined(ctx context.Context, f quarantine.Filter) ([]quarantine.Item, error) {
	v := url.Values{"from": {f.From}, "to": {f.To}}
	if f.Limit > 0 {
		v.Set("limit", strconv.Itoa(f.Limit))
	}
	if !f.Since.IsZero() {
		v.Set("since", f.Since.Format(time.RFC3339))
	}
	var out []quarantine.Item
	err := c.do(ctx, http.MethodGet, "/v1/quarantine?"+v.Encode(), nil, &out)
	return out, err
}

// QuarantineShow returns one entry, by its id or a queue id.
func (c *Client) QuarantineShow(ctx context.Context, id string) (QuarantineDetail, error) {
	var out QuarantineDetail
	err := c.do(ctx, http.MethodGet, "/v1/quarantine/"+escape(id), nil, &out)
	return out, err
}

// QuarantineRaw writes a message as it came to w.
func (c *Client) QuarantineRaw(ctx context.Context, id string, w io.Writer) error {
	for at := int64(0); ; {
		var p rawPiece
		if err := c.do(ctx, http.MethodGet, "/v1/quarantine/"+escape(id)+"/raw?at="+strconv.FormatInt(at, 10), nil, &p); err != nil {
			return err
		}
		if _, err := w.Write(p.Data); err != nil {
			return fmt.Errorf("write message: %w", err)
		}
		if p.Next <= at {
			return nil
		}
		at = p.Next
	}
}

// QuarantineRelease delivers an entry to its recipients, or to another address.
func (c *Client) QuarantineRelease(ctx context.Context, q release.Request) (release.Outcome, error) {
	var out release.Outcome
	err := c.do(ctx, http.MethodPost, "/v1/quarantine/"+escape(q.ID)+"/release", newRelease{q.To, q.NoLearn}, &out)
	return out, err
}

// QuarantineDelete deletes an entry for good.
func (c *Client) QuarantineDelete(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/quarantine/"+escape(id), nil, nil)
}
