package firewall

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/nftables"
)

const (
	near, other   = "198.51.100.7", "198.51.100.9"
	near6, other6 = "2001:db8:1::7", "2001:db8:1::9"
	imaps         = "198.51.100.1:993"
	imaps6        = "[2001:db8:1::1]:993"
)

// inKernel returns a client whose helper changes the firewall of a server that
// the second namespace can reach.
func inKernel(t *testing.T) (c *Client, h *Helper, server, stranger *space) {
	t.Helper()
	server, stranger = pairOfSpaces(t)
	c, h = serve(t, os.Getuid(), table{netns: server.fd})
	for _, addr := range []string{imaps, imaps6, "198.51.100.1:25", "198.51.100.1:587"} {
		server.listen(t, addr)
	}
	// The first connection of a new cable may wait for the neighbour to be found.
	deadline := time.Now().Add(5 * time.Second)
	for !stranger.connects(t, near, imaps) || !stranger.connects(t, near6, imaps6) {
		if time.Now().After(deadline) {
			t.Fatal("the cable does not work")
		}
	}
	return c, h, server, stranger
}

// TestDropsAtOnce: the connection that comes after Ban has returned is not
// answered any more.
func TestDropsAtOnce(t *testing.T) {
	c, _, _, stranger := inKernel(t)
	if _, err := c.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ network, from, to, free, freeTo string }{
		{near + "/32", near, imaps, other, imaps},
		{near6 + "/128", near6, imaps6, other6, imaps6},
	} {
		b := Ban{Network: netip.MustParsePrefix(tc.network), Services: []string{"imap"}, Left: time.Hour}
		start := time.Now()
		err := c.Ban(t.Context(), b)
		took := time.Since(start)
		if err != nil {
			t.Fatal(err)
		}
		if stranger.connects(t, tc.from, tc.to) {
			t.Errorf("%s connects after the ban", tc.from)
		}
		if !stranger.connects(t, tc.free, tc.freeTo) {
			t.Errorf("%s is shut out, too", tc.free)
		}
		t.Logf("ban of %s holds after %v", tc.network, took)
	}
	for _, to := range []string{"198.51.100.1:25", "198.51.100.1:587"} {
		if !stranger.connects(t, near, to) {
			t.Errorf("a ban of imap closed %s", to)
		}
	}
	for _, p := range []string{near + "/32", near6 + "/128"} {
		if err := c.Lift(t.Context(), netip.MustParsePrefix(p)); err != nil {
			t.Error(err)
		}
	}
	if !stranger.connects(t, near, imaps) || !stranger.connects(t, near6, imaps6) {
		t.Error("a lifted ban still holds")
	}
}

