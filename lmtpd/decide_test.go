package lmtpd

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/delivery"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/maildir"
	"github.com/gatepost/gatepost/internal/mailerr"
	"github.com/gatepost/gatepost/internal/reply"
	"github.com/gatepost/gatepost/internal/verdict"
	"golang.org/x/sys/unix"
)

func TestDecideRcpt(t *testing.T) {
	for _, tc := range []struct {
		name string
		have int
		err  error
		want string
		rule string
	}{
		{"known", 0, nil, "", ""},
		{"unknown", 0, fmt.Errorf("x: %w", account.ErrNotFound), "550 5.1.1 no such mailbox here", ruleUnknown},
		{"store away", 0, errors.New("dial /secret/path"), reply.Broken.String(), ruleFault},
		{"store away for good", 0, mailerr.With(mailerr.Permanent, errors.New("x")), reply.Broken.String(), ruleFault},
		{"not an address", 0, errAddress, replyAddress.String(), ruleAddress},
		{"too many", 50, nil, "452 4.5.3 too many recipients, send the rest in another transaction", ruleTooMany},
	} {
		r, rule := decideRcpt(tc.have, 50, tc.err)
		if r.String() != tc.want || rule != tc.rule {
			t.Errorf("%s: decideRcpt = %q, %q, want %q, %q", tc.name, r, rule, tc.want, tc.rule)
		}
	}
}

func TestDecidePlace(t *testing.T) {
	rcpt := mailaddr.Address{LocalPart: "Alice", Domain: "example.test"}
	row := func(v verdict.Verdict, by map[string]verdict.Verdict) Facts {
		return Facts{Scanned: true, Row: delivery.Row{Verdict: v, ByRcpt: by}}
	}
	for _, tc := range []struct {
		name string
		f    Facts
		want place
	}{
		{"not scanned", Facts{}, place{folder: maildir.Inbox, rule: ruleUnscanned}},
		{"not scanned, whatever the row", Facts{Row: delivery.Row{Verdict: verdict.Reject}}, place{folder: maildir.Inbox, rule: ruleUnscanned}},
		{"accept", row(verdict.Accept, nil), place{folder: maildir.Inbox, rule: ruleInbox}},
		{"mark", row(verdict.Mark, nil), place{folder: maildir.Junk, rule: ruleJunk}},
		{"reject that came too late is Junk", row(verdict.Reject, nil), place{folder: maildir.Junk, rule: ruleJunk}},
		{"a recipient's own is worse", row(verdict.Accept, map[string]verdict.Verdict{"alice@example.test": verdict.Mark}), place{folder: maildir.Junk, rule: ruleJunk}},
		{"a recipient's own is better", row(verdict.Mark, map[string]verdict.Verdict{"alice@example.test": verdict.Accept}), place{folder: maildir.Inbox, rule: ruleInbox}},
		{"another's", row(verdict.Accept, map[string]verdict.Verdict{"bob@example.test": verdict.Mark}), place{folder: maildir.Inbox, rule: ruleInbox}},
	} {
		if got := decidePlace(FolderConfig{}, tc.f, rcpt, "Box"); got != tc.want {
			t.Errorf("%s: decidePlace = %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

// Whatever a writer returns without having stored something is a 4yz, and none
// of its text is told.
func TestAnswer(t *testing.T) {
	full := reply.WithError(reply.DiskFull, unix.ENOSPC)
	st, err := newMaildir(t, t.TempDir()).Deliver(t.Context(), maildir.Message{
		To: mailaddr.Address{LocalPart: "alice", Domain: "example.test"}, Body: func() io.Reader { return strings.NewReader("x") }})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		st      maildir.Stored
		err     error
		want    string
		verdict string
	}{
		{"stored", st, nil, "250 2.0.0 ID.1 saved", verdictDelivered},
		{"nothing stored, no error", maildir.Stored{}, nil, reply.Broken.String(), verdictDeferred},
		{"stored and an error", st, errors.New("x"), reply.Broken.String(), verdictDeferred},
		{"plain error", maildir.Stored{}, errors.New("secret"), reply.Broken.String(), verdictDeferred},
		{"wrapped error", maildir.Stored{}, fmt.Errorf("secret: %w", unix.EIO), reply.Broken.String(), verdictDeferred},
		{"an error of the library", maildir.Stored{}, &smtp.SMTPError{Code: 554, Message: "secret"}, reply.Broken.String(), verdictDeferred},
		{"a success of the library", maildir.Stored{}, &smtp.SMTPError{Code: 250, Message: "secret"}, reply.Broken.String(), verdictDeferred},
		{"a permanent error", maildir.Stored{}, mailerr.With(mailerr.Permanent, errors.New("secret")), reply.Broken.String(), verdictDeferred},
		{"a permanent reply", maildir.Stored{}, reply.WithError(reply.Refused, errors.New("secret")), reply.Broken.String(), verdictDeferred},
		{"a good reply as an error", maildir.Stored{}, reply.WithError(replySavedOnly, errors.New("secret")), reply.Broken.String(), verdictDeferred},
		{"full disk", maildir.Stored{}, full, reply.DiskFull.String(), verdictDeferred},
		{"full disk, wrapped", maildir.Stored{}, fmt.Errorf("secret: %w", full), reply.DiskFull.String(), verdictDeferred},
		{"above the size that was offered", maildir.Stored{}, errTooLarge, replyTooLarge.String(), verdictRefused},
	} {
		if r, v, _ := answer(Default().Quota, "a@b", tc.st, tc.err, "ID.1"); r.String() != tc.want || v != tc.verdict {
			t.Errorf("%s: answer = %q, %s, want %q, %s", tc.name, r, v, tc.want, tc.verdict)
		}
	}
}
