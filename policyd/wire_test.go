package policyd

import (
	"bytes"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/shared"
)

// lines returns a request with the first attribute and these lines.
func lines(l ...string) string {
	return "request=smtpd_access_policy\n" + strings.Join(l, "\n") + "\n\n"
}

func TestParseRequest(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   string
		want Request // zero for a refusal
	}{
		{
			name: "some attributes, in any order",
			in:   "client_address=192.0.2.1\nprotocol_state=RCPT\nrequest=smtpd_access_policy\nsender=a@example.org\n\n",
			want: Request{ProtocolState: StateRcpt, Client: Client{Addr: netip.MustParseAddr("192.0.2.1")}, Envelope: Envelope{MailFrom: "a@example.org"}},
		},
		{
			name: "split at the first =, blanks and UTF-8 kept",
			in:   lines("protocol_state=RCPT", "recipient= a=b c@exämple.org "),
			want: Request{ProtocolState: StateRcpt, Envelope: Envelope{RcptTo: " a=b c@exämple.org "}},
		},
		{
			name: "unknown names are ignored",
			in:   lines("protocol_state=DATA", "tls_sni=x", "no_such_thing=1"),
			want: Request{ProtocolState: StateData},
		},
		{
			name: "the first of two counts",
			in:   lines("protocol_state=DATA", "sender=first@example.org", "sender=second@example.org"),
			want: Request{ProtocolState: StateData, Envelope: Envelope{MailFrom: "first@example.org"}},
		},
		{
			name: "the first of two counts, also when it is empty",
			in:   lines("protocol_state=DATA", "sasl_username=", "sasl_username=alice"),
			want: Request{ProtocolState: StateData},
		},
		{
			name: "unknown client",
			in:   lines("protocol_state=RCPT", "client_address=unknown", "client_name=unknown", "client_port=unknown", "helo_name=unknown"),
			want: Request{ProtocolState: StateRcpt, Client: Client{Helo: "unknown"}},
		},
		{
			name: "IPv6 and numbers",
			in:   lines("protocol_state=END-OF-MESSAGE", "client_address=2001:db8::1", "client_port=65535", "recipient_count=2", "size=1234", "stress=yes"),
			want: Request{ProtocolState: StateEndOfMessage, Client: Client{Addr: netip.MustParseAddr("2001:db8::1"), Port: 65535}, Envelope: Envelope{RecipientCount: 2, Size: 1234}, Stress: true},
		},
		{
			name: "only the request",
			in:   "request=smtpd_access_policy\n\n",
			want: Request{},
		},
		{name: "another request", in: "request=junk\nprotocol_state=RCPT\n\n"},
		{name: "no request", in: "protocol_state=RCPT\n\n"},
		{name: "empty", in: "\n"},
		{name: "nothing", in: ""},
		{name: "no end", in: "request=smtpd_access_policy\n"},
		{name: "line without =", in: lines("protocol_state")},
		{name: "line without name", in: lines("=RCPT")},
		{name: "CR at the end of a line", in: lines("protocol_state=RCPT\r")},
		{name: "CR in a value", in: lines("sender=a\rb@example.org")},
		{name: "NUL", in: lines("sender=a\x00b@example.org")},
		{name: "count is no number", in: lines("recipient_count=many")},
		{name: "count is negative", in: lines("recipient_count=-1")},
		{name: "size beyond 63 bits", in: lines("size=9223372036854775808")},
		{name: "long line", in: lines("sender=" + strings.Repeat("a", MaxLineBytes))},
		{name: "many attributes", in: lines(strings.Split(strings.Repeat("x=\n", MaxAttributes)+"x=", "\n")...)},
		{name: "long request", in: lines(strings.Split(strings.Repeat("x="+strings.Repeat("a", 4000)+"\n", 20)+"x=", "\n")...)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseRequest([]byte(tc.in))
			refused := tc.want == Request{} && tc.name != "only the request"
			if got != tc.want || errors.Is(err, ErrMalformed) != refused || (err != nil) != refused {
				t.Errorf("ParseRequest(%.200q) = %+v, %v, want %+v", tc.in, got, err, tc.want)
			}
		})
	}
}

func TestRequestLen(t *testing.T) {
	whole := lines("protocol_state=RCPT")
	both := []byte(whole + whole)
	for from := range whole {
		if got := requestLen(both, from); got != len(whole) {
			t.Fatalf("requestLen(two requests, %d) = %d, want %d", from, got, len(whole))
		}
	}
	for n := range whole {
		if got := requestLen(both[:n], 0); got != 0 {
			t.Fatalf("requestLen of %d bytes of %d = %d, want 0", n, len(whole), got)
		}
	}
	if got := requestLen([]byte("\nrequest"), 0); got != 1 {
		t.Errorf("requestLen of an empty request = %d, want 1", got)
	}
}

// transcripts are what a real Postfix 3.7 sent.
var transcripts = []string{"policy-connect-ehlo-mail.2", "policy-helo-vrfy-etrn-bdat.1", "policy-tls-sasl-rcpt-data-eom.1"}

