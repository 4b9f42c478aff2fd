package scan

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/mailauth/dmarc"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/verdict"
)

// readCase reads a message of testdata. Lines in front of it that begin with
// "# " tell what else is known, as "# key: value":
//
//	now         RFC 3339, when the message arrives
//	client      address and verified name, "unknown" for none
//	helo, user, mail_from
//	rcpt_to     addresses
//	own         domains of ours
//	spf, dkim   result and domain
//	dmarc       result, domain and policy
//	known       words of: reply thread correspondent first namesake=ADDRESS
//	reputation  domain|network, key, value
//	learned     logit and weight
//	listed      name and score
func readCase(t testing.TB, path string) (Message, time.Time) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", path))
	if err != nil {
		t.Fatal(err)
	}
	m, now := Message{}, noon
	for bytes.HasPrefix(b, []byte("# ")) {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		b = rest
		key, value, _ := strings.Cut(strings.TrimSpace(string(line[2:])), ":")
		m.set(t, &now, key, strings.Fields(value))
	}
	m.Raw = rawmsg.Scan(b, rawmsg.Default())
	return m, now
}

func (m *Message) set(t testing.TB, now *time.Time, key string, v []string) {
	t.Helper()
	word := func(i int) string {
		if i < len(v) {
			return v[i]
		}
		return ""
	}
	address := func(s string) mailaddr.Address {
		a, err := mailaddr.Parse(s)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return a
	}
	number := func(s string) float64 {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		return f
	}
	switch key {
	case "now":
		at, err := time.Parse(time.RFC3339, word(0))
		if err != nil {
			t.Fatal(err)
		}
		*now = at
	case "client":
		m.Client.Addr = netip.MustParseAddr(word(0))
		m.Auth.IPRev = mailauth.IPRev{Addr: m.Client.Addr, Result: authres.PermError}
		if word(1) != "" && word(1) != "unknown" {
			m.Client.Name = word(1)
			m.Auth.IPRev.Name, m.Auth.IPRev.Result = word(1), authres.Pass
		}
	case "helo":
		m.Client.Helo = word(0)
	case "user":
		m.User, m.Direction = word(0), Outbound
	case "mail_from":
		m.MailFrom = address(word(0))
	case "rcpt_to":
		for _, s := range v {
			m.RcptTo = append(m.RcptTo, address(s))
		}
	case "own":
		m.OwnDomains = v
	case "spf":
		m.Auth.SPF.MailFrom = mailauth.SPFMailFrom{Result: authres.Result(word(0)), Domain: word(1)}
	case "dkim":
		m.Auth.DKIM = append(m.Auth.DKIM, mailauth.DKIM{Result: authres.Result(word(0)), Domain: word(1)})
		m.Auth.DKIMChecked = true
	case "dmarc":
		p := dmarc.Policy(word(2))
		m.Auth.DMARC = dmarc.Result{Result: authres.Result(word(0)), Domain: word(1)}
		m.Auth.DMARC.Applied = dmarc.Applied{Domain: word(1), Tag: "p", Published: p, Effective: p}
		m.Auth.DMARCChecked = true
	case "known":
		m.Known.Asked = true
		for _, w := range v {
			switch name, value, _ := strings.Cut(w, "="); name {
			case "reply":
				m.Known.Reply = true
			case "thread":
				m.Known.Thread = true
			case "correspondent":
				m.Known.Correspondent = true
			case "first":
				m.Known.First = true
			case "namesake":
				m.Known.Namesake = value
			default:
				t.Fatalf("known: %q", w)
			}
		}
	case "reputation":
		m.Known.Asked = true
		m.Known.Reputation = append(m.Known.Reputation, Reputation{Of: word(0), Key: word(1), Value: number(word(2))})
	case "learned":
		m.Learned = Learned{Logit: number(word(0)), Weight: number(word(1)), Ham: 100, Spam: 100}
	case "listed":
		m.Listed = append(m.Listed, verdict.Line{Name: word(0), Group: "list", Score: number(word(1)), Text: "Listed."})
	default:
		t.Fatalf("%s is not known", key)
	}
}
