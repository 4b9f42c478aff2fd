package admin

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

// newUser is a user on its way over the socket: the only place where a
// password hash is written out.
type newUser struct {
	account.User
	Hash string `json:"hash"`
}

func (s *Server) accountRoutes(a account.Store) {
	s.handle("GET /v1/domains", func(r *http.Request) (any, error) { return a.Domains(r.Context()) })
	s.handle("GET /v1/domains/{name}", func(r *http.Request) (any, error) {
		return a.Domain(r.Context(), r.PathValue("name"))
	})
	s.handle("PUT /v1/domains/{name}", func(r *http.Request) (any, error) {
		return nil, a.AddDomain(r.Context(), r.PathValue("name"))
	})
	s.handle("DELETE /v1/domains/{name}", func(r *http.Request) (any, error) {
		return nil, a.RemoveDomain(r.Context(), r.PathValue("name"), r.URL.Query().Get("force") == "true")
	})
	s.userRoutes(a)
	s.handle("GET /v1/aliases", func(r *http.Request) (any, error) {
		return a.Aliases(r.Context(), r.URL.Query().Get("mask"))
	})
	s.onAddr("GET /v1/aliases/{addr}", func(r *http.Request, addr mailaddr.Address) (any, error) {
		return a.Alias(r.Context(), addr)
	})
	s.handle("POST /v1/aliases", func(r *http.Request) (any, error) {
		var in account.Alias
		if err := input(r, &in); err != nil {
			return nil, err
		}
		return nil, a.AddAlias(r.Context(), in)
	})
	s.onAddr("DELETE /v1/aliases/{addr}", func(r *http.Request, addr mailaddr.Address) (any, error) {
		var to []mailaddr.Address
		if err := input(r, &to); err != nil {
			return nil, err
		}
		return nil, a.RemoveAlias(r.Context(), addr, to...)
	})
}

func (s *Server) userRoutes(a account.Store) {
	s.handle("GET /v1/users", func(r *http.Request) (any, error) {
		return a.Users(r.Context(), r.URL.Query().Get("mask"))
	})
	s.onAddr("GET /v1/users/{addr}", func(r *http.Request, addr mailaddr.Address) (any, error) {
		return a.User(r.Context(), addr)
	})
	s.handle("POST /v1/users", func(r *http.Request) (any, error) {
		var in newUser
		if err := input(r, &in); err != nil {
			return nil, err
		}
		in.User.Password = secret.String(in.Hash)
		return nil, a.AddUser(r.Context(), in.User)
	})
	s.onAddr("DELETE /v1/users/{addr}", func(r *http.Request, addr mailaddr.Address) (any, error) {
		return nil, a.RemoveUser(r.Context(), addr)
	})
	s.onAddr("PATCH /v1/users/{addr}", func(r *http.Request, addr mailaddr.Address) (any, error) {
		var in userChange
		if err := input(r, &in); err != nil {
			return nil, err
		}
		return nil, in.apply(r.Context(), a, addr)
	})
	s.appRoutes(a)
}

// userChange is what a PATCH of a user sets; nil fields stay.
type userChange struct {
	Hash     *string `json:"hash,omitempty"`
	Held     *bool   `json:"held,omitempty"`
	Disabled *bool   `json:"disabled,omitempty"`
	Quota    *int64  `json:"quota,omitempty"`
	loginChange
}

func (c userChange) apply(ctx context.Context, a account.Store, addr mailaddr.Address) error {
	if c.Hash != nil {
		if err := a.SetPassword(ctx, addr, secret.String(*c.Hash)); err != nil {
			return err
		}
	}
	if c.Held != nil {
		if err := a.SetHeld(ctx, addr, *c.Held); err != nil {
			return err
		}
	}
	if c.Disabled != nil {
		if err := a.SetDisabled(ctx, addr, *c.Disabled); err != nil {
			return err
		}
	}
	if c.Quota != nil {
		if err := a.SetQuota(ctx, addr, *c.Quota); err != nil {
			return err
		}
	}
	return c.loginChange.apply(ctx, a, addr)
}

// onAddr is handle for a pattern with {addr}.
func (s *Server) onAddr(pattern string, f func(*http.Request, mailaddr.Address) (any, error)) {
	s.handle(pattern, func(r *http.Request) (any, error) {
		var addr mailaddr.Address
		if err := addr.UnmarshalText([]byte(r.PathValue("addr"))); err != nil {
			return nil, &Error{Status: http.StatusBadRequest, Text: err.Error()}
		}
		return f(r, addr)
	})
}

