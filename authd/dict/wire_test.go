package dict

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/secret"
)

func TestParseRequest(t *testing.T) {
	for _, tc := range []struct {
		name, line string
		want       request
	}{
		{"version 2", "H2\t2\t0\tdave\tauthd", request{verb: verbHello, major: 2, minor: 2, user: "dave", name: "authd"}},
		{"version 3", "H3\t2\t0\t\tauthd", request{verb: verbHello, major: 3, minor: 2, name: "authd"}},
		{"version 4", "H4\t0\t0\t\tauthd", request{verb: verbHello, major: 4, name: "authd"}},
		{"look-up of version 2", "Lshared/passdb/dave", request{verb: verbLookup, key: "shared/passdb/dave"}},
		{"look-up of version 3", "Lshared/passdb/dave\tdave", request{verb: verbLookup, key: "shared/passdb/dave", user: "dave"}},
		{"escapes", "Lshared/a\x01tb\x01nc\x010\x011\x01r\td", request{verb: verbLookup, key: "shared/a\tb\nc\x00\x01\r", user: "d"}},
		{"iteration", "I0\t0\tshared/userdb/\t*", request{verb: verbIterate, key: "shared/userdb/", user: "*"}},
		{"iteration of version 2", "I9\t50\tshared/userdb/", request{verb: verbIterate, flags: 9, max: 50, key: "shared/userdb/"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got, err := parseRequest([]byte(tc.line)); err != nil || got != tc.want {
				t.Errorf("parseRequest(%q) = %+v, %v, want %+v", tc.line, got, err, tc.want)
			}
		})
	}
}

func TestParseRequestRefuses(t *testing.T) {
	for name, line := range map[string]string{
		"nothing":             "",
		"version 1":           "H1\t0\t0\t\tauthd",
		"version 5":           "H5\t0\t0\t\tauthd",
		"half a greeting":     "H3\t2",
		"no number":           "Hx\t2\t0\t\tauthd",
		"a signed number":     "I+1\t0\tshared/userdb/",
		"33 bits":             "I4294967296\t0\tshared/userdb/",
		"a short iteration":   "I0\t0",
		"a transaction":       "B1",
		"a set":               "S1\tkey\tvalue",
		"a CR":                "Lshared/passdb/dave\r",
		"a NUL":               "Lshared/passdb/da\x00ve",
		"half an escape":      "Lshared/passdb/dave\x01",
		"an unknown escape":   "Lshared/passdb/dave\x01x",
		"too many fields":     "L" + strings.Repeat("a\t", 20),
		"too long":            "L" + strings.Repeat("a", maxLine),
		"a line of a browser": "GET / HTTP/1.1",
	} {
		if r, err := parseRequest([]byte(line)); !errors.Is(err, errProtocol) {
			t.Errorf("%s: parseRequest = %+v, %v, want a protocol error", name, r, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, n := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} {
		b, err := os.ReadFile("testdata/dict-v3-passdb-userdb." + n + ".c2s")
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			f.Add([]byte(strings.TrimSuffix(line, "\n")))
		}
	}
	f.Add([]byte("H2\t0\t0\t\x01t\x011\tx"))
	f.Add([]byte("Lshared/passdb/imap/a\x01n@b"))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := parseRequest(line)
		if err != nil {
			return // refused is fine, a panic is not
		}
		wire := r.appendTo(nil)
		if strings.Count(string(wire), "\n") != 1 {
			t.Fatalf("appendTo(%+v) = %q is not one line", r, wire)
		}
		again, err := parseRequest(wire[:len(wire)-1])
		if len(wire) >= maxLine {
			return // escapes made it longer than a line may be
		}
		if err != nil || again != r {
			t.Errorf("parseRequest(appendTo(%+v)) = %+v, %v", r, again, err)
		}
		_, _ = parseKey(r.key)
	})
}

func TestAppendAnswer(t *testing.T) {
	for _, tc := range []struct {
		name string
		a    answer
		want string
	}{
		{"unknown", answer{verdict: verdictUnknown}, "N\n"},
		{"fault", answer{verdict: verdictTemp}, "Faccounts can not be read\n"},
		{"password", answer{verdict: verdictFound, password: secret.String("{PLAIN}davepw")}, `O{"password":"{PLAIN}davepw"}` + "\n"},
		{"numbers and flags", answer{verdict: verdictFound, fields: []field{{key: "uid", number: 5000}, {key: "nologin"}, {key: "reason", text: "no \"way\"\tout"}}},
			`O{"uid":5000,"nologin":"","reason":"no \"way\"\tout"}` + "\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := appendAnswer(nil, tc.a)
			if err != nil || string(got) != tc.want {
				t.Errorf("appendAnswer(%+v) = %q, %v, want %q", tc.a, got, err, tc.want)
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	a := answer{verdict: verdictFound, password: secret.String("{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$c29tZXNhbHQ$aGFzaA")}
	line := []byte("Lshared/passdb/imap/dave@example.org\tdave@example.org")
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		r, err := parseRequest(line)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := parseKey(r.key); !ok {
			b.Fatal("the key names nobody")
		}
		if out, err = appendAnswer(out[:0], a); err != nil {
			b.Fatal(err)
		}
	}
}
