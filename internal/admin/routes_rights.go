package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// rightsStore is what accounts know of who may do what.
type rightsStore interface {
	account.Rights
	account.RightsWriter
}

func (s *Server) rightsRoutes(a rightsStore) {
	s.onAddr("GET /v1/users/{addr}/grants", func(r *http.Request, user mailaddr.Address) (any, error) {
		return a.Grants(r.Context(), user)
	})
	s.onAddr("GET /v1/grants/{addr}", func(r *http.Request, as mailaddr.Address) (any, error) {
		return a.Grantees(r.Context(), as)
	})
	s.onAddr("POST /v1/users/{addr}/grants", func(r *http.Request, user mailaddr.Address) (any, error) {
		var as mailaddr.Address
		if err := input(r, &as); err != nil {
			return nil, err
		}
		return nil, a.AddGrant(r.Context(), user, as)
	})
	s.onAddr("DELETE /v1/users/{addr}/grants", func(r *http.Request, user mailaddr.Address) (any, error) {
		var as mailaddr.Address
		if err := input(r, &as); err != nil {
			return nil, err
		}
		return nil, a.RemoveGrant(r.Context(), user, as)
	})
	s.postingRoutes(a)
	s.handle("GET /v1/access", func(r *http.Request) (any, error) { return a.Access(r.Context()) })
	s.handle("POST /v1/access", func(r *http.Request) (any, error) {
		var in access.Entry
		if err := input(r, &in); err != nil {
			return nil, err
		}
		return a.AddAccess(r.Context(), in)
	})
	s.handle("DELETE /v1/access", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		return nil, a.RemoveAccess(r.Context(), q.Get("deny") == "true", q.Get("name"), q.Get("for"))
	})
}

func (s *Server) postingRoutes(a rightsStore) {
	s.handle("GET /v1/postings", func(r *http.Request) (any, error) {
		return a.Postings(r.Context(), r.URL.Query().Get("mask"))
	})
	s.onAddr("GET /v1/postings/{addr}", func(r *http.Request, addr mailaddr.Address) (any, error) {
		return a.Posting(r.Context(), addr)
	})
	s.handle("POST /v1/postings", func(r *http.Request) (any, error) {
		var in account.Posting
		if err := input(r, &in); err != nil {
			return nil, err
		}
		return nil, a.SetPosting(r.Context(), in)
	})
	s.onAddr("DELETE /v1/postings/{addr}", func(r *http.Request, addr mailaddr.Address) (any, error) {
		return nil, a.RemovePosting(r.Context(), addr)
	})
}

func (r remoteAccounts) Grants(ctx context.Context, user mailaddr.Address) (l []mailaddr.Address, err error) {
	err = r.c.do(ctx, http.MethodGet, "/v1/users/"+escape(user.String())+"/grants", nil, &l)
	return l, err
}

func (r remoteAccounts) Grantees(ctx context.Context, as mailaddr.Address) (l []mailaddr.Address, err error) {
	err = r.c.do(ctx, http.MethodGet, "/v1/grants/"+escape(as.String()), nil, &l)
	return l, err
}

func (r remoteAccounts) AddGrant(ctx context.Context, user, as mailaddr.Address) error {
	return r.c.do(ctx, http.MethodPost, "/v1/users/"+escape(user.String())+"/grants", as, nil)
}

func (r remoteAccounts) RemoveGrant(ctx context.Context, user, as mailaddr.Address) error {
	return r.c.do(ctx, http.MethodDelete, "/v1/users/"+escape(user.String())+"/grants", as, nil)
}

func (r remoteAccounts) Posting(ctx context.Context, addr mailaddr.Address) (p account.Posting, err error) {
	err = r.c.do(ctx, http.MethodGet, "/v1/postings/"+escape(addr.String()), nil, &p)
	return p, err
}

func (r remoteAccounts) Postings(ctx context.Context, mask string) (l []account.Posting, err error) {
	err = r.c.do(ctx, http.MethodGet, "/v1/postings?mask="+url.QueryEscape(mask), nil, &l)
	return l, err
}

func (r remoteAccounts) SetPosting(ctx context.Context, p account.Posting) error {
	return r.c.do(ctx, http.MethodPost, "/v1/postings", p, nil)
}

func (r remoteAccounts) RemovePosting(ctx context.Context, addr mailaddr.Address) error {
	return r.c.do(ctx, http.MethodDelete, "/v1/postings/"+escape(addr.String()), nil, nil)
}

func (r remoteAccounts) Access(ctx context.Context) (l []access.Entry, err error) {
	err = r.c.do(ctx, http.MethodGet, "/v1/access", nil, &l)
	return l, err
}

func (r remoteAccounts) AddAccess(ctx context.Context, e access.Entry) (added access.Entry, err error) {
	err = r.c.do(ctx, http.MethodPost, "/v1/access", e, &added)
	return added, err
}

func (r remoteAccounts) RemoveAccess(ctx context.Context, deny bool, name, scope string) error {
	query := url.Values{"deny": {strconv.FormatBool(deny)}, "name": {name}, "for": {scope}}
	return r.c.do(ctx, http.MethodDelete, "/v1/access?"+query.Encode(), nil, nil)
}
