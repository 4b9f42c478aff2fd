package admin

import (
	"context"
	"errors"
	"net/http"

	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/hold"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// holder holds and releases accounts (package hold).
type holder interface {
	Hold(ctx context.Context, account mailaddr.Address) (hold.Outcome, error)
	Release(ctx context.Context, account mailaddr.Address, q hold.Queued) (hold.Outcome, error)
}

// signalReader says how accounts stand (package abuse).
type signalReader interface {
	Report(ctx context.Context, account mailaddr.Address) (abuse.Report, error)
}

// newUserRelease says what becomes of mail on hold.
type newUserRelease struct {
	Queued hold.Queued `json:"queued"`
}

func (s *Server) holdRoutes(h holder, w signalReader) {
	s.onAddr("POST /v1/users/{addr}/hold", func(r *http.Request, addr mailaddr.Address) (any, error) {
		return h.Hold(r.Context(), addr)
	})
	s.onAddr("POST /v1/users/{addr}/release", func(r *http.Request, addr mailaddr.Address) (any, error) {
		var in newUserRelease
		if err := input(r, &in); err != nil {
			return nil, err
		}
		out, err := h.Release(r.Context(), addr, in.Queued)
		if errors.Is(err, hold.ErrQueue) {
			err = &Error{Status: http.StatusServiceUnavailable, Text: err.Error(),
				Hint: "systemctl status gatepost-queue.socket shows the helper; --queued keep releases the account and leaves the queue alone"}
		}
		return out, err
	})
	s.onAddr("GET /v1/users/{addr}/signals", func(r *http.Request, addr mailaddr.Address) (any, error) {
		return w.Report(r.Context(), addr)
	})
}

// HoldUser stops the outgoing mail of a user, in the queue too.
func (c *Client) HoldUser(ctx context.Context, addr mailaddr.Address) (out hold.Outcome, err error) {
	err = c.do(ctx, http.MethodPost, "/v1/users/"+escape(addr.String())+"/hold", struct{}{}, &out)
	return out, err
}

// ReleaseUser lets a held user send again.
func (c *Client) ReleaseUser(ctx context.Context, addr mailaddr.Address, q hold.Queued) (out hold.Outcome, err error) {
	err = c.do(ctx, http.MethodPost, "/v1/users/"+escape(addr.String())+"/release", newUserRelease{q}, &out)
	return out, err
}

// UserSignals says how the sending of a user stands against the user's habit.
func (c *Client) UserSignals(ctx context.Context, addr mailaddr.Address) (out abuse.Report, err error) {
	err = c.do(ctx, http.MethodGet, "/v1/users/"+escape(addr.String())+"/signals", nil, &out)
	return out, err
}
