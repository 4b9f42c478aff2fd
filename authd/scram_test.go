package authd

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/secret"
)

// withScram offers all mechanisms.
func withScram(c *Config) { c.Mechanisms = mechanismNames() }

// hashed stores a password with a scheme.
func hashed(t testing.TB, s password.Scheme, pw string) func(*account.User) {
	t.Helper()
	hash, err := password.Hash(s, []byte(pw))
	if err != nil {
		t.Fatal(err)
	}
	return func(u *account.User) { u.Password = hash }
}

// scramClient is one login of a client, as Postfix or Dovecot hands it on.
type scramClient struct {
	p    *peer
	id   string
	conv *scram.ClientConversation
}

// scram begins a login and returns the server's first message.
func (p *peer) scram(id, mech, service, params, user, pw string) (c *scramClient, first string) {
	p.t.Helper()
	hash := scram.SHA256
	if mech == mechScram1 {
		hash = scram.SHA1
	}
	client, err := hash.NewClient(user, pw, "")
	if err != nil {
		p.t.Fatal(err)
	}
	c = &scramClient{p: p, id: id, conv: client.WithMinIterations(4096).NewConversation()}
	p.send("AUTH\t" + id + "\t" + mech + "\tservice=" + service + "\trip=203.0.113.9" + params + "\tresp=" + b64(c.step("")))
	return c, c.cont()
}

func (c *scramClient) step(challenge string) string {
	c.p.t.Helper()
	reply, err := c.conv.Step(challenge)
	if err != nil {
		c.p.t.Fatalf("the client takes %q as %v", challenge, err)
	}
	return reply
}

// cont reads a CONT.
func (c *scramClient) cont() string {
	c.p.t.Helper()
	got := c.p.recv()
	data, ok := strings.CutPrefix(got, "CONT\t"+c.id+"\t")
	msg, err := base64.StdEncoding.DecodeString(data)
	if !ok || err != nil {
		c.p.t.Fatalf("the server says %q, want a CONT", got)
	}
	return string(msg)
}

// prove answers the server's first message.
func (c *scramClient) prove(first string) { c.p.send("CONT\t" + c.id + "\t" + b64(c.step(first))) }

// TestSCRAM: the exchange as Postfix carries it, and as Dovecot does with
// final-resp-ok.
func TestSCRAM(t *testing.T) {
	run(t, withScram, func(t *testing.T, h *harness) {
		h.accounts.set("one@example.org", "", hashed(t, password.SCRAMSHA1, "wonderland"))
		h.accounts.set("two@example.org", "", hashed(t, password.SCRAMSHA256, "wonderland"))
		for i, tc := range []struct{ mech, user string }{
			{mechScram1, "one@example.org"}, {mechScram256, "two@example.org"}, {mechScram1, alice}, {mechScram256, "Alice@Example.ORG"},
		} {
			user, id := strings.ToLower(tc.user), fmt.Sprint(i+1)
			p := h.hello(Client, "0", "1")
			c, first := p.scram(id, tc.mech, "smtp", "\tnologin", tc.user, "wonderland")
			c.prove(first)
			c.step(c.cont())
			p.silent() // the last word is the client's
			p.send("CONT\t" + id + "\t")
			p.want("OK\t" + id + "\tuser=" + user)

			q := h.hello(Login, "3", id)
			c, first = q.scram("7", tc.mech, "imap", "\tfinal-resp-ok", tc.user, "wonderland")
			c.prove(first)
			resp, ok := strings.CutPrefix(q.recv(), "OK\t7\tuser="+user+"\tresp=")
			final, err := base64.StdEncoding.DecodeString(resp)
			if !ok || err != nil {
				t.Fatalf("resp= is %q, %v", resp, err)
			}
			if c.step(string(final)); !c.conv.Valid() {
				t.Error("the client does not know the server")
			}
			if _, ok := h.srv.takeOver(uint32(i+1), 7, h.srv.byPID[uint32(i+1)].cookie); !ok {
				t.Error("the login cannot be taken over")
			}
		}
		if got := h.journal.logins(); len(got) != 8 || got[0].Mech != mechScram1 || got[0].Verdict != verdictOK {
			t.Errorf("the journal has %d logins: %+v", len(got), got)
		}
		admitted, reported := h.watch.told()
		if admitted != 8 || len(reported) != 8 || reported[0] != guard.Right {
			t.Errorf("the guard admitted %d and was told %v", admitted, reported)
		}
	})
}