// Accounts returns the account store of the running process.
func (c *Client) Accounts() account.Store { return remoteAccounts{c} }

// remoteAccounts is an account.Store over the socket.
type remoteAccounts struct{ c *Client }

var _ account.Store = remoteAccounts{}

func (r remoteAccounts) Domain(ctx context.Context, name string) (d account.Domain, err error) {
	err = r.c.do(ctx, http.MethodGet, "/v1/domains/"+escape(name), nil, &d)
	return d, err
}

func (r remoteAccounts) Domains(ctx context.Context) (l []account.Domain, err error) {
	err = r.c.do(ctx, http.MethodGet, "/v1/domains", nil, &l)
	return l, err
}

func (r remoteAccounts) AddDomain(ctx context.Context, name string) error {
	return r.c.do(ctx, http.MethodPut, "/v1/domains/"+escape(name), nil, nil)
}

func (r remoteAccounts) RemoveDomain(ctx context.Context, name string, force bool) error {
	query := ""
	if force {
		query = "?force=true"
	}
	return r.c.do(ctx, http.MethodDelete, "/v1/domains/"+escape(name)+query, nil, nil)
}

func (r remoteAccounts) User(ctx context.Context, addr mailaddr.Address) (u account.User, err error) {
	err = r.c.do(ctx, http.MethodGet, "/v1/users/"+escape(addr.String()), nil, &u)
	return u, err
}

func (r remoteAccounts) Users(ctx context.Context, mask string) (l []account.User, err error) {
	err = r.c.do(ctx, http.MethodGet, "/v1/users?mask="+url.QueryEscape(mask), nil, &l)
	return l, err
}

func (r remoteAccounts) AddUser(ctx context.Context, u account.User) error {
	return r.c.do(ctx, http.MethodPost, "/v1/users", newUser{User: u, Hash: string(u.Password.Reveal())}, nil)
}

func (r remoteAccounts) RemoveUser(ctx context.Context, addr mailaddr.Address) error {
	return r.c.do(ctx, http.MethodDelete, "/v1/users/"+escape(addr.String()), nil, nil)
}

func (r remoteAccounts) change(ctx context.Context, addr mailaddr.Address, c userChange) error {
	return r.c.do(ctx, http.MethodPatch, "/v1/users/"+escape(addr.String()), c, nil)
}

func (r remoteAccounts) SetPassword(ctx context.Context, addr mailaddr.Address, password secret.Value) error {
	hash := string(password.Reveal())
	return r.change(ctx, addr, userChange{Hash: &hash})
}

func (r remoteAccounts) SetHeld(ctx context.Context, addr mailaddr.Address, held bool) error {
	return r.change(ctx, addr, userChange{Held: &held})
}

func (r remoteAccounts) SetDisabled(ctx context.Context, addr mailaddr.Address, disabled bool) error {
	return r.change(ctx, addr, userChange{Disabled: &disabled})
}

func (r remoteAccounts) SetQuota(ctx context.Context, addr mailaddr.Address, bytes int64) error {
	return r.change(ctx, addr, userChange{Quota: &bytes})
}

func (r remoteAccounts) Alias(ctx context.Context, addr mailaddr.Address) (a account.Alias, err error) {
	err = r.c.do(ctx, http.MethodGet, "/v1/aliases/"+escape(addr.String()), nil, &a)
	return a, err
}

func (r remoteAccounts) Aliases(ctx context.Context, mask string) (l []account.Alias, err error) {
	err = r.c.do(ctx, http.MethodGet, "/v1/aliases?mask="+url.QueryEscape(mask), nil, &l)
	return l, err
}

func (r remoteAccounts) AddAlias(ctx context.Context, a account.Alias) error {
	return r.c.do(ctx, http.MethodPost, "/v1/aliases", a, nil)
}

func (r remoteAccounts) RemoveAlias(ctx context.Context, addr mailaddr.Address, to ...mailaddr.Address) error {
	return r.c.do(ctx, http.MethodDelete, "/v1/aliases/"+escape(addr.String()), to, nil)
}

// Version is always 0: nobody caches what the socket answers.
func (r remoteAccounts) Version() uint64 { return 0 }

// Close does nothing: the store is the other process's.
func (r remoteAccounts) Close() error { return nil }
