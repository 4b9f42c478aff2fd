package admin

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// appStore is what accounts know of app passwords.
type appStore interface {
	account.AppReader
	account.AppWriter
}

// newApp is an app password on its way over the socket, with its hash.
type newApp struct {
	account.AppPassword
	Stored string `json:"hash"`
}

func (s *Server) appRoutes(a appStore) {
	s.onAddr("GET /v1/users/{addr}/app-passwords", func(r *http.Request, user mailaddr.Address) (any, error) {
		return a.AppPasswords(r.Context(), user)
	})
	s.onAddr("POST /v1/users/{addr}/app-passwords", func(r *http.Request, user mailaddr.Address) (any, error) {
		var in newApp
		if err := input(r, &in); err != nil {
			return nil, err
		}
		in.User, in.Hash = user, secret.String(in.Stored)
		return nil, a.AddAppPassword(r.Context(), in.AppPassword)
	})
	s.onAddr("DELETE /v1/users/{addr}/app-passwords", func(r *http.Request, user mailaddr.Address) (any, error) {
		return nil, a.RemoveAppPassword(r.Context(), user, r.URL.Query().Get("name"))
	})
}

// loginChange is the part of a PATCH that restricts logins; nil fields stay.
type loginChange struct {
	AllowNets *[]netip.Prefix `json:"allow_nets,omitempty"`
	NoLogin   *string         `json:"nologin,omitempty"`
	Services  *[]string       `json:"services,omitempty"`
	// Expires is the end in milliseconds, 0 for none.
	Expires *int64 `json:"expires,omitempty"`
}

func (c loginChange) apply(ctx context.Context, a account.LoginWriter, addr mailaddr.Address) error {
	if c.AllowNets != nil {
		if err := a.SetAllowNets(ctx, addr, *c.AllowNets); err != nil {
			return err
		}
	}
	if c.NoLogin != nil {
		if err := a.SetNoLogin(ctx, addr, *c.NoLogin); err != nil {
			return err
		}
	}
	if c.Services != nil {
		if err := a.SetServices(ctx, addr, *c.Services); err != nil {
			return err
		}
	}
	if c.Expires == nil {
		return nil
	}
	var end time.Time
	if *c.Expires != 0 {
		end = time.UnixMilli(*c.Expires)
	}
	return a.SetExpires(ctx, addr, end)
}

func (r remoteAccounts) SetAllowNets(ctx context.Context, addr mailaddr.Address, nets []netip.Prefix) error {
	nets = append([]netip.Prefix{}, nets...) // null would be no change
	return r.change(ctx, addr, userChange{loginChange: loginChange{AllowNets: &nets}})
}

func (r remoteAccounts) SetNoLogin(ctx context.Context, addr mailaddr.Address, reason string) error {
	return r.change(ctx, addr, userChange{loginChange: loginChange{NoLogin: &reason}})
}

func (r remoteAccounts) SetServices(ctx context.Context, addr mailaddr.Address, services []string) error {
	services = append([]string{}, services...)
	return r.change(ctx, addr, userChange{loginChange: loginChange{Services: &services}})
}

func (r remoteAccounts) SetExpires(ctx context.Context, addr mailaddr.Address, end time.Time) error {
	var ms int64
	if !end.IsZero() {
		ms = end.UnixMilli()
	}
	return r.change(ctx, addr, userChange{loginChange: loginChange{Expires: &ms}})
}

func appsPath(user mailaddr.Address) string {
	return "/v1/users/" + escape(user.String()) + "/app-passwords"
}

func (r remoteAccounts) AppPasswords(ctx context.Context, user mailaddr.Address) (l []account.AppPassword, err error) {
	err = r.c.do(ctx, http.MethodGet, appsPath(user), nil, &l)
	return l, err
}

func (r remoteAccounts) AddAppPassword(ctx context.Context, p account.AppPassword) error {
	return r.c.do(ctx, http.MethodPost, appsPath(p.User), newApp{AppPassword: p, Stored: string(p.Hash.Reveal())}, nil)
}

func (r remoteAccounts) RemoveAppPassword(ctx context.Context, user mailaddr.Address, name string) error {
	return r.c.do(ctx, http.MethodDelete, appsPath(user)+"?name="+url.QueryEscape(name), nil, nil)
}