// TestSCRAMRefuses: unknown, wrong, and an account that cannot do SCRAM are one
// answer, after the same messages and the same delay.
func TestSCRAMRefuses(t *testing.T) {
	run(t, withScram, func(t *testing.T, h *harness) {
		h.accounts.set("two@example.org", "", hashed(t, password.SCRAMSHA256, "wonderland"))
		h.accounts.set("argon@example.org", "", hashed(t, password.Argon2id, "wonderland"))
		h.srv.passwords.Saw(h.accounts.users[mustName("two@example.org")].Password)
		h.watch.lenient()
		salts := map[string]string{}
		before := h.hasher.Pool.Done()
		for _, round := range []string{"first", "second"} {
			for i, user := range []string{"two@example.org", "nobody@example.org", "argon@example.org", "nopassword@example.org"} {
				p := h.hello(Client, "0", "1")
				c, first := p.scram("1", mechScram256, "smtp", "", user, "wrong")
				_, salt, _ := strings.Cut(first, ",")
				if old, ok := salts[user]; ok && old != salt {
					t.Errorf("%s: %s round: salt and iterations are %q, before %q", user, round, salt, old)
				}
				salts[user] = salt
				if _, n, _ := strings.Cut(salt, ",i="); n != "50000" {
					t.Errorf("%s: %s iterations", user, n)
				}
				start := time.Now()
				c.prove(first)
				p.want("FAIL\t1\tuser=" + user)
				if took := time.Since(start); took != 2*time.Second {
					t.Errorf("%s (%d): the answer took %v", user, i, took)
				}
			}
		}
		if n := h.hasher.Pool.Done(); n != before {
			t.Errorf("%d passwords were hashed", n-before)
		}
		var rules []string
		for _, r := range h.journal.logins()[:4] {
			rules = append(rules, r.Rule)
		}
		if got := strings.Join(rules, " "); got != "password password scram scram" {
			t.Errorf("rules = %s", got)
		}
		for _, a := range h.watch.admitted {
			if !a.Password.IsEmpty() || (a.PasswordHash != "") != (a.User == "argon@example.org" || a.User == "nopassword@example.org") {
				t.Errorf("the guard was asked of %+v", a)
			}
		}
	})
}

func TestSCRAMMalformed(t *testing.T) {
	const auth = "AUTH\t1\tSCRAM-SHA-256\tservice=imap\tresp="
	for name, first := range map[string]string{
		"channel binding":   "p=tls-unique,,n=alice@example.org,r=fyko",
		"no fields":         "n,,",
		"empty":             "",
		"an extension":      "n,,m=x,n=alice@example.org,r=fyko",
		"a broken name":     "n,,n=a=2,r=fyko",
		"too long":          "n,,n=alice@example.org,r=" + strings.Repeat("x", maxScram),
		"PLAIN's message":   "\x00" + alice + "\x00wonderland",
		"bytes of no sense": "\xff\x00\x01\t,,n=\xff,r=",
	} {
		t.Run(name, func(t *testing.T) {
			run(t, withScram, func(t *testing.T, h *harness) {
				p := h.hello(Login, "2", "1")
				p.send(auth + b64(first))
				if got := p.recv(); got != "FAIL\t1" && !(name == "bytes of no sense" && strings.HasPrefix(got, "CONT\t1\t")) {
					t.Errorf("the server says %q", got)
				}
				p.send(imap("2", alice, "wonderland"))
				p.want("OK\t2\tuser=" + alice)
			})
		})
	}
	for name, final := range map[string]string{
		"empty": "", "another nonce": "c=biws,r=x,p=AAAA", "no proof": "c=biws,r=x", "another binding": "c=eSws,r=x,p=AAAA", "too long": strings.Repeat("x", 5000),
	} {
		t.Run("final "+name, func(t *testing.T) {
			run(t, withScram, func(t *testing.T, h *harness) {
				p := h.hello(Login, "2", "1")
				_, _ = p.scram("1", mechScram256, "imap", "", alice, "wonderland")
				p.send("CONT\t1\t" + b64(final))
				p.want("FAIL\t1\tuser=" + alice)
			})
		})
	}
	// Without being offered it closes the connection, as with Dovecot, and so does
	// -PLUS in any case.
	for _, mech := range []string{"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"} {
		run(t, nil, func(t *testing.T, h *harness) {
			p := h.hello(Login, "3", "1")
			p.send("AUTH\t1\t" + mech + "\tservice=imap")
			p.closed()
		})
	}
}

