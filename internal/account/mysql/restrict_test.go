package mysql

import (
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/account"
)

// What another program allows and what we allow is what a user may do; nothing
// of it ever becomes "everything".
func TestAllowBoth(t *testing.T) {
	for _, tc := range []struct {
		theirServices, theirNets, services, nets string
		wantServices, wantNets                   string
		closed                                   bool
	}{
		{},
		{theirServices: "imap, smtp", wantServices: "imap submission"},
		{services: "imap", wantServices: "imap"},
		{theirServices: "imap,pop3", services: "imap submission", wantServices: "imap"},
		{theirServices: "pop3", services: "imap", closed: true},
		{theirServices: "ftp", closed: true},
		{theirServices: "ftp imap", wantServices: "imap"},
		{theirNets: "192.0.2.7, 2001:db8::/32", wantNets: "192.0.2.7/32 2001:db8::/32"},
		{theirNets: "local", closed: true},
		{nets: "192.0.2.0/24", wantNets: "192.0.2.0/24"},
		{theirNets: "192.0.2.7 198.51.100.0/24", nets: "192.0.2.0/24", wantNets: "192.0.2.7/32"},
		{theirNets: "192.0.0.0/16", nets: "192.0.2.0/24 198.51.100.0/24", wantNets: "192.0.2.0/24"},
		{theirNets: "198.51.100.0/24", nets: "192.0.2.0/24", closed: true},
	} {
		u := account.User{Addr: alice}
		restrict(&u, tc.theirServices, tc.theirNets)
		if err := (marks{services: tc.services, nets: tc.nets}).put(&u); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(u.Services, " "); got != tc.wantServices && !tc.closed {
			t.Errorf("%+v: services are %q", tc, got)
		}
		if got := account.FormatNets(u.AllowNets); got != tc.wantNets && !tc.closed {
			t.Errorf("%+v: networks are %q", tc, got)
		}
		if (u.NoLogin != "") != tc.closed {
			t.Errorf("%+v: nologin is %q", tc, u.NoLogin)
		}
	}
}
