package fail2ban

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func files(pairs ...string) fstest.MapFS {
	out := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return out
}

const stock = `
[INCLUDES]
before = paths.conf

[DEFAULT]
# a comment
ignorecommand =
bantime  = 10m   ; ten minutes
findtime  = 10m
maxretry = 5
maxmatches = %(maxretry)s
enabled = false
mode = normal
filter = %(__name__)s[mode=%(mode)s]
port = 0:65535
banaction = iptables-multiport
action_ = %(banaction)s[port="%(port)s",
            chain="%(chain)s"]
action = %(action_)s

[dovecot]
port    = pop3,pop3s,imap,imaps,submission,465,sieve
logpath = %(dovecot_log)s

[postfix-sasl]
filter = postfix[mode=auth]
port   = smtp,465,submission,imap

[sshd]
port = ssh

[roundcube-auth]
port = http,https
logpath = %(roundcube_errors_log)s

[nginx-http-auth]
port = http

[recidive]
bantime = 1w
`

// TestRead follows values through files, includes and %(…)s.
func TestRead(t *testing.T) {
	c, err := Read(files(
		"jail.conf", stock,
		"paths.conf", "[DEFAULT]\ndovecot_log = /var/log/mail.log\nroundcube_errors_log = /old\n",
		"paths.local", "[DEFAULT]\nroundcube_errors_log = /var/log/roundcube/errors.log\n",
		"jail.d/a.conf", "[dovecot]\nenabled = yes\nmaxretry: 7\n",
		"jail.d/z.local", "[dovecot]\nbantime = 1d 12h\n[sshd]\nenabled=true\n",
		"jail.local", `[DEFAULT]
ignoreip = 127.0.0.1/8 ::1
	192.0.2.0/255.255.255.0, 198.51.100.9/24
	office.example.org file:/etc/ignore
bantime = 1h
bantime.increment = true
bantime.maxtime = 4w
bantime.rndtime = 6m
[dovecot]
findtime = %(known/bantime)s
bantime = 2h
[roundcube-auth]
enabled = true
[nginx-http-auth]
enabled = true
[recidive]
enabled = true
`))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, j := range c.Jails {
		names = append(names, j.Name)
	}
	if want := []string{"dovecot", "sshd", "roundcube-auth", "nginx-http-auth", "recidive"}; !slices.Equal(names, want) || c.Disabled != 1 {
		t.Fatalf("jails %q, want %q; %d disabled", names, want, c.Disabled)
	}
	j := c.Jails[0]
	if j.MaxRetry != 7 || j.BanTime != 36*time.Hour || j.FindTime != 2*time.Hour || !j.Increment || j.MaxTime != 28*day {
		t.Errorf("%+v", j)
	}
	if j.where["bantime"] != "jail.d/z.local:2" || j.where["maxretry"] != "jail.d/a.conf:3" {
		t.Errorf("%v", j.where)
	}
	if want := "[127.0.0.0/8 ::1/128 192.0.2.0/24 198.51.100.0/24]"; fmt.Sprint(j.Ignore) != want {
		t.Errorf("ignore %v, want %v", j.Ignore, want)
	}
	if c.Jails[2].LogPath != "/var/log/roundcube/errors.log" {
		t.Errorf("%+v", c.Jails[2])
	}
	if len(c.Notes) != 2 || !strings.Contains(c.Notes[0].What, "office.example.org") || c.Notes[0].Where != "jail.local:2" {
		t.Errorf("notes %+v", c.Notes)
	}
}

