package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/gatepost/gatepost/internal/abuse"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/hold"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// heldAccounts is a holder and a signalReader.
type heldAccounts struct {
	did []string
	err error
}

func (h *heldAccounts) Hold(_ context.Context, a mailaddr.Address) (hold.Outcome, error) {
	h.did = append(h.did, "hold "+a.String())
	return hold.Outcome{IDs: []string{"4XyZ1b2c3d"}, Queue: "x"}, h.err
}

func (h *heldAccounts) Release(_ context.Context, a mailaddr.Address, q hold.Queued) (hold.Outcome, error) {
	h.did = append(h.did, fmt.Sprintf("%s %s", q, a))
	return hold.Outcome{IDs: []string{}}, h.err
}

func (h *heldAccounts) Report(_ context.Context, a mailaddr.Address) (abuse.Report, error) {
	return abuse.Report{Account: a, Verdict: abuse.Verdict{Points: 7, Action: abuse.Warn}}, nil
}

func TestHoldOverTheSocket(t *testing.T) {
	ctx, h := t.Context(), &heldAccounts{}
	srv := &Server{mux: http.NewServeMux(), log: discard}
	srv.holdRoutes(h, h)
	c := &Client{path: "the test", http: &http.Client{Transport: localTransport{srv.mux}}}
	alice := accounttest.Addr(t, "al/ice@example.org")
	if out, err := c.HoldUser(ctx, alice); err != nil || len(out.IDs) != 1 || out.Queue != "x" {
		t.Errorf("HoldUser = %+v, %v", out, err)
	}
	if out, err := c.ReleaseUser(ctx, alice, hold.Drop); err != nil || out.IDs == nil {
		t.Errorf("ReleaseUser = %+v, %v", out, err)
	}
	if r, err := c.UserSignals(ctx, alice); err != nil || r.Account != alice || r.Points != 7 || r.Action != abuse.Warn {
		t.Errorf("UserSignals = %+v, %v", r, err)
	}
	h.err = account.ErrNotFound
	if _, err := c.HoldUser(ctx, alice); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	h.err = hold.ErrQueue
	var refused *Error
	if _, err := c.ReleaseUser(ctx, alice, hold.Send); !errors.As(err, &refused) || refused.Hint == "" {
		t.Errorf("no queue: %v", err)
	}
	if want := []string{"hold al/ice@example.org", "delete al/ice@example.org", "hold al/ice@example.org", "release al/ice@example.org"}; !slices.Equal(h.did, want) {
		t.Errorf("did %q", h.did)
	}
}
