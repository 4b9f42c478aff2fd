package authd

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/netaddr"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/secret"
)

// service returns a login of Dovecot's for another service than imap.
func service(line, name string) string {
	return strings.Replace(line, "service=imap", "service="+name, 1)
}

// TestAccountRules: what an account's own rules say to a right password, to
// Postfix, to Dovecot's imap and to its pop3. A wrong one hears nothing of it.
func TestAccountRules(t *testing.T) {
	const user = "rules@example.org"
	fail := func(params string) string { return "FAIL\t1\tuser=" + user + params }
	ok := func(params string) string { return "OK\t1\tuser=" + user + params }
	closed := func(s string) string { return "\treason=" + fmt.Sprintf(textClosed, s) }
	const away = "on leave until May, please ask Ann"
	for _, tc := range []struct {
		name             string
		edit             func(*account.User)
		smtp, imap, pop3 string
		rule             string // of the first, in the journal
	}{
		{"nologin", func(u *account.User) { u.NoLogin = away }, fail("\treason=" + away), ok("\tnologin\treason=" + away), ok("\tnologin\treason=" + away), "nologin"},
		{"services", func(u *account.User) { u.Services = []string{account.IMAP} }, fail(closed("submission")), ok(""), ok("\tnologin" + closed("pop3")), "service"},
		{"submission alone", func(u *account.User) { u.Services = []string{account.Submission} }, ok(""), ok("\tnologin" + closed("imap")), ok("\tnologin" + closed("pop3")), ""},
		{"expired", func(u *account.User) { u.Expires = time.Now() },
			fail("\tcode=pass_expired\tpass_expired\treason=" + textExpired), fail("\tcode=pass_expired\tpass_expired\treason=" + textExpired), fail("\tcode=pass_expired\tpass_expired\treason=" + textExpired), "expired"},
		{"expires tomorrow", func(u *account.User) { u.Expires = time.Now().Add(24 * time.Hour) }, ok(""), ok(""), ok(""), ""},
		{"networks", func(u *account.User) { u.AllowNets = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")} }, fail(""), fail(""), fail(""), "allow_nets"},
		{"its network", func(u *account.User) { u.AllowNets = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")} }, ok(""), ok(""), ok(""), ""},
		{"disabled before nologin", func(u *account.User) { u.Disabled, u.NoLogin = true, away },
			fail("\tcode=user_disabled\tuser_disabled\treason=" + textDisabled), ok("\tnologin\treason=" + textDisabled), ok("\tnologin\treason=" + textDisabled), "disabled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, h *harness) {
				h.accounts.set(user, "wonderland", tc.edit)
				for _, x := range []struct{ line, want string }{
					{plain("1", user, "wonderland"), tc.smtp}, {imap("1", user, "wonderland"), tc.imap}, {service(imap("1", user, "wonderland"), "pop3"), tc.pop3},
				} {
					p := h.hello(map[bool]Kind{true: Client, false: Login}[strings.Contains(x.line, "service=smtp")], "2", "1")
					p.send(x.line)
					p.want(x.want)
					p.send(strings.Replace(strings.Replace(x.line, "\t1\t", "\t2\t", 1), b64("\x00"+user+"\x00wonderland"), b64("\x00"+user+"\x00wrong"), 1))
					p.want("FAIL\t2\tuser=" + user)
					_ = p.conn.Close()
					synctest.Wait()
				}
				if r := h.journal.logins()[0]; r.Rule != tc.rule {
					t.Errorf("the rule is %q, want %q", r.Rule, tc.rule)
				}
			})
		})
	}
}

// TestAllowNetsIsAWrongPassword: in time, in work, and to the guard.
func TestAllowNetsIsAWrongPassword(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		h.accounts.set(alice, "wonderland", func(u *account.User) { u.AllowNets = []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")} })
		p := h.hello(Client, "0", "1")
		start := time.Now()
		p.send(plain("1", alice, "wonderland"))
		p.want("FAIL\t1\tuser=" + alice)
		v, d := h.hasher.counts()
		if took := time.Since(start); took != 2*time.Second || v+d != 1 {
			t.Errorf("it took %v and %d hashes", took, v+d)
		}
		if _, reported := h.watch.told(); len(reported) != 1 || reported[0] != guard.Wrong {
			t.Errorf("the guard was told %v", reported)
		}
		// A remembered password does not help from elsewhere.
		inside := strings.Replace(plain("2", alice, "wonderland"), "203.0.113.9", "198.51.100.7", 1)
		p.send(inside)
		p.want("OK\t2\tuser=" + alice)
		p.send(plain("3", alice, "wonderland"))
		p.want("FAIL\t3\tuser=" + alice)
		// Nor does no address at all.
		p.send(strings.Replace(plain("4", alice, "wonderland"), "rip=203.0.113.9", "rip=", 1))
		p.want("FAIL\t4\tuser=" + alice)
	})
}

// appPassword gives alice an app password and returns what is typed.
func (h *harness) appPassword(id int64, edit func(*account.AppPassword)) string {
	clear, stored := password.NewApp()
	p := account.AppPassword{ID: id, User: mustName(alice), Name: fmt.Sprint("device ", id), Hash: stored}
	if edit != nil {
		edit(&p)
	}
	h.accounts.mu.Lock()
	defer h.accounts.mu.Unlock()
	h.accounts.apps = append(h.accounts.apps, p)
	return string(clear.Reveal())
}

func TestAppPasswords(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		phone := h.appPassword(1, func(p *account.AppPassword) { p.Services = []string{account.IMAP} })
		laptop := h.appPassword(2, func(p *account.AppPassword) { p.Expires = time.Now().Add(time.Hour) })
		p, q := h.hello(Login, "2", "1"), h.hello(Client, "0", "2")
		n := 0
		try := func(p *peer, line func(id, user, password string) string, pw, want string) {
			t.Helper()
			n++
			p.send(line(fmt.Sprint(n), alice, pw))
			p.want(fmt.Sprintf(want, n))
		}
		const ok, fail = "OK\t%d\tuser=" + alice, "FAIL\t%d\tuser=" + alice
		for range 2 { // from the store and from memory
			try(p, imap, phone, ok)
			try(q, plain, phone, fail) // not its service
			try(q, plain, laptop, ok)
			try(p, imap, strings.ToUpper(strings.ReplaceAll(laptop, "-", " ")), ok)
			try(p, imap, "wonderland", ok)
		}
		if v, d := h.hasher.counts(); v != 3 || d != 0 {
			t.Errorf("%d main passwords were hashed and %d for nobody, want 3 and 0: two that were none, and one that was", v, d)
		}
		h.accounts.mu.Lock()
		if len(h.accounts.used) != 6 || h.accounts.used[0].ID != 1 || h.accounts.used[0].LastAddr.String() != "203.0.113.9" || h.accounts.used[0].LastUsed.IsZero() {
			t.Errorf("uses = %+v", h.accounts.used)
		}
		h.accounts.mu.Unlock()
		facts := h.journal.logins()[0].Facts
		if len(facts) != 1 || facts[0].Value != "device 1" {
			t.Errorf("the journal has the facts %v", facts)
		}
		time.Sleep(time.Hour)
		try(q, plain, laptop, fail) // its time is over
		h.accounts.mu.Lock()
		h.accounts.apps = h.accounts.apps[1:]
		h.accounts.mu.Unlock()
		try(p, imap, phone, fail) // revoked
	})
	// One that is revoked is out at once, also where it is remembered, and also
	// while it is looked at.
	run(t, nil, func(t *testing.T, h *harness) {
		phone := h.appPassword(7, nil)
		p := h.hello(Login, "2", "1")
		p.send(imap("1", alice, phone))
		p.want("OK\t1\tuser=" + alice)
		h.accounts.mu.Lock()
		h.accounts.apps = nil
		h.accounts.mu.Unlock()
		p.send(imap("2", alice, phone))
		p.want("FAIL\t2\tuser=" + alice)
	})
}

