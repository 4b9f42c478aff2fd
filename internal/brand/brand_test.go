package brand

import (
	"slices"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	for _, tc := range []struct {
		text, want string
		alone      bool
	}{
		{"PayPal", "PayPal", true},
		{"service@PayPal", "PayPal", true},
		{"PayPaI Support", "PayPal", true}, // a capital I
		{"PayPa1", "PayPal", true},
		{"Рayрal", "PayPal", true}, // Cyrillic er
		{"Pay\u200bPal Inc.", "PayPal", true},
		{"ＰａｙＰａｌ", "PayPal", true},
		{"Micros0ft account team", "Microsoft", true},
		{"Amazon.co.jp", "Amazon", true},
		{"ÀMAZON", "Amazon", true},
		{"Bank of America Alerts", "Bank of America", true},
		{"Alice at PayPal", "PayPal", false},
		{"Apple Support", "Apple", true},
		{"AT&T Billing", "AT&T", true},
		{"JCBカード", "JCB", true},
		{"三井住友カード", "SMBC", true},
		{"Lowe's", "Lowe's", true},
		{"Apple Farm of the North", "", false},
		{"Fiona Apple", "", false},
		{"Chase Miller", "", false},
		{"Target practice", "", false},
		{"Paypalace", "", false},
		{"Bank of Amerika", "", false},
		{"Visa for travellers", "", false},
		{"Ingrid", "", false},
		{"Upside Down", "", false},
		{"Žofie Nováková", "", false},
		{"", "", false},
	} {
		m, ok := Find(tc.text)
		switch {
		case ok != (tc.want != ""):
			t.Errorf("Find(%q) = %v", tc.text, ok)
		case ok && (m.Name != tc.want || m.Alone != tc.alone):
			t.Errorf("Find(%q) = %s, %v, want %s, %v", tc.text, m.Name, m.Alone, tc.want, tc.alone)
		}
	}
}

func TestOwns(t *testing.T) {
	for _, tc := range []struct {
		brand, domain string
		want          bool
	}{
		{"PayPal", "paypal.com", true},
		{"PayPal", "paypal.de", true},
		{"PayPal", "paypal.co.uk", true},
		{"PayPal", "paypal.tk", false},
		{"PayPal", "paypal.xyz", false},
		{"PayPal", "paypal-service.com", false},
		{"Amazon", "amazon.co.jp", true},
		{"Netflix", "netflix.de", false},
		{"PayPal", "", false},
	} {
		m, _ := Find(tc.brand)
		if got := m.Owns(tc.domain); got != tc.want {
			t.Errorf("%s owns %q: %v, want %v", tc.brand, tc.domain, got, tc.want)
		}
	}
}

// TestTable: each line has a name and domains that can be asked for, and no
// name is of two brands.
func TestTable(t *testing.T) {
	if len(table) < 140 {
		t.Fatalf("%d brands", len(table))
	}
	seen := map[string]string{}
	for _, b := range table {
		if b.Name == "" || len(b.domains) == 0 {
			t.Errorf("%+v", b)
		}
		for _, n := range b.names {
			key := strings.Join(n.words, " ")
			if key == "" || seen[key] != "" {
				t.Errorf("%s: the name %q is of %q too", b.Name, key, seen[key])
			}
			seen[key] = b.Name
		}
		for _, d := range b.domains {
			if d != strings.ToLower(d) || strings.Count(d, "*") > 1 || !strings.Contains(d, ".") || strings.Contains(strings.TrimSuffix(d, ".*"), "*") {
				t.Errorf("%s: %q is no domain", b.Name, d)
			}
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, s := range []string{"PayPal", "AT&T", "\xff", "a\u0301", strings.Repeat("1 ", 300), "三井"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, ok := Find(s)
		if ok != (m.Brand != nil) {
			t.Fatalf("Find(%q) = %+v, %v", s, m, ok)
		}
		if words := split(s); slices.Contains(words, "") || len(words) > maxText {
			t.Fatalf("split(%q) = %q", s, words)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Find("Bank of America Customer Service")
	}
}
