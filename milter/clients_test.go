package milter

import (
	"context"
	"log/slog"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	bans "github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// porter is a guard that says what a test wants and keeps what it hears.
type porter struct {
	give  bans.Decision
	asked []string
	heard []bans.Event
}

func (p *porter) CheckClient(_ context.Context, addr netip.Addr, service string) bans.Decision {
	p.asked = append(p.asked, addr.String()+" "+service)
	return p.give
}

func (p *porter) Note(_ context.Context, e bans.Event) bans.Decision {
	p.heard = append(p.heard, e)
	return bans.Decision{}
}

// theBan is one that ends at a known time.
func theBan() bans.Ban {
	return bans.Ban{ID: "K3F9", Until: time.Date(2026, 11, 20, 15, 4, 30, 0, time.UTC)}
}

const banned = "421 4.7.1 mail from your network is refused until 2026-11-20 15:04 UTC (ban K3F9)"

// TestBannedClient: a client that is closed out of port 25 hears at once that it
// may try later, which ban it is and when it ends; the journal has it too.
func TestBannedClient(t *testing.T) {
	p, j := &porter{give: bans.Decision{Refuse: true, Ban: theBan()}}, &records{}
	var logged syncBuffer
	ln := serve(t, testConfig(), Deps{Guard: p, Journal: j}, slog.New(slog.NewTextHandler(&logged, nil)), scan.Inbound)
	m := ln.dial(t)
	m.negotiate(postfixOffer)
	m.send('D', "C", z("{client_name}", "unknown"))
	m.send('C', z("[192.0.2.7]")+"4\xc9P"+z("192.0.2.7"))
	m.want('y', banned+"\x00")
	if want := []string{"192.0.2.7 mx"}; !reflect.DeepEqual(p.asked, want) {
		t.Errorf("the guard was asked about %q, want %q", p.asked, want)
	}
	r := j.last(t)
	if r.Event != "connect" || r.Verdict != "defer" || r.Rule != "ban K3F9" || r.Reply != banned || r.ClientAddr.String() != "192.0.2.7" || r.Service != "inbound" {
		t.Errorf("journal %+v", r.Record)
	}
	if !strings.Contains(logged.String(), "client refused") {
		t.Errorf("log %s", logged.String())
	}
	// XCLIENT names another client in the same session.
	p.give = bans.Decision{}
	m.connectFrom("198.51.100.9")
	if _, final := m.transfer(plain()); final.Code != 'a' {
		t.Errorf("another client: %v", final)
	}
	m.quit()
}

// TestGuardIsAskedAboutStrangersOnly: a ban of port 25 closes no other listener,
// a client without an address has no ban, and one that is only observed is let
// in, with a word in the journal.
func TestGuardIsAskedAboutStrangersOnly(t *testing.T) {
	for _, tc := range []struct {
		name     string
		listener scan.Direction
		connect  string
		give     bans.Decision
		asked    int
		observed string
	}{
		{"observed", scan.Inbound, z("[192.0.2.7]") + "4\xc9P" + z("192.0.2.7"), bans.Decision{Observed: true, Ban: theBan()}, 1, "ban K3F9: " + banned},
		{"not banned", scan.Inbound, z("[192.0.2.7]") + "4\xc9P" + z("192.0.2.7"), bans.Decision{}, 1, ""},
		{"no address", scan.Inbound, z("unknown") + "U", bans.Decision{Refuse: true, Ban: theBan()}, 0, ""},
		{"submission", scan.Outbound, z("[192.0.2.7]") + "4\xc9P" + z("192.0.2.7"), bans.Decision{Refuse: true, Ban: theBan()}, 0, ""},
		{"this host", scan.Local, z("localhost") + "4\x00\x00" + z("127.0.0.1"), bans.Decision{Refuse: true, Ban: theBan()}, 0, ""},
		{"our spool", scan.Own, z("localhost") + "4\x00\x00" + z("127.0.0.1"), bans.Decision{Refuse: true, Ban: theBan()}, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, j := &porter{give: tc.give}, &records{}
			m := serve(t, testConfig(), Deps{Guard: p, Journal: j}, quiet(), tc.listener).dial(t)
			m.negotiate(postfixOffer)
			if waits := m.answers('C'); waits != (tc.listener == scan.Inbound) {
				t.Errorf("CONNECT has an answer: %v", waits)
			}
			m.event('C', tc.connect)
			m.event('H', z("client.example.net"))
			if _, final := m.transfer(plain()); final.Code != 'a' {
				t.Fatalf("final answer %v", final)
			}
			if len(p.asked) != tc.asked || j.last(t).fact("would_have") != tc.observed {
				t.Errorf("asked %q, journal says %q", p.asked, j.last(t).fact("would_have"))
			}
		})
	}
}

