package stated

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gatepost/gatepost/internal/keys"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/outgoing"
	"github.com/gatepost/gatepost/internal/quarantine"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/secret"
)

const (
	// messageTime bounds a call with a message in it.
	messageTime = 90 * time.Second
	// signTime bounds the wait for a signature, of a message of any size.
	signTime = 20 * time.Second
	// keysEvery is how often the list of keys is asked for, to know them while
	// nobody answers.
	keysEvery = 10 * time.Second
)

// message is a value in a line and what follows.
func message(v any, msg io.Reader) (io.Reader, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return io.MultiReader(bytes.NewReader(append(b, '\n')), msg), nil
}

// Quarantine is that of the other process.
type Quarantine struct{ c *Client }

// Quarantine returns it.
func (c *Client) Quarantine() *Quarantine { return &Quarantine{c} }

// replyFull is what a sender hears when there is no room.
var replyFull = reply.Must(451, "3.1", "not enough disk space here, please try again later")

// Put keeps a message. An error carries the reply for the sender.
func (q *Quarantine) Put(ctx context.Context, e quarantine.Entry, msg io.Reader) (id string, err error) {
	body, err := message(e, msg)
	if err == nil {
		err = q.c.ask(ctx, question{name: "quarantine/put", body: body, within: messageTime}, &id)
	}
	switch {
	case errors.Is(err, quarantine.ErrFull):
		return "", reply.WithError(replyFull, err)
	case err != nil:
		return "", reply.WithError(reply.Broken, fmt.Errorf("put into quarantine: %w", err))
	}
	return id, nil
}

// Outgoing is the spool of our own mail in the other process.
type Outgoing struct {
	c  *Client
	on func() bool
}

// Outgoing returns it. on says whether mail of our own can be sent at all.
func (c *Client) Outgoing(on func() bool) *Outgoing { return &Outgoing{c, on} }

// On reports whether mail of our own can be sent at all.
func (o *Outgoing) On() bool { return o.on() }

// Add hands over m: it is durable when Add returns.
func (o *Outgoing) Add(m outgoing.Mail) error {
	return o.c.ask(context.Background(), question{name: "outgoing/add", in: m, within: listTime}, nil)
}

// Wrote returns what a message is that waits there. When nobody answers it is
// none of ours.
func (o *Outgoing) Wrote(messageID string) (outgoing.Kind, bool) {
	var w wrote
	err := o.c.ask(context.Background(), question{name: "outgoing/wrote", in: messageID, again: true}, &w)
	return w.Kind, w.Waits && err == nil
}

// SRSKeys returns the keys of rewritten senders.
func (c *Client) SRSKeys(ctx context.Context) ([]secret.Value, error) {
	var all [][]byte
	if err := c.ask(ctx, question{name: "keys/srs", in: struct{}{}, again: true}, &all); err != nil {
		return nil, err
	}
	out := make([]secret.Value, len(all))
	for i, k := range all {
		out[i] = secret.New(k)
	}
	return out, nil
}

// Keys are the signing keys of the other process, which signs with them.
type Keys struct {
	c   *Client
	log *slog.Logger

	mu  sync.Mutex // guards now
	now map[string][]keys.Key
}

// Keys returns them, as they are now. Its Run keeps them so.
func (c *Client) Keys(ctx context.Context) (*Keys, error) {
	k := &Keys{c: c, log: c.log}
	return k, k.load(ctx)
}

// Run asks for them again and again until ctx ends. While nobody answers the list
// stays, and signing fails: mail waits, and does not go out unsigned.
func (k *Keys) Run(ctx context.Context) {
	t := time.NewTicker(keysEvery)
	defer t.Stop()
	for failed := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		err := k.load(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			k.log.LogAttrs(ctx, slog.LevelWarn, "list of signing keys not read, the old one stays", slog.Any("err", err))
		}
		failed = err != nil
	}
}

// Reload asks for them now.
func (k *Keys) Reload() error { return k.load(context.Background()) }

// Reconfigure does nothing: the other process has the settings.
func (k *Keys) Reconfigure(keys.Config) {}

func (k *Keys) load(ctx context.Context) error {
	next, err := k.list(ctx, "")
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = next
	return nil
}

// list asks for the keys of a domain, or with "" for all.
func (k *Keys) list(ctx context.Context, domain string) (map[string][]keys.Key, error) {
	var all []key
	if err := k.c.ask(ctx, question{name: "keys/list", in: lookup{Name: domain}, again: true}, &all); err != nil {
		return nil, err
	}
	out := map[string][]keys.Key{}
	for _, d := range all {
		full := keys.Key{Domain: d.Domain, Selector: d.Selector}
		if len(d.PEM) > 0 {
			var err error
			if full, err = keys.Usable(d.Domain, d.Selector, secret.New(d.PEM)); err != nil {
				return nil, fmt.Errorf("key %s: %w", full.Name(), err)
			}
		}
		full.Algorithm, full.Bits, full.State, full.Since = d.Algorithm, d.Bits, d.State, d.Since
		out[d.Domain] = append(out[d.Domain], full)
	}
	return out, nil
}

// of returns the keys of a domain: those of now, or without an answer those that
// were known at last.
func (k *Keys) of(domain string) []keys.Key {
	d, err := mailaddr.ParseDomain(strings.TrimSuffix(domain, "."))
	if err != nil {
		return nil
	}
	d = strings.ToLower(d)
	all, err := k.list(context.Background(), d)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.now[d] = all[d]
	}
	return k.now[d]
}

// Active returns the keys that sign for a domain. Those of a domain that does not
// seal sign by Sign only.
func (k *Keys) Active(domain string) []keys.Key { return active(k.of(domain)) }

func active(all []keys.Key) (out []keys.Key) {
	for _, x := range all {
		if x.State == keys.Active {
			out = append(out, x)
		}
	}
	return out
}

// Waiting reports whether a domain has keys of which none signs.
func (k *Keys) Waiting(domain string) bool {
	all := k.of(domain)
	return len(all) > 0 && len(active(all)) == 0
}

// Sign has the other process sign msg, which goes there.
func (k *Keys) Sign(signers []keys.Key, msg io.Reader) (values []string, err error) {
	if len(signers) == 0 {
		return nil, nil
	}
	with := make([]key, len(signers))
	for i, s := range signers {
		with[i] = key{Domain: s.Domain, Selector: s.Selector}
	}
	body, err := message(with, msg)
	if err != nil {
		return nil, err
	}
	err = k.c.ask(context.Background(), question{name: "keys/sign", body: body, within: signTime}, &values)
	return values, err
}