func TestMake(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c, err := Read(files("jail.conf", stock, "jail.local", `[DEFAULT]
ignoreip = 127.0.0.1 192.0.2.0/24 2001:db8::/32
[dovecot]
enabled = true
maxretry = 3
bantime = 20m
bantime.increment = true
bantime.multipliers = 1 5 30 60
bantime.maxtime = 15h
[postfix-sasl]
enabled = true
action = %(action_mw)s
[sshd]
enabled = true
[recidive]
enabled = true
[roundcube-auth]
enabled = true
`))
	if err != nil {
		t.Fatal(err)
	}
	live := []Ban{
		{netip.MustParsePrefix("203.0.113.7/32"), "dovecot", now.Add(time.Hour)},
		{netip.MustParsePrefix("203.0.113.7/32"), "recidive", now.Add(2 * time.Hour)},
		{netip.MustParsePrefix("2001:db8::7/128"), "postfix-sasl", time.Time{}},
		{netip.MustParsePrefix("203.0.113.8/32"), "sshd", now.Add(time.Hour)},
	}
	p := Make(c, live, now)
	want := `guard:
  max_failures: 3
  find_time: 10m
  ban_time: 20m
  ban_growth: [100m, 10h, 15h]
  ignore_networks: [127.0.0.0/8, "::1", 192.0.2.0/24, "2001:db8::/32"]
ban_sinks:
  nftables:
    mode: observe        # enforce, when fail2ban is stopped
    services: [imap, pop3, sieve, submission, web]
watch_logs:
  - name: roundcube
    preset: roundcube
    file: "/var/log/roundcube/errors.log"
`
	if got := p.Settings.YAML(); got != want {
		t.Errorf("settings\n%s\nwant\n%s", got, want)
	}
	if len(p.Bans) != 2 || p.Bans[1].Network.String() != "2001:db8::/64" || !p.Bans[0].Until.Equal(now.Add(2*time.Hour)) || !p.Bans[1].Until.Equal(now.Add(maxSpan)) {
		t.Errorf("bans %+v", p.Bans)
	}
	var whole strings.Builder
	for _, n := range p.Notes {
		fmt.Fprintln(&whole, n.Where, n.What, n.Why)
		if n.Why == "" {
			t.Errorf("no reason: %+v", n)
		}
	}
	for _, want := range []string{"jail sshd", "jail.local:12 jail postfix-sasl, action", "port 25", "strictest, dovecot", "1 live bans of jail sshd", "live ban of 2001:db8::7 it is for ever"} {
		if !strings.Contains(whole.String(), want) {
			t.Errorf("no note of %q in\n%s", want, whole.String())
		}
	}
	if !slices.Equal(p.Carried, []string{"dovecot", "postfix-sasl", "roundcube-auth", "recidive"}) {
		t.Errorf("carried %q", p.Carried)
	}
	// Nothing of mail: no settings, and a reason.
	c, err = Read(files("jail.local", "[sshd]\nenabled = true\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p := Make(c, nil, now); p.Settings != nil || len(p.Notes) != 1 {
		t.Errorf("%+v", p)
	}
}

func TestSeconds(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want time.Duration
	}{
		{"600", 10 * time.Minute}, {"10m", 10 * time.Minute}, {"1d 12h", 36 * time.Hour}, {"1d12h", 36 * time.Hour}, {"1hour+30min", 90 * time.Minute},
		{"60*60*24", day}, {"2 * 1h", 2 * time.Hour}, {"1year-6mo", year - 6*month}, {"1w", 7 * day}, {"6 months", 6 * month}, {"1M", time.Minute}, {"-1", -1}, {"0.5h", 30 * time.Minute},
		{"", -2}, {"ten", -2}, {"1 fortnight", -2}, {"__import__('os')", -2}, {"1h +", -2}, {"1-2", -2}, {"1e400", -2}, {"99999999999999999999", -2}, {"1**2", -2},
	} {
		got, err := parseSeconds(tc.in)
		if (err != nil) != (tc.want == -2) || err == nil && got != tc.want {
			t.Errorf("parseSeconds(%q) = %v, %v, want %v", tc.in, got, err, tc.want)
		}
	}
}

