package admin

import (
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

func TestRightsOverTheSocket(t *testing.T) {
	ctx := t.Context()
	store, err := account.OpenSQLite(ctx, filepath.Join(t.TempDir(), "accounts.db"), discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	accounttest.Fill(t, store, "example.org", "alice@example.org")
	srv := &Server{mux: http.NewServeMux(), log: discard}
	srv.rightsRoutes(store)
	c := &Client{path: "the test", http: &http.Client{Transport: localTransport{srv.mux}}}
	a := c.Accounts()

	alice, sales := accounttest.Addr(t, "alice@example.org"), accounttest.Addr(t, "sales/x@example.org")
	far := mailaddr.Address{Domain: "far.example"}
	for _, as := range []mailaddr.Address{sales, far} {
		if err := a.AddGrant(ctx, alice, as); err != nil {
			t.Errorf("AddGrant(%s) = %v", as, err)
		}
	}
	if err := a.AddGrant(ctx, alice, far); !errors.Is(err, account.ErrExists) {
		t.Errorf("AddGrant twice = %v", err)
	}
	if all, err := a.Grants(ctx, alice); err != nil || len(all) != 2 || all[0] != sales || all[1] != far {
		t.Errorf("Grants() = %v, %v", all, err)
	}
	if all, err := a.Grantees(ctx, far); err != nil || len(all) != 1 || all[0] != alice {
		t.Errorf("Grantees() = %v, %v", all, err)
	}
	if err := a.RemoveGrant(ctx, alice, sales); err != nil {
		t.Errorf("RemoveGrant() = %v", err)
	}

	p := account.Posting{Addr: sales, Rule: account.PostModerators, Moderators: []mailaddr.Address{alice}, Reason: "board"}
	if err := a.SetPosting(ctx, p); err != nil {
		t.Errorf("SetPosting() = %v", err)
	}
	if got, err := a.Posting(ctx, sales); err != nil || got.Rule != p.Rule || len(got.Moderators) != 1 {
		t.Errorf("Posting() = %+v, %v", got, err)
	}
	if all, err := a.Postings(ctx, "example.org"); err != nil || len(all) != 1 {
		t.Errorf("Postings() = %v, %v", all, err)
	}
	if err := errors.Join(a.RemovePosting(ctx, sales)); err != nil {
		t.Errorf("RemovePosting() = %v", err)
	}
	if _, err := a.Posting(ctx, sales); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("Posting() of what is gone = %v", err)
	}

	until := time.Now().Add(time.Hour)
	e, err := a.AddAccess(ctx, access.Entry{Deny: true, Name: "RDNS:*.x & y.example", For: "example.org", Until: until, Reason: "ü"})
	if err != nil || e.Name != "rdns:*.x & y.example" || e.For != "@example.org" {
		t.Errorf("AddAccess() = %+v, %v", e, err)
	}
	if _, err := a.AddAccess(ctx, access.Entry{Name: "a b"}); !errors.Is(err, account.ErrInvalid) {
		t.Errorf("AddAccess of nonsense = %v", err)
	}
	if all, err := a.Access(ctx); err != nil || len(all) != 1 || !all[0].Deny || all[0].Until.Unix() != until.Unix() {
		t.Errorf("Access() = %v, %v", all, err)
	}
	if err := a.RemoveAccess(ctx, true, e.Name, e.For); err != nil {
		t.Errorf("RemoveAccess() = %v", err)
	}
	if all, err := a.Access(ctx); err != nil || len(all) != 0 {
		t.Errorf("Access() = %v, %v", all, err)
	}
}
