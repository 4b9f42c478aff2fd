package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mtasts"
	"github.com/gatepost/gatepost/internal/srs"
	"github.com/gatepost/gatepost/internal/tlspolicy"
	"github.com/gatepost/gatepost/milter"
)

// forwarder is what mail to other providers goes by: under which sender, and
// with how much TLS.
type forwarder struct {
	srs *srs.Live
	tls *tlspolicy.Policies
}

func newForwarder(cfg Config, s *stores, log *slog.Logger) (*forwarder, error) {
	f := &forwarder{srs: &srs.Live{}}
	r, err := cfg.rewriter(srs.Keys)
	if err != nil {
		return nil, err
	}
	f.srs.Set(r)
	sts, err := mtasts.New(mtasts.Deps{DNS: s.dns, Store: s.state}, log)
	if err != nil {
		return nil, err
	}
	s.open = append(s.open, closer(sts.Close))
	f.tls, err = tlspolicy.New(cfg.Policyd.TLSPolicy, s.dns, sts)
	return f, err
}

// milter is what the milter asks. It is always there, so that a reload can
// switch SRS on; without a domain nobody is asked.
func (f *forwarder) milter(cfg Config, s *stores) *milter.Forwarding {
	return &milter.Forwarding{
		SRS: f.srs,
		Outside: func(ctx context.Context, rcpts []mailaddr.Address) (bool, error) {
			return account.Forwards(ctx, s.accounts, rcpts, cfg.RecipientDelimiter)
		},
		Own: func(ctx context.Context, domain string) (bool, error) {
			_, err := s.accounts.Domain(ctx, domain)
			if errors.Is(err, account.ErrNotFound) {
				return false, nil
			}
			return err == nil, err
		},
	}
}

// closer is an io.Closer that cannot fail.
type closer func()

// Close calls it.
func (c closer) Close() error { c(); return nil }