// TestAppPasswordsOnly: mail clients need one, a webmail does not. Nobody's main
// password is looked at, so that unknown and known are the same.
func TestAppPasswordsOnly(t *testing.T) {
	run(t, func(c *Config) { c.AppPasswordsOnly = true }, func(t *testing.T, h *harness) {
		h.watch.lenient()
		phone := h.appPassword(1, nil)
		for i, name := range []string{"imap", "pop3", "sieve", "submission", "smtp"} {
			p := h.hello(Login, "2", fmt.Sprint(i+1))
			for _, user := range []string{alice, "nobody@example.org"} {
				start := time.Now()
				p.send(strings.Replace(service(imap("1", user, "wonderland"), name), "203.0.113.9", fmt.Sprintf("203.0.113.%d", i), 1))
				p.want("FAIL\t1\tuser=" + user)
				if time.Since(start) != 2*time.Second {
					t.Errorf("%s, %s: the answer took %v", name, user, time.Since(start))
				}
			}
			p.send(service(imap("2", alice, phone), name))
			p.want("OK\t2\tuser=" + alice)
		}
		if v, d := h.hasher.counts(); v != 0 || d != 0 {
			t.Errorf("%d main passwords were looked at, %d made up", v, d)
		}
		if r := h.journal.logins(); r[0].Rule != ruleAppOnly || r[1].Rule != "password" {
			t.Errorf("rules = %s, %s", r[0].Rule, r[1].Rule)
		}
		p := h.hello(Login, "2", "90")
		p.send(service(imap("1", alice, "wonderland"), "web"))
		p.want("OK\t1\tuser=" + alice)
		// What is remembered of it is not for the mail client.
		p.send(imap("2", alice, "wonderland"))
		p.want("FAIL\t2\tuser=" + alice)
	})
}

