package milter

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailauth"
	"github.com/gatepost/gatepost/internal/mailauth/authres"
	"github.com/gatepost/gatepost/internal/scan"
)

// TestReceivedSPF: with the setting one field of ours stands above
// Authentication-Results, and those of strangers are gone; without it nothing
// changes.
func TestReceivedSPF(t *testing.T) {
	client := mailauth.IPRev{Result: authres.Pass, Addr: netip.MustParseAddr("192.0.2.7"), Name: "mail.example.net"}
	helo := mailauth.SPFHelo{Result: authres.None, Domain: "mail.example.net"}
	from := mailauth.SPFMailFrom{Result: authres.Pass, Domain: "example.net", Sender: "a@example.net", Term: "include:b.example.net"}
	broken := mailauth.SPFMailFrom{Result: authres.TempError, Domain: "example.net", Sender: "a\x00b@example.net", Reason: "lookup had no answer", Term: "a:x\r\ny"}
	null := mailauth.SPFMailFrom{Result: authres.SoftFail, Domain: "mail.example.net", Sender: "postmaster@mail.example.net", NullPath: true, Term: "~all"}
	for _, tc := range []struct {
		name string
		off  bool
		from mailauth.SPFMailFrom
		helo mailauth.SPFHelo
		want string
	}{
		{"off", true, from, helo, "(none)"},
		{"pass", false, from, helo, `pass receiver=mx.example.org; identity=mailfrom; client-ip=192.0.2.7; envelope-from="a@example.net"; helo=mail.example.net; mechanism="include:b.example.net"`},
		{"no answer, and what cannot be carried", false, broken, helo, `temperror receiver=mx.example.org; identity=mailfrom; client-ip=192.0.2.7; helo=mail.example.net; problem="lookup had no answer"`},
		{"null path", false, null, helo, `softfail receiver=mx.example.org; identity=helo; client-ip=192.0.2.7; helo=mail.example.net; mechanism=~all`},
		{"hostile HELO", false, from, mailauth.SPFHelo{Result: authres.None, Domain: "x;\x00 y"}, `pass receiver=mx.example.org; identity=mailfrom; client-ip=192.0.2.7; envelope-from="a@example.net"; mechanism="include:b.example.net"`},
		{"not asked", false, mailauth.SPFMailFrom{}, mailauth.SPFHelo{}, "(none)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig()
			cfg.ReceivedSPF = !tc.off
			auth := mailauth.Results{IPRev: client, SPF: mailauth.SPF{MailFrom: tc.from, Helo: tc.helo}}
			msg := plain()
			msg.Header = append(msg.Header, "received-spf: pass receiver=mx.example.org; identity=mailfrom", "Received-SPF: fail receiver=other.example")
			ln := serve(t, cfg, Deps{Auth: &checker{give: auth}}, quiet(), scan.Inbound)
			changes, final := ln.dial(t).hello().transfer(msg)
			if final.Code != 'a' {
				t.Fatalf("final answer %v", final)
			}
			var got []string
			fields := queued(t, msg, changes)
			for _, f := range fields {
				if n, v, _ := strings.Cut(f, ":"); strings.EqualFold(n, "Received-SPF") {
					got = append(got, strings.Join(strings.Fields(header.Unfold([]byte(v))), " "))
				}
			}
			if tc.off {
				if len(got) != 2 {
					t.Errorf("fields %q: those of others are touched", got)
				}
				return
			}
			if tc.want == "(none)" && len(got) == 0 {
				return
			}
			if len(got) != 1 || got[0] != tc.want {
				t.Errorf("fields %q, want %q", got, tc.want)
			}
			if ns := names(fields); ns[1] != "Received-SPF" || ns[2] != "Authentication-Results" {
				t.Errorf("order %q", ns)
			}
		})
	}
}