// TestNetworksInNetworks: an address in a network that is banned, too.
func TestNetworksInNetworks(t *testing.T) {
	c, _, _, stranger := inKernel(t)
	if _, err := c.Sync(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	one, wide := netip.MustParsePrefix(near+"/32"), netip.MustParsePrefix("198.51.100.0/29")
	steps := []struct {
		do    func() error
		holds bool
	}{
		{func() error { return c.Ban(t.Context(), Ban{wide, []string{"imap", "submission"}, time.Hour}) }, true},
		{func() error { return c.Ban(t.Context(), Ban{one, []string{"imap"}, 2 * time.Hour}) }, true},
		{func() error { return c.Lift(t.Context(), wide) }, true},
		{func() error { return c.Ban(t.Context(), Ban{one, []string{"imap"}, time.Minute}) }, true},
		{func() error { return c.Ban(t.Context(), Ban{wide, []string{"imap"}, time.Hour}) }, true},
		{func() error { return c.Lift(t.Context(), one) }, true},
		{func() error { return c.Ban(t.Context(), Ban{wide, []string{"pop3"}, time.Hour}) }, false},
		{func() error { return c.Lift(t.Context(), wide) }, false},
	}
	for i, s := range steps {
		if err := s.do(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if got := !stranger.connects(t, near, imaps); got != s.holds {
			t.Errorf("step %d: banned %v, want %v", i, got, s.holds)
		}
	}
	if all, err := c.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("List = %v, %v", all, err)
	}
}

// TestFiveThousand bans are loaded in one transaction, and one more is quick.
func TestFiveThousand(t *testing.T) {
	c, h, server, stranger := inKernel(t)
	all := manyBans(5000)
	all = append(all, Ban{netip.MustParsePrefix(near + "/32"), []string{"imap"}, time.Hour})
	start := time.Now()
	left, err := c.Sync(t.Context(), all)
	t.Logf("%d bans loaded in %v", len(all), time.Since(start))
	if err != nil || left != 0 {
		t.Fatalf("Sync = %d, %v", left, err)
	}
	if stranger.connects(t, near, imaps) {
		t.Error("a ban does not hold")
	}
	start = time.Now()
	err = c.Ban(t.Context(), Ban{netip.MustParsePrefix(other + "/32"), []string{"imap", "pop3", "sieve", "submission"}, time.Hour})
	t.Logf("one more after %v", time.Since(start))
	if err != nil || stranger.connects(t, other, imaps) {
		t.Errorf("the ban after that: %v", err)
	}
	ranges, err := c.List(t.Context())
	if err != nil || len(ranges) < 5000 {
		t.Errorf("the kernel has %d ranges, %v", len(ranges), err)
	}
	// The same list again, and a flush of the whole firewall by somebody else.
	if _, err := c.Sync(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	flush(t, server)
	if !stranger.connects(t, near, imaps) {
		t.Error("the flush did nothing")
	}
	start = time.Now()
	h.check(t.Context(), time.Now())
	t.Logf("put back in %v", time.Since(start))
	if stranger.connects(t, near, imaps) {
		t.Error("the table was not put back")
	}
	if whole, err := h.kernel.whole(); !whole || err != nil {
		t.Errorf("whole() = %v, %v", whole, err)
	}
	if err := c.Off(t.Context()); err != nil || !stranger.connects(t, near, imaps) {
		t.Errorf("off: %v", err)
	}
	if whole, err := h.kernel.whole(); whole || err != nil {
		t.Errorf("after off whole() = %v, %v", whole, err)
	}
}

// TestBanAfterFlush: a ban that finds no table puts all back at once.
func TestBanAfterFlush(t *testing.T) {
	c, _, server, stranger := inKernel(t)
	if _, err := c.Sync(t.Context(), []Ban{{netip.MustParsePrefix(near + "/32"), []string{"imap"}, time.Hour}}); err != nil {
		t.Fatal(err)
	}
	flush(t, server)
	if err := c.Ban(t.Context(), Ban{netip.MustParsePrefix(other + "/32"), []string{"imap"}, time.Hour}); err != nil {
		t.Fatal(err)
	}
	if stranger.connects(t, near, imaps) || stranger.connects(t, other, imaps) {
		t.Error("a ban is missing after the flush")
	}
}

// TestEndsByItself: the kernel forgets a ban also when we are away, and a ban
// that was just forgotten can be made and lifted again.
func TestEndsByItself(t *testing.T) {
	c, _, _, stranger := inKernel(t)
	p := netip.MustParsePrefix(near + "/32")
	if _, err := c.Sync(t.Context(), []Ban{{p, []string{"imap"}, time.Second}}); err != nil {
		t.Fatal(err)
	}
	if stranger.connects(t, near, imaps) {
		t.Fatal("the ban does not hold")
	}
	deadline := time.Now().Add(5 * time.Second)
	for !stranger.connects(t, near, imaps) { // each try waits for dropTime
		if time.Now().After(deadline) {
			t.Fatal("the ban does not end")
		}
	}
	if err := c.Ban(t.Context(), Ban{p, []string{"imap"}, time.Hour}); err != nil || stranger.connects(t, near, imaps) {
		t.Errorf("banned again: %v", err)
	}
	if err := c.Lift(t.Context(), p); err != nil || !stranger.connects(t, near, imaps) {
		t.Errorf("lifted: %v", err)
	}
}

// TestHelperEnds: the bans stay when the helper goes, and another helper knows
// that it knows nothing.
func TestHelperEnds(t *testing.T) {
	server, stranger := pairOfSpaces(t)
	server.listen(t, imaps)
	t.Run("first", func(t *testing.T) {
		c, _ := serve(t, os.Getuid(), table{netns: server.fd})
		if _, err := c.Sync(t.Context(), []Ban{{netip.MustParsePrefix(near + "/32"), []string{"imap"}, time.Hour}}); err != nil {
			t.Fatal(err)
		}
	})
	if stranger.connects(t, near, imaps) {
		t.Error("the ban went with the helper")
	}
	c, _ := serve(t, os.Getuid(), table{netns: server.fd})
	if err := c.Ban(t.Context(), Ban{netip.MustParsePrefix(other + "/32"), []string{"imap"}, time.Hour}); err == nil {
		t.Error("a ban before sync is taken")
	}
	if _, err := c.Sync(t.Context(), nil); err != nil || !stranger.connects(t, near, imaps) {
		t.Errorf("sync with nothing: %v", err)
	}
}

// flush is "nft flush ruleset".
func flush(t *testing.T, s *space) {
	t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(s.fd))
	if err != nil {
		t.Fatal(err)
	}
	c.FlushRuleset()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
}

// manyBans are networks of several lengths, some in one another.
func manyBans(n int) []Ban {
	lengths := []int{32, 32, 32, 24, 28}
	var all []Ban
	for i := 0; len(all) < n; i++ {
		a := netip.AddrFrom4([4]byte{203, byte(i >> 8), byte(i), byte(i * 37)})
		p, _ := a.Prefix(lengths[i%len(lengths)])
		if i%4 == 3 {
			p = netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x:%x::/64", i>>4, i))
		}
		all = append(all, Ban{p, []string{"imap", "pop3", "sieve", "submission"}, time.Duration(1+i%900) * time.Hour / 10})
	}
	return all
}
