package milter

import (
	"encoding/binary"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// queued is what Postfix makes of a message and our changes, protocols of
// Postfix 3.7: its own Received stands first and does not count for "m"; an
// index of "i" counts everything.
func queued(t *testing.T, msg mail, changes []packet) []string {
	t.Helper()
	fields := append([]string{"Received: from client (Postfix)"}, msg.Header...)
	for _, c := range changes {
		d := c.Data
		index := 0
		if c.Code != 'h' {
			index = int(binary.BigEndian.Uint32([]byte(d)))
			d = d[4:]
		}
		parts := strings.Split(d, "\x00")
		if len(parts) != 3 || parts[2] != "" {
			t.Fatalf("change %v", c)
		}
		field := parts[0] + ":" + parts[1]
		switch c.Code {
		case 'h':
			fields = append(fields, field)
		case 'i':
			fields = slices.Insert(fields, min(index, len(fields)), field)
		case 'm':
			at := nth(fields[1:], parts[0], index)
			if at < 0 || parts[1] != "" {
				t.Fatalf("change %v finds nothing, or does not delete", c)
			}
			fields = slices.Delete(fields, at+1, at+2)
		default:
			t.Fatalf("change %v", c)
		}
	}
	return fields
}

func nth(fields []string, name string, index int) int {
	for i, f := range fields {
		if n, _, _ := strings.Cut(f, ":"); strings.EqualFold(strings.TrimSpace(n), name) {
			if index--; index == 0 {
				return i
			}
		}
	}
	return -1
}

// names returns the field names in order.
func names(fields []string) []string {
	var ns []string
	for _, f := range fields {
		n, _, _ := strings.Cut(f, ":")
		ns = append(ns, n)
	}
	return ns
}

func value(fields []string, name string) string {
	for _, f := range fields {
		if n, v, _ := strings.Cut(f, ":"); strings.EqualFold(n, name) {
			return strings.TrimPrefix(v, " ")
		}
	}
	return "(none)"
}

func TestForgedFieldsGoFirst(t *testing.T) {
	forged := []string{
		"X-Spam: No", "X-Spam-Flag: NO", "x-spamd-bar: -----", "X-RSPAMD-Server: evil", "X-Gatepost-Verdict: accept",
		"Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=bank.example",
		"authentication-results: mx.example.org 1;\n\tdkim=pass header.d=bank.example", "X-Spam: No", "X-Spam : No",
	}
	honest := "Authentication-Results: other.example.net; spf=pass"
	for _, d := range []scan.Direction{scan.Inbound, scan.Outbound, scan.Local, scan.Own} {
		t.Run(d.String(), func(t *testing.T) {
			ln := serve(t, testConfig(), Deps{}, quiet(), d)
			m := ln.dial(t).hello()
			msg := plain()
			msg.User = "alice@example.org"
			msg.Header = slices.Concat(forged[:6], []string{honest}, msg.Header, forged[6:])
			changes, final := m.transfer(msg)
			if final.Code != 'a' {
				t.Fatalf("final answer %v", final)
			}
			for i, c := range changes {
				if (c.Code == 'm') != (i < len(forged)) {
					t.Fatalf("change %d is %v: the forged ones have to go before anything is added", i, c)
				}
			}
			if got := changes[0]; got != (packet{'m', "\x00\x00\x00\x03X-Spam\x00\x00"}) {
				t.Errorf("first change %v, want the third X-Spam", got)
			}
			fields := queued(t, msg, changes)
			want := append([]string{"Received", "Authentication-Results"}, names(plain().Header)...)
			if d == scan.Inbound {
				want = slices.Insert(want, 1, "Authentication-Results")
			}
			if got := names(fields); !reflect.DeepEqual(got, want) {
				t.Errorf("left are %q, want %q", got, want)
			}
			if !slices.Contains(fields, honest) {
				t.Error("another host's Authentication-Results went too")
			}
			m.inStep()
		})
	}
}

func TestTooManyForgedFields(t *testing.T) {
	ln := serve(t, testConfig(), Deps{}, quiet(), scan.Inbound)
	for n, want := range map[int]string{maxRemoved: "", maxRemoved + 1: "554 5.6.0 "} {
		m := ln.dial(t).hello()
		msg := plain()
		msg.Header = append(msg.Header, slices.Repeat([]string{"X-Spam: No"}, n)...)
		changes, final := m.transfer(msg)
		if !strings.HasPrefix(final.Data, want) || want != "" && len(changes) > 0 {
			t.Errorf("%d forged fields: %d changes, %v, want %q", n, len(changes), final, want)
		}
	}
}

func TestSpamFields(t *testing.T) {
	lines := []verdict.Line{
		{Name: "MISSING_DATE", Score: 1.5},
		{Name: "R_SPF_FAIL", Score: 6, Options: []string{"-all"}},
		{Name: "FROM_NAME", Score: 0, Options: []string{"a],[b;\r\nX-Injected: yes", "caf\xe9", "x\x00y"}},
	}
	for _, tc := range []struct {
		name string
		give scan.Result
		want []string
	}{
		{"accepted", scan.Result{Lines: lines[:1], Score: 1.5}, []string{
			"X-Spam-Level: *", "X-Spam-Flag: NO", "X-Spam-Score: 1.50",
			"X-Spam-Status: No, score=1.50 required=6.00 tests=[MISSING_DATE]",
			"X-Spamd-Result: default: False [1.50 / 15.00];\n\tMISSING_DATE(1.50)[];",
		}},
		{"marked", scan.Result{Lines: lines, Score: 7.5, Verdict: verdict.Mark}, []string{
			"X-Spam: Yes", "X-Spam-Level: *******", "X-Spam-Flag: YES", "X-Spam-Score: 7.50",
			"X-Spam-Status: Yes, score=7.50 required=6.00 tests=[MISSING_DATE, R_SPF_FAIL,\n FROM_NAME]",
			"X-Spamd-Result: default: False [7.50 / 15.00];\n\tMISSING_DATE(1.50)[];\n\tR_SPF_FAIL(6.00)[-all];\n\t" +
				"FROM_NAME(0.00)[a%5D%2C%5Bb%3B%0D%0AX-Injected: yes,caf%E9,x%00y];",
		}},
		{"quarantine marks", scan.Result{Score: 20, Verdict: verdict.Quarantine}, []string{
			"X-Spam: Yes", "X-Spam-Level: ********************", "X-Spam-Flag: YES", "X-Spam-Score: 20.00",
			"X-Spam-Status: Yes, score=20.00 required=6.00 tests=[]", "X-Spamd-Result: default: False [20.00 / 15.00]",
		}},
		{"nothing to say", scan.Result{Score: -0.4}, []string{
			"X-Spam-Flag: NO", "X-Spam-Score: -0.40", "X-Spam-Status: No, score=-0.40 required=6.00 tests=[]",
			"X-Spamd-Result: default: False [-0.40 / 15.00]",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := seen{give: tc.give}
			s.give.Thresholds = scan.Thresholds{Reject: 15, Mark: 6}
			ln := serve(t, testConfig(), Deps{Scan: s.scan}, quiet(), scan.Inbound)
			changes, final := ln.dial(t).hello().transfer(plain())
			if final.Code != 'a' {
				t.Fatalf("final answer %v", final)
			}
			fields := queued(t, plain(), changes)
			if got := fields[len(fields)-len(tc.want):]; !reflect.DeepEqual(got, tc.want) {
				t.Errorf("added\n%q, want\n%q", got, tc.want)
			}
			if !strings.HasPrefix(fields[1], "Authentication-Results: mx.example.org;") || !strings.HasPrefix(fields[2], "From:") {
				t.Errorf("fields %q", fields)
			}
		})
	}
}

func TestSpamFieldsFit(t *testing.T) {
	var r scan.Result
	for range 500 {
		r.Lines = append(r.Lines, verdict.Line{Name: strings.Repeat("(", 600), Options: slices.Repeat([]string{strings.Repeat("\xff", 5000)}, 50)})
	}
	if _, err := spamFields(r, verdict.Mark); err != nil {
		t.Error(err)
	}
}

func TestAuthenticationResults(t *testing.T) {
	for _, tc := range []struct {
		name, client, resolve, user, want string
	}{
		{"verified name", "host.example.net", "OK", "", "mx.example.org;\n\tiprev=pass policy.iprev=192.0.2.7"},
		{"no name", "unknown", "FAIL", "", "mx.example.org;\n\tiprev=permerror policy.iprev=192.0.2.7"},
		{"name leads elsewhere", "unknown", "FORGED", "", "mx.example.org;\n\tiprev=fail policy.iprev=192.0.2.7"},
		{"DNS away", "unknown", "TEMP", "", "mx.example.org;\n\tiprev=temperror policy.iprev=192.0.2.7"},
		{"login on port 25", "host.example.net", "OK", "alice@example.org", "mx.example.org;\n\tiprev=pass policy.iprev=192.0.2.7;\n\tauth=pass smtp.auth=alice@example.org"},
		{"hostile login", "host.example.net", "OK", "a\"; spf=pass\r\n", "mx.example.org;\n\tiprev=pass policy.iprev=192.0.2.7"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j := &records{}
			ln := serve(t, testConfig(), Deps{Journal: j}, quiet(), scan.Inbound)
			m := ln.dial(t)
			m.negotiate(postfixOffer)
			m.event('C', z("h")+"4\xc9P"+z("192.0.2.7"), "{client_name}", tc.client, "{client_resolve}", tc.resolve)
			m.event('H', z("x"))
			msg := plain()
			msg.User = tc.user
			changes, _ := m.transfer(msg)
			if got := value(queued(t, msg, changes), "Authentication-Results"); got != tc.want {
				t.Errorf("Authentication-Results: %q, want %q", got, tc.want)
			}
			if got, want := j.last(t).fact("authentication"), strings.ReplaceAll(tc.want, "\n\t", " "); got != want {
				t.Errorf("journal has %q, want %q", got, want)
			}
		})
	}
}

