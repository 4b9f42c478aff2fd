package scan

import (
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// TestReplyOfAStranger: who wrote to a public list has told everybody a
// Message-ID of his. Full credit is for those to whom he wrote.
func TestReplyOfAStranger(t *testing.T) {
	for _, tc := range []struct {
		name          string
		spf           authres.Result
		correspondent bool
		want          float64
	}{
		{"whom he wrote to", authres.Pass, true, -4},
		{"somebody else", authres.Pass, false, -2},
		{"nobody asked", "", false, -2},
		{"somebody whom nothing proves", authres.None, false, -1},
	} {
		m := Message{
			Direction: Inbound, RcptTo: []mailaddr.Address{{LocalPart: "ann", Domain: "own.example"}},
			MailFrom: mailaddr.Address{LocalPart: "a", Domain: "b.example"},
			Raw:      rawmsg.Scan([]byte("From: a@b.example\r\n\r\nx\r\n"), rawmsg.Default()),
			Known:    Known{Asked: true, Reply: true, Correspondent: tc.correspondent},
		}
		m.Auth.SPF.MailFrom = mailauth.SPFMailFrom{Result: tc.spf, Domain: "b.example"}
		m.Auth.DKIMChecked = true
		got := 0.0
		for _, l := range Scan(Default(), m, time.Now()).Lines {
			if l.Name == "REPLY_KNOWN" {
				got = l.Score
			}
		}
		if got != tc.want {
			t.Errorf("%s: %g, want %g", tc.name, got, tc.want)
		}
	}
}