// TestGuardHears: what a message says of the client that brought it.
func TestGuardHears(t *testing.T) {
	pass := mailauth.Results{SPF: mailauth.SPF{MailFrom: mailauth.SPFMailFrom{Result: authres.Pass, Domain: "example.net"}}}
	signed := mailauth.Results{DKIM: []mailauth.DKIM{{Result: authres.Pass, Domain: "mail.example.net"}}}
	other := mailauth.Results{DKIM: []mailauth.DKIM{{Result: authres.Pass, Domain: "esp.example"}}}
	at := scan.Thresholds{Reject: 15, Mark: 6}
	addr := netip.MustParseAddr("192.0.2.7")
	spam := bans.Event{Kind: bans.SpamRefused, Addr: addr, Score: 20}
	for _, tc := range []struct {
		name     string
		listener scan.Direction
		auth     mailauth.Results
		res      scan.Result
		want     []bans.Event
	}{
		{"refused for its score", scan.Inbound, pass, scan.Result{Verdict: verdict.Reject, Score: 20, Thresholds: at}, []bans.Event{spam}},
		{"refused by a rule", scan.Inbound, pass, scan.Result{Verdict: verdict.Reject, Score: 3, Thresholds: at}, nil},
		{"no score refuses here", scan.Inbound, pass, scan.Result{Verdict: verdict.Reject, Score: 20}, nil},
		{"taken, SPF", scan.Inbound, pass, scan.Result{Score: 1, Thresholds: at}, []bans.Event{{Kind: bans.Accepted, Addr: addr, Score: 1}}},
		{"taken, DKIM of the organization", scan.Inbound, signed, scan.Result{Thresholds: at}, []bans.Event{{Kind: bans.Accepted, Addr: addr}}},
		{"taken, another's signature", scan.Inbound, other, scan.Result{Thresholds: at}, nil},
		{"taken, nothing proved", scan.Inbound, mailauth.Results{}, scan.Result{Thresholds: at}, nil},
		{"marked", scan.Inbound, pass, scan.Result{Verdict: verdict.Mark, Score: 7, Thresholds: at}, nil},
		{"deferred", scan.Inbound, pass, scan.Result{Verdict: verdict.Defer, Thresholds: at}, nil},
		{"discarded, but Junk without a quarantine", scan.Inbound, pass, scan.Result{Discard: true, Thresholds: at}, nil},
		{"a stranger on submission", scan.Outbound, pass, scan.Result{Verdict: verdict.Reject, Score: 20, Thresholds: at}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, s := &porter{}, &seen{give: tc.res}
			ln := serve(t, testConfig(), Deps{Guard: p, Auth: &checker{give: tc.auth}, Scan: s.scan}, quiet(), tc.listener)
			ln.dial(t).hello().transfer(plain())
			if !reflect.DeepEqual(p.heard, tc.want) {
				t.Errorf("the guard heard %+v, want %+v", p.heard, tc.want)
			}
		})
	}
}

// TestBanInOddWords: a ban whose id cannot stand in a reply refuses all the same.
func TestBanInOddWords(t *testing.T) {
	p := &porter{give: bans.Decision{Refuse: true, Ban: bans.Ban{ID: "a\r\nb"}}}
	m := serve(t, testConfig(), Deps{Guard: p}, quiet(), scan.Inbound).dial(t)
	m.negotiate(postfixOffer)
	m.send('C', z("[192.0.2.7]")+"4\xc9P"+z("192.0.2.7"))
	m.want('y', "421 4.7.1 mail from your network is refused for now\x00")
}