// Old offers and odd ones: what was not agreed on is not sent.
func TestNoHeaderChangesOffered(t *testing.T) {
	var logged syncBuffer
	ln := serve(t, testConfig(), Deps{}, slog.New(slog.NewTextHandler(&logged, nil)), scan.Inbound)
	m := ln.dial(t)
	m.negotiate([3]uint32{6, 0x1, 0x1fffff})
	m.connectFrom("192.0.2.7")
	msg := plain()
	msg.Header = append(msg.Header, "X-Spam: No")
	changes, final := m.transfer(msg)
	if final.Code != 'a' || len(changes) != 1 || changes[0].Code != 'i' {
		t.Errorf("answer %v %v", changes, final)
	}
	m.quit()
	if !strings.Contains(logged.String(), "the MTA takes no header changes") {
		t.Errorf("log: %s", logged.String())
	}
}

func TestAppendCRLF(t *testing.T) {
	for in, want := range map[string]string{
		"": "", " a": " a", " a\n\tb": " a\r\n\tb", " a\r\n b": " a\r\n b", " a\n": " a\r\n\t",
		" a\nX-Injected: b": " a\r\n\tX-Injected: b", "\n\n": "\r\n\t\r\n\t",
	} {
		if got := string(appendCRLF(nil, []byte(in))); got != want {
			t.Errorf("appendCRLF(%q) = %q, want %q", in, got, want)
		}
	}
}
