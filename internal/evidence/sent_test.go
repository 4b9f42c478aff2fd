package evidence

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/gatepost/gatepost/internal/known"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/scan"
)

// notes is a memory that keeps what it is told.
type notes struct{ sent []known.Sent }

func (n *notes) Ask(context.Context, known.Came) (known.Facts, error) { return known.Facts{}, nil }
func (n *notes) Judged(context.Context, known.Came, float64) error    { return nil }
func (n *notes) Sent(_ context.Context, s known.Sent) error           { n.sent = append(n.sent, s); return nil }

// TestSent: a user has correspondents and a name under addresses of his own
// only. Another's would be his to choose: spam from them would be credited.
func TestSent(t *testing.T) {
	const mallory = "mallory@example.net"
	for _, tc := range []struct{ name, from, user, want string }{
		{"his own address", mallory, mallory, mallory},
		{"an alias of his", "sales@example.net", mallory, "sales@example.net"},
		{"another user's", "alice@example.org", mallory, ""},
		{"a stranger's", "boss@bank.example", mallory, ""},
		{"rights that are not known now", "fault@example.net", mallory, ""},
		{"a login that is no address", mallory, "mallory", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := &notes{}
			g := New(Deps{Memory: n, MaySend: func(_ context.Context, user, as mailaddr.Address) (bool, error) {
				if as.LocalPart == "fault" {
					return false, errors.New("store")
				}
				return user.String() == mallory && as.Domain == "example.net", nil
			}}, slog.New(slog.DiscardHandler))
			raw := rawmsg.Scan([]byte("From: A B <"+tc.from+">\r\nMessage-ID: <1@x>\r\n\r\nhi\r\n"), rawmsg.Default())
			c := g.Begin(t.Context(), scan.Message{Direction: scan.Outbound, Raw: raw, RcptTo: []mailaddr.Address{{LocalPart: "spam", Domain: "evil.example"}}})
			c.Message(t.Context(), mailauth.Results{})
			c.Done(t.Context(), Outcome{Taken: true, User: tc.user, MessageID: "<1@x>"})
			got := ""
			if len(n.sent) == 1 {
				got = n.sent[0].User.String()
			}
			if got != tc.want {
				t.Errorf("remembered as sent by %q, want %q", got, tc.want)
			}
		})
	}
}
