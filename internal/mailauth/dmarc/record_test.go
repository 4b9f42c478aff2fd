package dmarc

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const none = "not a record"
	for _, tc := range []struct {
		name, txt, want string
		faults          int
	}{
		{"plain", "v=DMARC1; p=reject", "v=DMARC1; p=reject", 0},
		{"all tags", "v=DMARC1;p=none;sp=quarantine;np=reject;adkim=s;aspf=s;psd=n;t=y;rua=mailto:a@b.example;ruf=mailto:c@d.example;fo=1:d:s",
			"v=DMARC1; p=none; sp=quarantine; np=reject; adkim=s; aspf=s; psd=n; t=y; rua=mailto:a@b.example; ruf=mailto:c@d.example; fo=1:d:s", 0},
		{"defaults", "v=DMARC1; p=none; adkim=r; aspf=r; psd=u; t=n; fo=0", "v=DMARC1; p=none", 0},
		{"case of keywords", "v=DMARC1; p=Reject; adkim=S; T=Y; PSD=Y", "v=DMARC1; p=reject; adkim=s; psd=y; t=y", 0},
		{"blanks", " v\t= DMARC1 ;\tp = none ; ", "v=DMARC1; p=none", 0},
		{"version alone", "v=DMARC1", "v=DMARC1", 1},
		{"version in small letters", "v=dmarc1; p=none", none, 0},
		{"version later", "p=none; v=DMARC1", none, 0},
		{"longer version", "v=DMARC10; p=none", none, 0},
		{"no separator", "v=DMARC1 p=none", none, 0},
		{"SPF", "v=spf1 -all", none, 0},
		{"empty", "", none, 0},
		{"unknown and historic tags", "v=DMARC1; p=none; pct=0; ri=5; rf=iodef; foo=bar", "v=DMARC1; p=none", 0},
		{"order", "v=DMARC1; adkim=s; p=none", "v=DMARC1; p=none; adkim=s", 0},
		{"no p", "v=DMARC1; sp=reject", "v=DMARC1", 1},
		{"no p, with rua", "v=DMARC1; sp=reject; rua=mailto:a@b.example", "v=DMARC1; p=none; rua=mailto:a@b.example", 1},
		{"bad p", "v=DMARC1; p=r; psd=y", "v=DMARC1; psd=y", 1},
		{"bad sp", "v=DMARC1; p=reject; sp=rejct; rua=mailto:a@b.example", "v=DMARC1; p=none; rua=mailto:a@b.example", 1},
		{"empty np", "v=DMARC1; p=reject; np=", "v=DMARC1", 1},
		{"octet outside of ASCII", "v=DMARC1; p=reject; sp=rej\xe9ct", "v=DMARC1", 1},
		{"part without =", "v=DMARC1; p=none; reject", "v=DMARC1; p=none", 1},
		{"sp without =", "v=DMARC1; p=reject; sp", "v=DMARC1; p=reject", 1},
		{"no tag name", "v=DMARC1; p=none; =x; a-b=c; ;", "v=DMARC1; p=none", 3},
		{"bad values", "v=DMARC1; p=none; adkim=x; aspf=; t=maybe; psd=x; fo=0:1", "v=DMARC1; p=none", 5},
		{"twice", "v=DMARC1; p=none; p=reject; v=DMARC1", "v=DMARC1; p=reject", 2},
		{"sizes", "v=DMARC1; p=none; rua=mailto:a@b.example!10m , mailto:c@d.example!5", "v=DMARC1; p=none; rua=mailto:a@b.example,mailto:c@d.example", 0},
		{"bad URIs", "v=DMARC1; p=none; rua=a@b.example,mailto:b,mailto:,mailto:a@b!x,mailto:c@d!1mm,http://e.example/?x,mailto:a b@c,1x:y", "v=DMARC1; p=none; rua=http://e.example/?x", 1},
		{"escaped comma and mark", "v=DMARC1; p=none; rua=mailto:a%2Cb%21c@d.example", "v=DMARC1; p=none; rua=mailto:a%2Cb%21c@d.example", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := Parse(tc.txt)
			if errors.Is(err, ErrNoRecord) != (tc.want == none) {
				t.Fatalf("Parse(%q) = %+v, %v", tc.txt, r, err)
			}
			if err == nil && (r.String() != tc.want || len(r.Faults) != tc.faults) {
				t.Errorf("Parse(%q) = %q, faults %q, want %q, %d", tc.txt, r, r.Faults, tc.want, tc.faults)
			}
		})
	}
}

// TestParseBounds reads 64 KB, which is what DNS can carry.
func TestParseBounds(t *testing.T) {
	uri := "mailto:a@b.example,"
	for name, txt := range map[string]string{
		"tags":       "v=DMARC1; p=reject" + strings.Repeat(";x=y", 16000),
		"separators": "v=DMARC1; p=reject" + strings.Repeat(";", 64000),
		"URIs":       "v=DMARC1; p=reject; rua=" + strings.Repeat(uri, 65000/len(uri)),
		"one URI":    "v=DMARC1; p=reject; rua=mailto:" + strings.Repeat("a", 65000) + "@b.example",
		"a value":    "v=DMARC1; p=reject; sp=" + strings.Repeat("x", 65000),
		"options":    "v=DMARC1; p=reject; fo=" + strings.Repeat("d:", 32000),
	} {
		r, err := Parse(txt)
		if err != nil || len(r.RUA) > maxURIs || len(r.Faults) > maxFaults || len(r.String()) > maxURIs*maxURI {
			t.Errorf("%s: %d URIs, %d faults, %v", name, len(r.RUA), len(r.Faults), err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, s := range []string{
		"v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; aspf=s; psd=y; t=y; fo=1:d:s; rua=mailto:a@b!10m,x:y; ruf=mailto:c@d",
		"V = DMARC1;;p=none;rua=a:b;rua=", "v=DMARC1; sp=x; rua=mailto:a@b", "v=DMARC1;psd=n;fo=s:0", "v=DMARC1;p=\x80",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, txt string) {
		r, err := Parse(txt)
		if err != nil {
			return
		}
		if (r.P == "") != (r.P != None && r.P != Quarantine && r.P != Reject) || r.P == "" && (r.SP != "" || r.NP != "" || len(r.RUA) > 0) {
			t.Fatalf("Parse(%q) = %+v", txt, r)
		}
		again, err := Parse(r.String())
		if err != nil {
			t.Fatalf("Parse(%q): %v", r.String(), err)
		}
		again.Faults, r.Faults = nil, nil
		if !reflect.DeepEqual(again, r) {
			t.Fatalf("Parse(%q) = %+v, want %+v", r.String(), again, r)
		}
	})
}
