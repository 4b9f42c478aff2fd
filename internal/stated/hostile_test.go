package stated

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/limit"
	"github.com/gatepost/gatepost/internal/state"
)

// connect opens a connection that says nothing.
func connect(t *testing.T, path string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// stays reports whether the other side keeps a connection open for a moment.
func stays(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// TestConnectionsOfOneUser: who opens all that he may leaves room for others.
func TestConnectionsOfOneUser(t *testing.T) {
	if all := len(Daemons())*maxUserConns + maxStrange; all > maxConns {
		t.Errorf("the daemons can have %d connections of %d", all, maxConns)
	}
	for name, most := range map[string]int{Milter: maxUserConns, "nobody": maxStrange} {
		p := newParts(t)
		srv := serve(t, filepath.Join(p.dir, name), p.Parts, GrantOf(name))
		var open []net.Conn
		for range most {
			open = append(open, connect(t, srv.path))
		}
		if !stays(open[most-1]) || stays(connect(t, srv.path)) {
			t.Errorf("%s does not have %d connections, or has more", name, most)
		}
		_ = open[0].Close()
		eventually(t, "there is room again", func() bool { return stays(connect(t, srv.path)) })
	}
}

// TestStreamsOfOneUser: a stream costs memory, so there are few.
func TestStreamsOfOneUser(t *testing.T) {
	p := newParts(t)
	path := filepath.Join(p.dir, "s")
	serve(t, path, p.Parts, GrantOf(Authd))
	c := dial(t, path)
	get := func() *http.Response {
		res, err := c.http.Get("http://state/v1/watch?table=ban")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res
	}
	for range maxUserStreams {
		if res := get(); res.StatusCode != http.StatusOK {
			t.Fatalf("a stream: %s", res.Status)
		}
	}
	if res := get(); res.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("one stream more: %s", res.Status)
	}
}

// TestManyClaims: a question that would take a hundred times its size in memory,
// and hold the lock of the state for long, is refused before it is read.
func TestManyClaims(t *testing.T) {
	p := newParts(t)
	path := filepath.Join(p.dir, "s")
	serve(t, path, p.Parts, GrantOf(Policyd))
	res, err := dial(t, path).http.Post("http://state/v1/state/take-all", "", strings.NewReader(`{"claims":[`+strings.Repeat("{},", maxClaims/2)+`{}]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("many claims: %s %s, %v", res.Status, b, err)
	}
}

// TestRatesByHand: what an administrator set is not for daemons to change.
func TestRatesByHand(t *testing.T) {
	p := newParts(t)
	limits := []limit.Limit{{Name: "hourly", Rate: limit.Per(10, time.Hour)}}
	for _, d := range []string{Policyd, Lmtpd} {
		c := p.as(t, d)
		if err := limit.New(c.State()).Set(t.Context(), limits, limit.ByHand{Limit: "hourly", Key: "k", Rate: limit.Per(9, time.Hour)}); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s sets a rate: %v", d, err)
		}
	}
}

// TestSealingDomainIsFolded: the milter gets the key of the domain that seals
// however that is written, and none of another.
func TestSealingDomainIsFolded(t *testing.T) {
	for seals, want := range map[string]bool{"Example.ORG.": true, "example.net": false} {
		p := newParts(t)
		p.Seals = func() string { return seals }
		k, err := p.as(t, Milter).Keys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if all := k.Active("example.org"); len(all) != 1 || (all[0].Signer() != nil) != want {
			t.Errorf("%s seals: the milter has %v", seals, all)
		}
	}
}

// TestEveryCallHasARight: who may write nothing but one table is refused by all
// calls, but those that ask for no more than that, or for nothing.
func TestEveryCallHasARight(t *testing.T) {
	free := []string{"ping", "tell", "state/get", "state/list", "state/put", "state/delete"}
	p := newParts(t)
	path := filepath.Join(p.dir, "s")
	serve(t, path, p.Parts, Grant{Read: []state.Table{state.Ban}})
	c := dial(t, path)
	for _, name := range routes(t) {
		res, err := c.http.Post("http://state/v1/"+name, "", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if refused := res.StatusCode == http.StatusForbidden; refused == slices.Contains(free, name) && !strings.HasPrefix(name, "state/") {
			t.Errorf("%s: %s", name, res.Status)
		}
	}
	for _, table := range []state.Table{state.Limit, state.Login, state.Delivery} {
		if _, err := c.State().List(t.Context(), table, ""); !errors.Is(err, ErrForbidden) {
			t.Errorf("List(%s) = %v", table, err)
		}
	}
	if err := c.State().Put(t.Context(), state.Ban, ban("k", "v"), false); !errors.Is(err, ErrForbidden) {
		t.Errorf("Put() of who may read = %v", err)
	}
	if err := c.Accounts().Follow(t.Context()); !errors.Is(err, ErrForbidden) {
		t.Errorf("Follow() = %v", err)
	}
	if _, err := c.Accounts().Domain(t.Context(), "example.org"); !errors.Is(err, ErrForbidden) || errors.Is(err, account.ErrNotFound) {
		t.Errorf("Domain() = %v", err)
	}
}

// routes are the names of all calls, from the sources.
func routes(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)\b(?:on\w*\(s, |s\.onBody\()"([^"]+)"`).FindAllSubmatch(b, -1) {
			all = append(all, string(m[1]))
		}
	}
	if len(all) < 50 {
		t.Fatalf("found %q", all)
	}
	return all
}