func TestTranscriptsRoundTrip(t *testing.T) {
	for _, name := range transcripts {
		t.Run(name, func(t *testing.T) {
			rest := shared.Read(t, "protocols/transcripts/"+name+".c2s")
			for len(rest) > 0 {
				n := requestLen(rest, 0)
				if n == 0 {
					t.Fatalf("no whole request in %q", rest)
				}
				req, err := ParseRequest(rest[:n])
				if err != nil {
					t.Fatalf("ParseRequest(%q): %v", rest[:n], err)
				}
				again, err := req.Append(nil)
				if err != nil || !bytes.Equal(again, rest[:n]) {
					t.Errorf("Append(%+v) = %q, %v, want %q", req, again, err, rest[:n])
				}
				rest = rest[n:]
			}
		})
	}
}

func TestTranscriptFields(t *testing.T) {
	b := shared.Read(t, "protocols/transcripts/policy-tls-sasl-rcpt-data-eom.1.c2s")
	got, err := ParseRequest(b[:requestLen(b, 0)])
	if err != nil {
		t.Fatal(err)
	}
	want := Request{
		ProtocolState: StateRcpt,
		ProtocolName:  "ESMTP",
		Client:        Client{Addr: netip.MustParseAddr("127.0.0.1"), Port: 39372, Helo: "[127.0.0.1]"},
		Server:        Endpoint{netip.MustParseAddr("127.0.0.1"), 21027},
		Envelope:      Envelope{MailFrom: "Send+er@Example.TEST", RcptTo: "a b@example.test", Size: 1234},
		Instance:      "7a2a.6affed5e.ec682.0",
		SASL:          SASL{Method: "PLAIN", Username: "alice"},
		TLS: TLS{
			Protocol: "TLSv1.3", Cipher: "TLS_AES_256_GCM_SHA384", KeyBits: 256,
			CertFingerprint:   "23:3A:85:5A:A8:9C:F2:31:E3:4E:35:17:34:8E:FB:64:32:89:D3:C4:99:EF:48:F4:BD:D1:FE:E7:35:24:17:51",
			PubkeyFingerprint: "B0:13:A1:D9:D6:0C:27:C6:0B:FF:8E:A3:FC:36:83:6B:18:36:02:53:62:49:BE:63:B1:AA:E0:5D:D4:FD:C4:23",
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("ParseRequest = %+v, want %+v", got, want)
	}
}

func TestAppendRefuses(t *testing.T) {
	for _, bad := range []string{"a\nb", "a\rb", "a\x00b", strings.Repeat("a", MaxLineBytes)} {
		r := Request{Envelope: Envelope{MailFrom: bad}}
		if out, err := r.Append(nil); err == nil {
			t.Errorf("Append with sender %.20q = %.40q, want an error", bad, out)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(lines("protocol_state=RCPT", "sender=a@example.org", "recipient=b@example.org", "client_address=::ffff:192.0.2.1")))
	f.Add([]byte(lines("protocol_state=DATA", "recipient_count=2", "sasl_username=alice", "stress=yes", "client_port=unknown")))
	f.Add([]byte(usualRequest("a@example.org", "3")))
	f.Add([]byte("request=junk\n\n"))
	f.Add([]byte(strings.Replace(usualRequest("a@example.org", "3"), "request=smtpd_access_policy", "request=", 1)))
	f.Add([]byte(strings.Replace(usualRequest("a@example.org", "3"), "policy_context=", "policy_context=\r", 1)))
	f.Add([]byte(strings.TrimSuffix(usualRequest("a@example.org", "3"), "\n") + "mail_version=\x00\n\n"))
	f.Add([]byte("\n"))
	f.Add([]byte(lines("a", "b=\r", "=c")))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := requestLen(b, 0)
		if n == 0 {
			return
		}
		if n > len(b) || b[n-1] != '\n' {
			t.Fatalf("requestLen(%q) = %d", b, n)
		}
		req, err := ParseRequest(b[:n])
		wire := b[:n]
		if err == nil {
			if wire, err = req.Append(nil); err != nil {
				t.Fatalf("Append(%+v): %v", req, err)
			}
		}
		usual := []byte(usualRequest("alice@example.org", "1"))
		newer := []byte(strings.TrimSuffix(usualRequest("bob@example.org", "2"), "\n") + "mail_version=3.12\n\n")
		var reader requestReader
		var got Request
		for _, in := range [][]byte{wire, b[:n], usual, newer, usual, b[:n], usual, wire, b[:n], wire} {
			want, err := ParseRequest(in)
			if gotErr := reader.read(in, &got); (gotErr != nil) != (err != nil) || err == nil && got != want {
				t.Fatalf("read(%q) = %+v, %v, want %+v, %v", in, got, gotErr, want, err)
			}
		}
		if err != nil {
			return // refused is fine, a panic is not
		}
		if again, err := ParseRequest(wire); err != nil || again != req {
			t.Errorf("ParseRequest(Append(%+v)) = %+v, %v", req, again, err)
		}
		Decide(Policy{}, req, Facts{}, time.Time{})
	})
}
