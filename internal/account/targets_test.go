package account_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/account/accounttest"
)

func TestTargets(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "accounts.db"))
	accounttest.Fill(t, s,
		"example.org", "catch.example", "name.example",
		"alice@example.org", "bob@example.org",
		"info@example.org=alice@example.org,bob@example.org",
		"both@example.org=info@example.org,alice@far.example",
		"copy@example.org", "copy@example.org=copy@example.org,bob@example.org",
		"sent@example.org", "sent@example.org=bob@example.org",
		"@catch.example=alice@example.org", "@name.example=@example.org",
		"bob+tag@example.org=alice@example.org",
	)
	for _, tc := range []struct{ rcpt, want string }{
		{"alice@example.org", "alice@example.org"},
		{"Alice+X@example.org", "alice+x@example.org"},
		{"info@example.org", "alice@example.org bob@example.org"},
		{"info+news@example.org", "alice+news@example.org bob+news@example.org"},
		{"both@example.org", "alice@example.org bob@example.org"},
		{"copy@example.org", "copy@example.org bob@example.org"},
		{"sent@example.org", "bob@example.org"},
		{"bob+tag@example.org", "alice@example.org"},
		{"any+x@catch.example", "alice@example.org"},
		{"info@name.example", "alice@example.org bob@example.org"},
		{"nobody@example.org", ""},
		{"alice@far.example", ""},
	} {
		got, err := account.Targets(t.Context(), s, accounttest.Addr(t, tc.rcpt), "+", 10)
		var names []string
		for _, a := range got {
			names = append(names, a.String())
		}
		if err != nil || strings.Join(names, " ") != tc.want {
			t.Errorf("Targets(%s) = %v, %v, want %s", tc.rcpt, got, err, tc.want)
		}
	}
	if got, err := account.Targets(t.Context(), s, accounttest.Addr(t, "info@example.org"), "+", 1); err != nil || len(got) != 1 {
		t.Errorf("Targets with a limit of one = %v, %v", got, err)
	}
}