// TestRehash: once, behind the answer, and what is stored then verifies.
func TestRehash(t *testing.T) {
	run(t, func(c *Config) { c.Rehash = "argon2id" }, func(t *testing.T, h *harness) {
		p := h.hello(Login, "2", "1")
		p.send(imap("1", alice, "wonderland"))
		p.want("OK\t1\tuser=" + alice)
		_ = p.conn.Close() // as a login process does
		synctest.Wait()
		u := h.accounts.users[mustName(alice)]
		if s, err := h.hasher.Scheme(u.Password); s != password.Argon2id || err != nil {
			t.Errorf("the stored password is %s, %v", s, err)
		}
		q := h.hello(Login, "2", "2")
		q.send(imap("1", alice, "wonderland"), imap("2", alice, "wrong"))
		q.want("OK\t1\tuser="+alice, "FAIL\t2\tuser="+alice)
		synctest.Wait()
		if again := h.accounts.users[mustName(alice)]; !again.Password.Equal(u.Password) {
			t.Error("it was hashed once more")
		}
		if n := strings.Count(h.log.String(), "password hashed anew"); n != 1 {
			t.Errorf("the log tells of it %d times", n)
		}
	})
	// A password that somebody sets meanwhile stays, and so does one in a store
	// that is no Rehasher.
	run(t, func(c *Config) { c.Rehash = "ARGON2ID" }, func(t *testing.T, h *harness) {
		l := &login{who: who{name: mustName(alice), user: account.User{Password: secret.String("{PLAIN}older")}}}
		l.cred.password = secret.String("older")
		h.srv.improve(t.Context(), l, nil)
		if u := h.accounts.users[mustName(alice)]; string(u.Password.Reveal()) != "{PLAIN}wonderland" {
			t.Error("a password that changed was replaced")
		}
		h.srv.accounts = onlyRead{h.accounts}
		l.user = h.accounts.users[mustName(alice)]
		h.srv.improve(t.Context(), l, nil)
		if u := h.accounts.users[mustName(alice)]; string(u.Password.Reveal()) != "{PLAIN}wonderland" {
			t.Error("a foreign table was written")
		}
	})
	// The queue is bounded.
	run(t, func(c *Config) { c.Rehash = "ARGON2ID" }, func(t *testing.T, h *harness) {
		for range maxRehash {
			h.srv.better.queue <- struct{}{}
		}
		p := h.hello(Login, "2", "1")
		p.send(imap("1", alice, "wonderland"))
		p.want("OK\t1\tuser=" + alice)
		synctest.Wait()
		if u := h.accounts.users[mustName(alice)]; string(u.Password.Reveal()) != "{PLAIN}wonderland" {
			t.Error("a full queue took one more")
		}
	})
}

// onlyRead is a store of somebody else's.
type onlyRead struct{ accounts }

// TestRehashedMeanwhile: a right password whose hash is replaced while it is
// looked at stays right.
func TestRehashedMeanwhile(t *testing.T) {
	run(t, nil, func(t *testing.T, h *harness) {
		h.hasher.gate = make(chan struct{})
		p := h.hello(Client, "0", "1")
		p.send(plain("1", alice, "wonderland"))
		p.silent()
		h.accounts.set(alice, "", hashed(t, password.SHA512Crypt, "wonderland"))
		close(h.hasher.gate)
		p.want("OK\t1\tuser=" + alice)
	})
}

func TestWeakSchemeIsToldOnceADay(t *testing.T) {
	run(t, func(c *Config) { c.CacheTime = 0 }, func(t *testing.T, h *harness) {
		p := h.hello(Login, "2", "1")
		const text = "weak password scheme in use"
		for i, want := range []int{1, 1, 2} {
			p.send(imap(fmt.Sprint(i+1), alice, "wonderland"))
			p.want(fmt.Sprintf("OK\t%d\tuser=%s", i+1, alice))
			synctest.Wait()
			if n := strings.Count(h.log.String(), text); n != want {
				t.Errorf("login %d: the log has it %d times, want %d", i+1, n, want)
			}
			if i == 1 {
				time.Sleep(weakTime)
			}
		}
		if !strings.Contains(h.log.String(), "rule=PLAIN") {
			t.Error("the scheme is not named")
		}
	})
}

