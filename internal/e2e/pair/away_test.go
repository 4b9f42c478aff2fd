//go:build linux && e2e

package pair

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// traffic is mail from outside to both hosts, until it is stopped.
type traffic struct {
	mu      sync.Mutex // guards the fields below
	sent    map[string]string
	delayed int
	refused []string
	slowest time.Duration

	name string
	end  func() // may be called more than once
	stop chan struct{}
	done sync.WaitGroup
}

// flow begins traffic for a user: one message after the other on each host.
// A 4xx is tried again, as a mail server does it; a 5xx is a wrong refusal.
func flow(t *testing.T, c *cluster, user string) *traffic {
	f := &traffic{sent: map[string]string{}, name: t.Name(), stop: make(chan struct{})}
	f.end = sync.OnceFunc(func() {
		close(f.stop)
		f.done.Wait()
	})
	t.Cleanup(f.end)
	for _, ip := range c.hosts() {
		f.done.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-f.stop:
					return
				default:
				}
				f.one(ip, user, fmt.Sprintf("<%s.%s.%d@example.com>", f.name, ip, n))
			}
		})
	}
	return f
}

func (f *traffic) one(ip, user, id string) {
	for try := 0; try < 100; try++ {
		began := time.Now()
		o, err := inbound(ip, user, id)
		took := time.Since(began)
		f.mu.Lock()
		f.slowest = max(f.slowest, took)
		switch {
		case taken(o, err):
			f.sent[id] = ip
		case o.Reply.Code >= 500 || len(o.Refused) > 0 && o.Refused[0].Code >= 500:
			f.refused = append(f.refused, fmt.Sprintf("%s: %v %v", id, o.Reply, o.Refused))
		default:
			f.delayed++
			f.mu.Unlock()
			continue
		}
		f.mu.Unlock()
		return
	}
}

// arrived ends the traffic, waits for the queues, and counts what is there.
func (f *traffic) arrived(t *testing.T, c *cluster, user string) {
	t.Helper()
	f.end()
	for _, log := range []string{"maillog", "maillog2"} {
		for line := range strings.Lines(the.Log(log)) {
			if strings.Contains(line, "status=bounced") {
				t.Errorf("a bounce: %s", line)
			}
		}
	}
	idle(t, the, c.second)
	for id, ip := range f.sent {
		root := "/var/vmail"
		if ip == lab.SecondIP {
			root = c.second.MailRoot
		}
		if n := copies(t, root, user, "Message-ID: "+id); n != 1 {
			t.Errorf("%s was taken, and is there %d times", id, n)
		}
	}
	for _, r := range f.refused {
		t.Errorf("wrong refusal: %s", r)
	}
	t.Logf("%d messages taken and delivered, %d tries put off, the slowest took %v", len(f.sent), f.delayed, f.slowest.Round(time.Millisecond))
	if len(f.sent) < 20 {
		t.Errorf("only %d messages went through: that shows nothing", len(f.sent))
	}
}

// TestRedisAway: Redis is killed, and comes back; then the second host alone is
// cut off from it. Mail flows all the time on both, limits go on on each, and
// what was counted alone is merged.
func TestRedisAway(t *testing.T) {
	const alice = "alice@" + lab.Domain
	c := newCluster(t, `policyd: { greylist: { mode: off }, limits: [ { name: few, by: user, rate: 6/hour, mode: enforce } ] }
`, "alice")
	send := func(ip, id string) bool { return taken(submit(ip, lab.UserIP, alice, "dave@example.net", id)) }
	if !send(lab.ServerIP, "<away.1@example.org>") {
		t.Fatal("the first message is refused")
	}
	f := flow(t, c, alice)
	c.redis.Kill(c.redis.Nodes[0])
	for i, ip := range c.hosts() {
		began := time.Now()
		if !send(ip, fmt.Sprintf("<away.kill.%d@example.org>", i)) {
			t.Errorf("without Redis %s refuses mail", ip)
		}
		t.Logf("without Redis, a message through %s took %v", ip, time.Since(began).Round(time.Millisecond))
	}
	c.redis.Restart(c.redis.Nodes[0])
	healed(t, c)

	c.far.cut()
	for i := range 2 {
		if !send(c.hosts()[i], fmt.Sprintf("<away.cut.%d@example.org>", i)) {
			t.Errorf("with the second host cut off, %s refuses mail", c.hosts()[i])
		}
	}
	c.far.mend(t)
	healed(t, c)
	f.arrived(t, c, alice)
	// One, two, two: with the sixth the limit is reached on both.
	if !send(lab.ServerIP, "<away.6@example.org>") {
		t.Error("the sixth message is refused")
	}
	for i, ip := range c.hosts() {
		if send(ip, fmt.Sprintf("<away.over.%d@example.org>", i)) {
			t.Errorf("%s takes a seventh message: what was counted alone was not merged", ip)
		}
	}
}