func TestBounds(t *testing.T) {
	loop := files("jail.conf", "[DEFAULT]\na = %(b)s\nb = %(a)s\n[dovecot]\nenabled = true\nbantime = %(a)s\nfindtime = %(nowhere)s\n")
	c, err := Read(loop)
	if err != nil || len(c.Notes) != 2 || c.Jails[0].BanTime != 10*time.Minute {
		t.Errorf("%+v, %v", c, err)
	}
	wide := "[DEFAULT]\na0 = " + strings.Repeat("x", 1000) + "\n"
	for i := 1; i < 10; i++ {
		wide += fmt.Sprintf("a%d = %s\n", i, strings.Repeat(fmt.Sprintf("%%(a%d)s", i-1), 10))
	}
	if c, err := Read(files("jail.conf", wide+"[dovecot]\nenabled=1\nport = %(a9)s\n")); err != nil || len(c.Notes) != 1 {
		t.Errorf("%+v, %v", c.Notes, err)
	}
	// Names that stand for nothing are as many.
	if c, err := Read(files("jail.conf", strings.Replace(wide, strings.Repeat("x", 1000), "", 1)+"[dovecot]\nenabled=1\nport = %(a9)s\n")); err != nil || len(c.Notes) != 1 {
		t.Errorf("%+v, %v", c.Notes, err)
	}
	if _, err := Read(files("jail.conf", strings.Repeat("#", maxFile+1))); err == nil {
		t.Error("a huge file is read")
	}
	if _, err := Read(files("jail.conf", "no section = 1\n")); err == nil {
		t.Error("a setting without a section is read")
	}
	if _, err := Read(files("fail2ban.conf", "")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no jails: %v", err)
	}
	c, err = Read(files("jail.conf", "[INCLUDES]\nbefore = ../../etc/passwd\n\t/etc/passwd\nafter = jail.conf\n", "jail.d/x.conf", "[INCLUDES]\nafter = ../jail.conf\n"))
	if err != nil || len(c.Notes) < 2 {
		t.Errorf("%+v, %v", c.Notes, err)
	}
}

func TestReadDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fail2ban.sqlite3")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	for _, q := range []string{
		"CREATE TABLE bips(ip TEXT NOT NULL, jail TEXT NOT NULL, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL, bancount INTEGER NOT NULL DEFAULT 1, data JSON, PRIMARY KEY(ip, jail))",
		"INSERT INTO bips VALUES('203.0.113.7', 'dovecot', 1799999900, 600, 1, NULL), ('203.0.113.8', 'dovecot', 1799999000, 600, 1, NULL), ('2001:db8::7', 'recidive', 1799990000, -1, 3, NULL), ('not an address', 'x', 1799999999, 600, 1, NULL)",
	} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	bans, notes, err := ReadDatabase(t.Context(), path, now)
	if err != nil || len(bans) != 2 || len(notes) != 1 || bans[0].Network.String() != "203.0.113.7/32" || bans[0].Until.Unix() != 1800000500 || !bans[1].Until.IsZero() {
		t.Errorf("%+v, %+v, %v", bans, notes, err)
	}
	if _, _, err := ReadDatabase(t.Context(), path+"x", now); err == nil {
		t.Error("a database that is not there is read")
	}
	if _, err := filepath.Glob(path + "-*"); err != nil {
		t.Error(err)
	}
}

func TestReadList(t *testing.T) {
	now := time.Date(2026, 11, 20, 14, 5, 0, 0, time.UTC)
	bans, notes, err := ReadList(strings.NewReader("203.0.113.7 \t2026-11-20 14:00:01 + 600 = 2026-11-20 14:10:01\n"+
		"203.0.113.8 \t2026-11-20 13:00:01 + 600 = 2026-11-20 13:10:01\n"+
		"2001:db8::7 \t2026-11-20 14:00:01 + -1 = 9999-12-31 23:59:59\n\n203.0.113.9\n"), "dovecot", now)
	if err != nil || len(bans) != 2 || len(notes) != 1 || notes[0].Where != "line 5" || !bans[0].Until.Equal(now.Add(5*time.Minute+time.Second)) || !bans[1].Until.IsZero() {
		t.Errorf("%+v, %+v, %v", bans, notes, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(stock, "[dovecot]\nenabled = true\nbantime = 1d12h\n")
	f.Add("[DEFAULT]\na=%(a)s\n", "[x]\nenabled=%(__name__)s\nport=%(known/port)s\n")
	f.Fuzz(func(t *testing.T, conf, local string) {
		c, err := Read(files("jail.conf", conf, "jail.local", local))
		if err != nil {
			return
		}
		p := Make(c, nil, time.Unix(1_800_000_000, 0))
		if p.Settings != nil && strings.Count(p.Settings.YAML(), "max_failures") != 1 {
			t.Errorf("%s", p.Settings.YAML())
		}
	})
}

func FuzzSeconds(f *testing.F) {
	for _, s := range []string{"1d 12h", "60*60", "-1", "1year-6mo"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := parseSeconds(s); err == nil && d < -1 {
			t.Errorf("parseSeconds(%q) = %v", s, d)
		}
	})
}
