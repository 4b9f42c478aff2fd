package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/resolver"
	"github.com/gatepost/gatepost/internal/secret"
)

type keyStore interface {
	List() []keys.Key
	Statuses(domain string) []keys.Status
	Create(domain, selector string, alg keys.Algorithm) (keys.Key, error)
	CreatePending(domain, selector string, alg keys.Algorithm) (keys.Key, error)
	Import(domain, selector string, text secret.Value) (keys.Key, error)
	Remove(domain, selector string) error
	Rotate(domain string) ([]keys.Key, error)
	Activate(domain string) ([]keys.Key, error)
	Undo(domain string) (string, error)
	Check(ctx context.Context, auth keys.Authority, domain string) ([]keys.Key, error)
}

// keyDNS asks what is published now, of whom everybody asks and of the servers
// of a zone themselves.
type keyDNS interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	Authoritative(ctx context.Context, name string) ([]resolver.Shown, time.Duration, error)
}

// Key is what the command line needs to know of a signing key: nothing secret.
type Key struct {
	Domain    string    `json:"domain"`
	Selector  string    `json:"selector"`
	Algorithm string    `json:"algorithm"`
	Bits      int       `json:"bits"`
	State     string    `json:"state"`
	Since     time.Time `json:"since,omitzero"`
	// Next is what a person has to do about the key.
	Next string `json:"next,omitempty"`
	Name string `json:"name"`
	// Record is the text to publish, Strings the same in pieces of at most 255
	// octets, Zone, Line and Update the forms in which it is entered.
	Record  string   `json:"record"`
	Strings []string `json:"strings"`
	Zone    string   `json:"zone"`
	Line    string   `json:"line"`
	Update  string   `json:"nsupdate"`
}

func describe(k keys.Key, next string) Key {
	return Key{Domain: k.Domain, Selector: k.Selector, Algorithm: string(k.Algorithm), Bits: k.Bits,
		State: string(k.State), Since: k.Since, Next: next, Name: k.Name(), Record: k.Record(),
		Strings: k.Strings(), Zone: k.Zone(), Line: k.Line(), Update: k.Update()}
}

// NewKey asks for a key: an empty Selector gets a name from date and algorithm.
type NewKey struct {
	Domain    string `json:"domain"`
	Selector  string `json:"selector"`
	Algorithm string `json:"algorithm"`
	// Pending keeps the key from signing until its record is published.
	Pending bool `json:"pending,omitempty"`
}

// importKey is a private key of another program.
type importKey struct {
	Domain   string `json:"domain"`
	Selector string `json:"selector"`
	Text     []byte `json:"text"`
}

// Rotate says what to do about the keys of a domain.
type Rotate string

// What to do.
const (
	// RotateNext makes the next keys, or goes on with those that are pending.
	RotateNext Rotate = "next"
	// RotateCheck looks at the DNS now.
	RotateCheck Rotate = "check"
	// RotateNow activates pending keys without a look at the DNS.
	RotateNow Rotate = "now"
	// RotateUndo takes the last step back.
	RotateUndo Rotate = "undo"
)

// Rotated is what became of it.
type Rotated struct {
	// Undone is the name of the step that was taken back.
	Undone string `json:"undone,omitempty"`
	// Keys are all keys of the domain.
	Keys []Key `json:"keys"`
}

type rotation struct {
	Domain string `json:"domain"`
	Do     Rotate `json:"do"`
}

