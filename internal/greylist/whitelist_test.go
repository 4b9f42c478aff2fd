package greylist

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestWhitelist(t *testing.T) {
	var w Whitelist
	err := w.Read("list", []byte(`# ours
client 192.0.2.0/24
client 2001:db8::/32
client Friend.Example
client /^mail\d+\.pool\.example$/
client /^203\.0\.113\.[0-3]$/
recipient postmaster@
recipient Alice@example.org
recipient fast.example
recipient /^ticket-[0-9]+@/
`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		addr, name string
		want       bool
	}{
		{"192.0.2.9", "", true},
		{"192.0.3.9", "", false},
		{"2001:db8:1::9", "", true},
		{"203.0.113.2", "", true},
		{"203.0.113.4", "", false},
		{"198.51.100.1", "mx.FRIEND.example", true},
		{"198.51.100.1", "friend.example", true},
		{"198.51.100.1", "notfriend.example", false},
		{"198.51.100.1", "Mail7.pool.example", true},
		{"198.51.100.1", "mail.pool.example", false},
	} {
		if got := w.client(netip.MustParseAddr(tc.addr), tc.name); got != tc.want {
			t.Errorf("client(%s, %q) = %v, want %v", tc.addr, tc.name, got, tc.want)
		}
	}
	for rcpt, want := range map[string]bool{
		"postmaster@any.example": true, "alice@example.org": true, "bob@example.org": false, "x@fast.example": true,
		"x@sub.fast.example": true, "x@breakfast.example": false, "ticket-12@example.org": true, "postmaster": false,
	} {
		if got := w.recipient(rcpt); got != want {
			t.Errorf("recipient(%q) = %v, want %v", rcpt, got, want)
		}
	}
}

func TestWhitelistFaults(t *testing.T) {
	for text, want := range map[string]string{
		"mail.example.org":          `list:1: "mail.example.org" is neither "client WHAT" nor "recipient WHAT"`,
		"\nclient":                  `list:2: "" is not a name`,
		"client a b":                `"a b" is not a name`,
		"client 192.0.2.7/24":       `"192.0.2.7/24" is not a name`,
		"client /(?=x)y/":           "not a regular expression of RE2",
		"client /" + long + "/":     "longer than 1000",
		"recipient a b@example.org": `is not an address`,
		"recipient @":               `is not an address`,
	} {
		var w Whitelist
		if err := w.Read("list", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Read(%q) = %v, want %q", text, err, want)
		}
	}
	var w Whitelist
	var b strings.Builder
	for i := range maxPatterns + 1 {
		fmt.Fprintf(&b, "client /x%d/\n", i)
	}
	if err := w.Read("list", []byte(b.String())); err == nil || !strings.Contains(err.Error(), "list:501: there are more than 500") {
		t.Errorf("Read of too many patterns = %v", err)
	}
}

var long = strings.Repeat("x", 1001)

func TestReadPostgrey(t *testing.T) {
	clients := ReadPostgrey([]byte(`# the world
southwest.example
SouthWest.example   # twice
.dotted.example
192.0.2.7
192.0.2
10.
2001:db8::/32
192.0.2.9/24
/^mail-\w+\.google\.example$/
/^(?!bad).*$/
/with blank/
/[#]/
/^b\.example$/ # 2004
two words
999.1
192.0.2.0/33
`), false)
	wantImport(t, clients, []string{"client southwest.example", "client dotted.example", "client 192.0.2.7", "client 192.0.2.0/24",
		"client 10.0.0.0/8", "client 2001:db8::/32", `client /^mail-\w+\.google\.example$/`, "client /[#]/", `client /^b\.example$/`},
		[]int{11, 12, 15, 16, 17})
	rcpts := ReadPostgrey([]byte("postmaster@\r\nAbuse@example.org\nfast.example\n/^x-/\n/broken(/\n<a@b>x y\n@\n@at.example\n"), true)
	wantImport(t, rcpts, []string{"recipient postmaster@", "recipient abuse@example.org", "recipient fast.example", "recipient /^x-/", "recipient @at.example"},
		[]int{5, 6, 7})
}

func wantImport(t *testing.T, im Import, entries []string, left []int) {
	t.Helper()
	var got []string
	for _, e := range im.Entries {
		got = append(got, e.String())
	}
	if strings.Join(got, "\n") != strings.Join(entries, "\n") {
		t.Errorf("entries:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(entries, "\n"))
	}
	var lines []int
	for _, l := range im.Left {
		lines = append(lines, l.Line)
		if l.Why == "" {
			t.Errorf("nobody says why line %d was left", l.Line)
		}
	}
	if fmt.Sprint(lines) != fmt.Sprint(left) {
		t.Errorf("left %+v, want lines %v", im.Left, left)
	}
}

// FuzzReadPostgrey: whatever was carried over is read by the reader of our own
// files, and each line is carried over, left or empty.
func FuzzReadPostgrey(f *testing.F) {
	f.Add("southwest.example\n192.0.2\n/^a+$/\n", false)
	f.Add("postmaster@\n/(?=x)/\nexample.org # all\n", true)
	f.Fuzz(func(t *testing.T, text string, recipients bool) {
		im := ReadPostgrey([]byte(text), recipients)
		var b strings.Builder
		for _, e := range im.Entries {
			fmt.Fprintln(&b, e)
		}
		var w Whitelist
		if err := w.Read("list", []byte(b.String())); err != nil {
			t.Errorf("ReadPostgrey(%q) gives\n%s\nwhich is refused: %v", text, b.String(), err)
		}
		w.client(netip.MustParseAddr("192.0.2.7"), "mail.example.org")
		w.recipient(text)
	})
}