// healed waits until both hosts use Redis again and nothing waits to be merged.
func healed(t *testing.T, c *cluster) {
	t.Helper()
	began := time.Now()
	err := the.Until("Redis to be in use again", func() error {
		for _, h := range []hop{the, c.second} {
			out, err := h.CLI("", "state", "stats", "--json")
			if err != nil {
				return err
			}
			var st struct {
				Shared struct {
					Away    bool   `json:"away"`
					Why     string `json:"why"`
					Pending int    `json:"pending"`
				} `json:"shared"`
			}
			if err := json.Unmarshal([]byte(out), &st); err != nil {
				return err
			}
			if st.Shared.Away || st.Shared.Pending > 0 {
				return fmt.Errorf("not yet: %+v", st.Shared)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("Redis was in use again after %v", time.Since(began).Round(time.Millisecond))
}

// TestMariaDBAway: MariaDB is killed under traffic. Mail to known names is taken
// on, unknown ones are put off and not refused, no password is accepted, least of
// all one that was changed, and when it is back all is as before.
func TestMariaDBAway(t *testing.T) {
	const alice, was = "alice@" + lab.Domain, "the old long password"
	c := newCluster(t, "policyd: { greylist: { mode: off } }\n", "alice")
	set := func(password string) {
		c.maria.ExecIn(t, c.db, fmt.Sprintf("UPDATE users SET password = '{PLAIN}%s' WHERE email = '%s'", password, alice))
	}
	set(was)
	for _, ip := range c.hosts() {
		if r := login(t, ip, lab.UserIP, alice, was); r.Code != 235 {
			t.Fatalf("login through %s: %v", ip, r)
		}
	}
	set(password)
	f := flow(t, c, alice)
	c.maria.Kill(t)
	for _, ip := range c.hosts() {
		for what, pw := range map[string]string{"old": was, "new": password} {
			if r := login(t, ip, lab.UserIP, alice, pw); r.Code == 235 || r.Code == 535 {
				t.Errorf("without MariaDB %s answers %v to the %s password, want neither yes nor no", ip, r, what)
			}
		}
		if o, err := inbound(ip, "nobody@"+lab.Domain, "<x@example.com>"); err != nil || taken(o, err) || o.Reply.Code >= 500 ||
			len(o.Refused) > 0 && o.Refused[0].Code >= 500 {
			t.Errorf("without MariaDB %s answers %+v, %v to mail for a name that it does not know, want a 4xx", ip, o, err)
		}
	}
	c.maria.Restart(t)
	began := time.Now()
	for _, ip := range c.hosts() {
		err := the.Until("a login", func() error {
			if r := login(t, ip, lab.UserIP, alice, password); r.Code != 235 {
				return fmt.Errorf("%s: %v", ip, r)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if r := login(t, ip, lab.UserIP, alice, was); r.Code != 535 {
			t.Errorf("%s answers %v to the password that was changed", ip, r)
		}
	}
	t.Logf("logins work %v after MariaDB is back", time.Since(began).Round(time.Millisecond))
	f.arrived(t, c, alice)
}