// TestSCRAMObeysTheAccount: what changes while the exchange is open counts.
func TestSCRAMObeysTheAccount(t *testing.T) {
	type change func(h *harness)
	edit := func(f func(*account.User)) change {
		return func(h *harness) {
			h.accounts.mu.Lock()
			defer h.accounts.mu.Unlock()
			u := h.accounts.users[mustName(alice)]
			f(&u)
			h.accounts.users[u.Addr] = u
		}
	}
	held := edit(func(u *account.User) { u.Held = true })
	for _, tc := range []struct {
		name          string
		before, after change // of the proof
		want          string // of the last line, empty: the connection is closed
	}{
		{"held before", held, nil, "FAIL\t1\tuser=" + alice + "\treason=" + textHeld},
		{"held after", nil, held, "FAIL\t1\tuser=" + alice + "\treason=" + textHeld},
		{"removed after", nil, func(h *harness) { delete(h.accounts.users, mustName(alice)) }, "FAIL\t1\tuser=" + alice},
		{"password changed before", edit(func(u *account.User) { u.Password = secret.String("{PLAIN}other") }), nil, ""},
		{"password changed after", nil, edit(func(u *account.User) { u.Password = secret.String("{PLAIN}other") }), ""},
		{"store away", nil, func(h *harness) { h.accounts.fail(errAway) }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, withScram, func(t *testing.T, h *harness) {
				p := h.hello(Client, "0", "1")
				c, first := p.scram("1", mechScram256, "smtp", "", alice, "wonderland")
				if tc.before != nil {
					tc.before(h)
				}
				c.prove(first)
				if tc.after != nil {
					c.step(c.cont())
					tc.after(h)
					p.send("CONT\t1\t")
				}
				if tc.want == "" {
					p.closed()
				} else {
					p.want(tc.want)
				}
			})
		})
	}
	run(t, func(c *Config) { withScram(c); c.AppPasswordsOnly = true }, func(t *testing.T, h *harness) {
		p := h.hello(Client, "0", "1")
		c, first := p.scram("1", mechScram256, "smtp", "", alice, "wonderland")
		c.prove(first)
		p.want("FAIL\t1\tuser=" + alice)
	})
}

// TestSCRAMLastWord: only nothing is right behind the server's last message, and
// the client may also not answer at all.
func TestSCRAMLastWord(t *testing.T) {
	run(t, withScram, func(t *testing.T, h *harness) {
		p := h.hello(Client, "0", "1")
		for i, last := range []string{"\tYQ==", "\t!", "\t="} {
			id := fmt.Sprint(i + 1)
			c, first := p.scram(id, mechScram256, "smtp", "", alice, "wonderland")
			c.prove(first)
			c.step(c.cont())
			p.send("CONT\t" + id + last)
			want := map[string]string{"\tYQ==": "FAIL\t1", "\t!": "FAIL\t2\tcode=invalid_base64\treason=" + textBase64, "\t=": "OK\t3\tuser=" + alice}[last]
			p.want(want)
		}
		c, first := p.scram("9", mechScram256, "smtp", "", alice, "wonderland")
		c.prove(first)
		c.step(c.cont())
		time.Sleep(requestTime)
		p.send("CONT\t9\t")
		p.want("FAIL\t9\treason=" + textTimedOut)
		// Cancelled between its messages, also while we work.
		_, _ = p.scram("10", mechScram256, "smtp", "", alice, "wonderland")
		p.send("CANCEL\t10", "CONT\t10\tYQ==")
		p.want("FAIL\t10\treason=" + textTimedOut)
		p.send("AUTH\t11\tSCRAM-SHA-256\tservice=smtp\tresp="+b64("n,,n="+alice+",r=x"), "CANCEL\t11")
		synctest.Wait()
		p.silent()
	})
}

// FuzzSCRAM feeds the three messages of a client to a session.
func FuzzSCRAM(f *testing.F) {
	f.Add([]byte("n,,n=alice@example.org,r=fyko"), []byte("c=biws,r=fyko,p=AAAA"), []byte(""))
	f.Add([]byte("y,a=bob,n=a=2Cb,r="), []byte("c=,r=,p="), []byte("x"))
	f.Add([]byte("p=tls-unique,,n=,r="), []byte(",,,"), []byte("="))
	pool := password.NewPool(password.DefaultMemory)
	f.Fuzz(func(t *testing.T, first, proof, last []byte) {
		x := &exchange{}
		s := &Server{accounts: &fakeAccounts{}, passwords: pool, log: discard(), guard: &fakeWatch{check: pass, admit: pass, report: pass}}
		cfg := Default()
		s.cfg.Store(&cfg)
		l := &login{kind: Login, cfg: &cfg, start: time.Now(), scram: x, auth: authRequest{mech: mechScram256}}
		reply, err := s.scramBegin(t.Context(), l, first)
		if x.facts.fault {
			t.Fatalf("scramBegin(%q) is a fault of ours", first)
		}
		if err != nil {
			return
		}
		if len(reply) > len(first)+200 || strings.ContainsAny(reply[strings.LastIndex(reply, ",s="):], "\r\n\x00") {
			t.Errorf("scramBegin(%q) = %q", first, reply)
		}
		x.proof = string(proof)
		if x.check() || x.final != "" {
			t.Errorf("nobody's proof %q is right", proof)
		}
	})
}