func (s *Server) keyRoutes(k keyStore, dns keyDNS) {
	list := func(domain string) []Key {
		out := []Key{}
		for _, st := range k.Statuses(domain) {
			out = append(out, describe(st.Key, st.Next))
		}
		return out
	}
	s.handle("GET /v1/keys", func(r *http.Request) (any, error) { return list(r.URL.Query().Get("domain")), nil })
	s.handle("GET /v1/keys/test", func(r *http.Request) (any, error) {
		return testKeys(r.Context(), k.List(), dns, r.URL.Query().Get("domain")), nil
	})
	s.handle("POST /v1/keys", func(r *http.Request) (any, error) {
		var in NewKey
		if err := input(r, &in); err != nil {
			return nil, err
		}
		create := k.Create
		if in.Pending {
			create = k.CreatePending
		}
		key, err := create(in.Domain, in.Selector, keys.Algorithm(in.Algorithm))
		if err != nil {
			return nil, err
		}
		return describe(key, ""), nil
	})
	s.handle("POST /v1/keys/import", func(r *http.Request) (any, error) {
		var in importKey
		if err := input(r, &in); err != nil {
			return nil, err
		}
		text := secret.New(in.Text)
		clear(in.Text)
		key, err := k.Import(in.Domain, in.Selector, text)
		if err != nil {
			return nil, err
		}
		return describe(key, ""), nil
	})
	s.handle("DELETE /v1/keys", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		return nil, k.Remove(q.Get("domain"), q.Get("selector"))
	})
	s.handle("POST /v1/keys/rotate", func(r *http.Request) (any, error) {
		var in rotation
		if err := input(r, &in); err != nil {
			return nil, err
		}
		undone, err := rotate(r.Context(), k, dns, in)
		if err != nil {
			return nil, err
		}
		return Rotated{Undone: undone, Keys: list(in.Domain)}, nil
	})
}

// testKeys compares what the DNS has with the keys of domain, or all for "".
func testKeys(ctx context.Context, all []keys.Key, dns keyDNS, domain string) []keys.Report {
	out := []keys.Report{}
	for _, key := range all {
		if domain != "" && !strings.EqualFold(domain, key.Domain) {
			continue
		}
		report, err := keys.Test(ctx, dns, key)
		if err != nil {
			report.Problem = "the DNS gave no answer: " + err.Error()
		}
		out = append(out, report)
	}
	return out
}

func rotate(ctx context.Context, k keyStore, dns keyDNS, in rotation) (undone string, err error) {
	switch in.Do {
	case RotateNext:
		_, err = k.Rotate(in.Domain)
	case RotateCheck:
		_, err = k.Check(ctx, dns, in.Domain)
	case RotateNow:
		_, err = k.Activate(in.Domain)
	case RotateUndo:
		undone, err = k.Undo(in.Domain)
	default:
		err = badRequest(fmt.Errorf("%q is nothing that can be done with keys", string(in.Do)))
	}
	return undone, err
}

// Keys lists the signing keys of domain, or all for "".
func (c *Client) Keys(ctx context.Context, domain string) ([]Key, error) {
	var out []Key
	err := c.do(ctx, http.MethodGet, "/v1/keys?domain="+url.QueryEscape(domain), nil, &out)
	return out, err
}

// TestKeys compares the DNS with the private keys of domain, or all for "".
func (c *Client) TestKeys(ctx context.Context, domain string) ([]keys.Report, error) {
	var out []keys.Report
	err := c.do(ctx, http.MethodGet, "/v1/keys/test?domain="+url.QueryEscape(domain), nil, &out)
	return out, err
}

// CreateKey makes a signing key, which is in use from then on or pending.
func (c *Client) CreateKey(ctx context.Context, k NewKey) (Key, error) {
	var out Key
	err := c.do(ctx, http.MethodPost, "/v1/keys", k, &out)
	return out, err
}

// ImportKey takes a private key of another program into use.
func (c *Client) ImportKey(ctx context.Context, domain, selector string, text secret.Value) (Key, error) {
	var out Key
	err := c.do(ctx, http.MethodPost, "/v1/keys/import", importKey{domain, selector, text.Reveal()}, &out)
	return out, err
}

// RemoveKey takes a key away that is revoked or was never used.
func (c *Client) RemoveKey(ctx context.Context, domain, selector string) error {
	return c.do(ctx, http.MethodDelete, "/v1/keys?domain="+url.QueryEscape(domain)+"&selector="+url.QueryEscape(selector), nil, nil)
}

// RotateKeys does one step with the keys of a domain.
func (c *Client) RotateKeys(ctx context.Context, domain string, do Rotate) (Rotated, error) {
	var out Rotated
	err := c.do(ctx, http.MethodPost, "/v1/keys/rotate", rotation{domain, do}, &out)
	return out, err
}