func TestClientAddr(t *testing.T) {
	run(t, func(c *Config) { c.TrustedProxies = prefixes("10.0.0.0/8") }, func(t *testing.T, h *harness) {
		p := h.hello(Login, "2", "1")
		for i, tc := range []struct{ params, want string }{
			{"rip=203.0.113.9", "203.0.113.9"},
			{"rip=203.0.113.9\treal_rip=203.0.113.9", "203.0.113.9"},
			{"rip=203.0.113.9\treal_rip=10.1.2.3\treal_rport=77", "203.0.113.9"},
			{"rip=203.0.113.9\treal_rip=198.51.100.6", "198.51.100.6"},
			{"rip=203.0.113.9\treal_rip=::ffff:10.1.2.3", "203.0.113.9"},
			{"rip=203.0.113.9\treal_rip=rubbish", "203.0.113.9"},
			{"real_rip=198.51.100.6", "198.51.100.6"},
		} {
			id := fmt.Sprint(i + 1)
			p.send(strings.Replace(imap(id, alice, "wonderland"), "rip=203.0.113.9", tc.params, 1))
			p.want("OK\t" + id + "\tuser=" + alice)
			if got := h.journal.logins()[i].ClientAddr.String(); got != tc.want {
				t.Errorf("%s: the client is %s, want %s", tc.params, got, tc.want)
			}
		}
	})
}

func TestUserdbFields(t *testing.T) {
	run(t, func(c *Config) { c.UserdbFields = map[string]string{"quota_grace": "10%%", "plugin/acl": "vfile"} }, func(t *testing.T, h *harness) {
		h.accounts.set(alice, "x", func(u *account.User) { u.Quota = 5 << 30 })
		p := h.hello(Userdb, "1", "")
		p.send("USER\t1\t" + alice + "\tservice=lmtp")
		p.want("USER\t1\t" + alice + aliceFields + "\tquota_rule=*:bytes=5368709120\tplugin/acl=vfile\tquota_grace=10%%")
		h.accounts.set(alice, "x", func(u *account.User) { u.NoLogin = "gone fishing" })
		p.send("PASS\t2\t" + alice + "\tservice=doveadm")
		p.want("PASS\t2\tuser=" + alice + "\tnologin\treason=gone fishing")
	})
	for key, value := range map[string]string{
		"": "x", "a b": "x", "a=b": "x", "uid": "0", "home": "/", "quota_rule": "x", "-x": "x", "x": "a\nb", "y": strings.Repeat("x", maxFieldBytes), "nologin\t": "",
	} {
		c := Default()
		c.UserdbFields = map[string]string{key: value}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "userdb_fields: ") {
			t.Errorf("Validate() with %q = %v", key, err)
		}
	}
}

func TestConfigOfLogins(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*Config)
		want string // empty: valid
	}{
		"all mechanisms":       {withScram, ""},
		"no mechanism":         {func(c *Config) { c.Mechanisms = nil }, "mechanisms: "},
		"plus":                 {func(c *Config) { c.Mechanisms = []string{"SCRAM-SHA-256-PLUS"} }, "mechanisms: "},
		"twice":                {func(c *Config) { c.Mechanisms = []string{"PLAIN", "PLAIN"} }, "mechanisms: "},
		"rehash":               {func(c *Config) { c.Rehash = "argon2id" }, ""},
		"rehash to plain":      {func(c *Config) { c.Rehash = "PLAIN" }, "rehash: "},
		"rehash to MD5":        {func(c *Config) { c.Rehash = "MD5-CRYPT" }, "rehash: "},
		"rehash to nonsense":   {func(c *Config) { c.Rehash = "x" }, "rehash: "},
		"rehash against SCRAM": {func(c *Config) { withScram(c); c.Rehash = "ARGON2ID" }, "rehash: "},
		"rehash to SCRAM":      {func(c *Config) { withScram(c); c.Rehash = "SCRAM-SHA-256" }, ""},
		"default scheme":       {func(c *Config) { c.DefaultPassScheme = "CRYPT" }, ""},
		"no default scheme":    {func(c *Config) { c.DefaultPassScheme = "x" }, "default_pass_scheme: "},
	} {
		c := Default()
		tc.edit(&c)
		if err := c.Validate(); (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: Validate() = %v, want %q", name, err, tc.want)
		}
	}
}

var _ interface {
	account.AppUses
	account.Rehasher
} = (*fakeAccounts)(nil)

func prefixes(all ...string) (nets []netaddr.Prefix) {
	for _, s := range all {
		nets = append(nets, netaddr.Prefix{Prefix: netip.MustParsePrefix(s)})
	}
	return nets
}
