package authres

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestReceivedSPF(t *testing.T) {
	for _, tc := range []struct {
		name string
		r    ReceivedSPF
		want string
	}{
		{"result alone", ReceivedSPF{Result: None}, "none"},
		{"all", ReceivedSPF{Result: Pass, ClientIP: netip.MustParseAddr("192.0.2.1"), Identity: "mailfrom", EnvelopeFrom: "a@example.com", Helo: "mail.example.com", Receiver: "mx.example.org", Mechanism: "ip4:192.0.2.0/24"},
			"pass receiver=mx.example.org; identity=mailfrom;\n\tclient-ip=192.0.2.1; envelope-from=\"a@example.com\";\n\thelo=mail.example.com; mechanism=\"ip4:192.0.2.0/24\""},
		{"IPv6", ReceivedSPF{Result: SoftFail, ClientIP: netip.MustParseAddr("2001:db8::1"), Identity: "helo"}, "softfail identity=helo; client-ip=\"2001:db8::1\""},
		{"hostile HELO", ReceivedSPF{Result: Fail, Helo: `a; identity="x" (`}, `fail helo="a; identity=\"x\" ("`},
		{"dots", ReceivedSPF{Result: Fail, Helo: ".a."}, `fail helo=".a."`},
	} {
		if got, err := tc.r.Encode(); err != nil || got != tc.want {
			t.Errorf("%s: Encode = %q, %v, want %q", tc.name, got, err, tc.want)
		}
	}
	for name, r := range map[string]ReceivedSPF{
		"no result": {}, "policy": {Result: Policy}, "unknown": {Result: "pass\n"},
		"LF": {Result: Pass, Helo: "a\nb"}, "CR": {Result: Pass, EnvelopeFrom: "a\rb"}, "NUL": {Result: Pass, Problem: "\x00"},
		"long": {Result: Pass, Mechanism: strings.Repeat("a", MaxValue+1)},
	} {
		if got, err := r.Encode(); !errors.Is(err, ErrValue) || got != "" {
			t.Errorf("%s: Encode = %q, %v, want ErrValue", name, got, err)
		}
	}
}

func FuzzReceivedSPF(f *testing.F) {
	f.Add("a@b.example", "helo", "why")
	f.Add(`"a;b"@c`, "x\r\nY: z", `\`)
	f.Fuzz(func(t *testing.T, from, helo, problem string) {
		got, err := ReceivedSPF{Result: Fail, Identity: "mailfrom", EnvelopeFrom: from, Helo: helo, Problem: problem}.Encode()
		if err != nil {
			return
		}
		// A key-value list reads as the words of readStrict, with "x;" before it.
		_, pairs := readStrict(t, "x;"+strings.TrimPrefix(got, "fail"))
		want := []string{"identity=mailfrom"}
		for _, p := range []struct{ key, value string }{{"envelope-from=", from}, {"helo=", helo}, {"problem=", problem}} {
			if p.value != "" {
				want = append(want, p.key+p.value)
			}
		}
		var have []string
		for _, p := range pairs {
			have = append(have, strings.Join(p, "|"))
		}
		if strings.Join(have, "\n") != strings.Join(want, "\n") {
			t.Fatalf("Encode = %q, which reads as %q, want %q", got, have, want)
		}
	})
}
