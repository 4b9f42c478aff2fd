package main

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/admin"
	"github.com/gatepost/gatepost/internal/dkimimport"
	"github.com/gatepost/gatepost/internal/dnstest"
	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/keys"
)

// TestRecordForms: every form of the records says the same.
func TestRecordForms(t *testing.T) {
	m := newMachine(t)
	zone := m.must(t, "dkim", "new", "example.org", "--algorithm", "rsa", "--selector", "one")
	var all []admin.Key
	if err := json.Unmarshal([]byte(m.must(t, "dkim", "dns", "--format", "json")), &all); err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	k := all[0]
	parts := `"` + strings.Join(k.Strings, `" "`) + `"`
	for form, want := range map[string]string{
		"zone":     "one._domainkey.example.org.\t3600\tIN\tTXT\t\t" + parts + "\n",
		"line":     "one._domainkey.example.org TXT " + k.Record + "\n",
		"nsupdate": "update delete one._domainkey.example.org. TXT\nupdate add one._domainkey.example.org. 3600 TXT " + parts + "\nsend\n",
	} {
		if got := m.must(t, "dkim", "dns", "example.org", "--format", form); got != want {
			t.Errorf("%s: %q, want %q", form, got, want)
		}
	}
	if zone != k.Zone || k.Record != strings.Join(k.Strings, "") {
		t.Errorf("dkim new printed %q, the zone is %q", zone, k.Zone)
	}
	if a := m.run(t, "dkim", "dns", "--format", "xml"); a.code != 2 || !strings.Contains(a.talk, `--format: "xml" is none of zone, line, json, nsupdate`) {
		t.Errorf("an unknown form: exit %d, %s", a.code, a.talk)
	}
}

// TestRotateByHand goes through a rotation where nothing runs, with what each
// command says.
func TestRotateByHand(t *testing.T) {
	m := newMachine(t)
	if a := m.run(t, "dkim", "rotate", "example.org"); a.code != 1 ||
		a.talk != "gatepost: error: rotate keys of example.org: no such key\ngatepost: hint: gatepost dkim new example.org makes the first keys\n" {
		t.Errorf("rotate without a key: exit %d, %s", a.code, a.talk)
	}
	m.must(t, "dkim", "new", "example.org", "--algorithm", "ed25519", "--selector", "old")
	records := m.must(t, "dkim", "rotate", "example.org")
	if strings.Count(records, "\n") != 1 || strings.Contains(records, "old.") || !strings.Contains(records, "k=ed25519") {
		t.Errorf("rotate prints %s", records)
	}
	if again := m.must(t, "dkim", "rotate", "example.org"); again != records {
		t.Errorf("rotate again prints %s, want %s", again, records)
	}
	m.wantKeys(t, "old active", "new pending")
	m.must(t, "dkim", "rotate", "example.org", "--now")
	m.wantKeys(t, "old retiring", "new active")
	if a := m.run(t, "dkim", "remove", "example.org", "old"); a.code != 1 ||
		!strings.HasPrefix(a.talk, "gatepost: error: remove key old of example.org: it is retiring: key is in use\ngatepost: hint: ") {
		t.Errorf("remove: exit %d, %s", a.code, a.talk)
	}
	if a := m.run(t, "dkim", "rotate", "example.org", "--undo"); a.code != 0 || a.talk != "taken back: activate\n" {
		t.Errorf("undo: exit %d, %s", a.code, a.talk)
	}
	m.wantKeys(t, "old active", "new pending")
	if out := m.must(t, "dkim", "list"); !strings.Contains(out, ": was taken back; gatepost dkim rotate example.org goes on, with --undo it is removed\n") {
		t.Errorf("list prints\n%s", out)
	}
	m.must(t, "dkim", "rotate", "example.org", "--undo")
	m.wantKeys(t, "old active")
	if a := m.run(t, "dkim", "rotate", "example.org", "--undo"); a.code != 1 || !strings.Contains(a.talk, "undo a step of example.org: nothing to do") {
		t.Errorf("undo of nothing: exit %d, %s", a.code, a.talk)
	}
	m.inspect(t, "planted")
}

// wantKeys compares keys and states; a selector other than "old" is "new".
func (m *machine) wantKeys(t *testing.T, want ...string) {
	t.Helper()
	var all []admin.Key
	if err := json.Unmarshal([]byte(m.must(t, "dkim", "list", "example.org", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range all {
		name := "new"
		if k.Selector == "old" {
			name = "old"
		}
		got = append(got, name+" "+k.State)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
}

// TestRotateServed: the running process activates keys by itself, once all
// servers of the zone show them, and a kill loses nothing.
func TestRotateServed(t *testing.T) {
	needsRoot(t, "to answer on port 53")
	// Whoever asks the zone's servers finds them at these addresses only.
	zones := []*dnstest.Zone{dnstest.NewZone(), dnstest.NewZone()}
	for i, addr := range []string{"127.71.53.1:53", "127.71.53.2:53"} {
		srv, err := dnstest.Start(addr, zones[i])
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		zones[i].MustAdd("example.org. 0 IN SOA ns1.example.org. hm.example.org. 1 2 3 4 0")
	}
	recursive := dnstest.NewZone()
	recursive.MustAdd("example.org. NS ns1.example.org.\nexample.org. NS ns2.example.org.\n" +
		"ns1.example.org. A 127.71.53.1\nns2.example.org. A 127.71.53.2")
	srv, err := dnstest.Start("127.71.53.3:53", recursive)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()

	s := startServed(t, "resolver: {servers: [127.71.53.3]}\n")
	s.must(t, "dkim", "new", "example.org", "--algorithm", "ed25519", "--selector", "old")
	record := s.must(t, "dkim", "rotate", "example.org")
	zones[0].MustAdd(record)
	zones[1].Fail(".", dnstest.ServFail) // a "no" would have to be waited for
	a := s.run(t, "dkim", "rotate", "example.org", "--check")
	if a.code != 1 || !strings.Contains(a.out, ": publish its record: ns2.example.org (127.71.53.2): gives no answer: SERVFAIL\n") {
		t.Errorf("check: exit %d\n%s%s", a.code, a.out, a.talk)
	}
	s.signal(t, syscall.SIGKILL)
	_ = s.cmd.Wait()
	zones[1].MustAdd(record)
	zones[1].Fail(".", dnstest.Healthy)
	// Killed: the sockets and the lock are as they were left.
	again := s.serve(t)
	again.Stderr = s.inside
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Process.Kill(); _ = again.Wait() }()
	s.until(t, "dkim keys activated")
	s.wantKeys(t, "old retiring", "new active")
}

// TestWhy: one reason for each message, from the journal.
func TestWhy(t *testing.T) {
	m := newMachine(t)
	j, err := journal.Open(t.Context(), filepath.Join(m.dir, "data", "journal.db"), journal.Default(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for id, r := range map[string]journal.Record{
		"4SIGNED": {Verdict: "accept", Facts: []journal.Fact{{Key: "direction", Value: "outbound"},
			{Key: "signature", Value: "example.org s=a a=rsa-sha256"}, {Key: "signature", Value: "example.org s=b a=ed25519-sha256"}}},
		"4NOKEY":   {Verdict: "accept", Facts: []journal.Fact{{Key: "direction", Value: "outbound"}, {Key: "unsigned", Value: "no key for the domain of the header From"}}},
		"4INBOUND": {Verdict: "accept", Facts: []journal.Fact{{Key: "direction", Value: "inbound"}}},
		"4REFUSED": {Verdict: "reject", Reply: "554 5.7.1 message refused as spam", Facts: []journal.Fact{{Key: "direction", Value: "outbound"}}},
		"4BROKEN": {Verdict: "defer", Reply: "451 4.3.0 try later", Facts: []journal.Fact{{Key: "direction", Value: "outbound"},
			{Key: "unsigned", Value: "the key could not be used"}, {Key: "fault", Value: "sign for example.org: bad key"}}},
		"4OTHER": {Verdict: "permit"},
	} {
		r.Time, r.Daemon, r.Event, r.QueueID = now, "milter", "message", id
		r.ClientAddr = netip.MustParseAddr("192.0.2.7")
		if id == "4OTHER" {
			r.Daemon, r.Event = "policyd", "data"
		}
		j.Record(r)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(m.dir, "data", "*"))
	for _, f := range files {
		if err := os.Chown(f, m.uid, m.gid()); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]answer{
		"4SIGNED": {"signed: example.org s=a a=rsa-sha256\nsigned: example.org s=b a=ed25519-sha256\n", "", 0},
		"4NOKEY": {"not signed: no key for the domain of the header From\n",
			"gatepost: hint: gatepost dkim new DOMAIN makes keys; a subdomain needs its own\n", 0},
		"4INBOUND": {"not signed: it came from outside: only what is sent by users and programs of ours is signed\n",
			"gatepost: hint: a user's mail has to come through submission with a login, or from milter.submission_networks\n", 0},
		"4REFUSED": {"not signed: it was not let in: reject 554 5.7.1 message refused as spam\n", "", 0},
		"4BROKEN": {"not signed: the key could not be used\nbecause: sign for example.org: bad key\n",
			"gatepost: hint: gatepost config check looks at every key\n", 0},
		"4OTHER": {"", "gatepost: error: the filter did not see this message\n" +
			"gatepost: hint: smtpd_milters or non_smtpd_milters in Postfix's main.cf leaves it out; gatepost explain 4OTHER has the rest\n", 1},
		"4NOTHING": {"", "gatepost: error: the journal has nothing of 4NOTHING\ngatepost: hint: the queue id stands in Postfix's log; the journal keeps journal.days\n", 1},
	} {
		if got := m.run(t, "dkim", "why", id); got != want {
			t.Errorf("why %s: %+v, want %+v", id, got, want)
		}
	}
	var got signed
	if err := json.Unmarshal([]byte(m.must(t, "dkim", "why", "4NOKEY", "--json")), &got); err != nil || got.Reason == "" || len(got.Signatures) != 0 {
		t.Errorf("--json: %+v, %v", got, err)
	}
}

// TestImport takes keys over that only root can read, twice, after a look.
func TestImport(t *testing.T) {
	m := newMachine(t)
	from, err := keys.Open(filepath.Join(t.TempDir(), "dkim"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	k, err := from.Create("example.org", "mail", keys.RSA)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(k.Path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(m.dir, "opendkim")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{
		"mail.private": string(text),
		"bad.private":  "planted-secret",
		"KeyTable":     "a example.org:mail:" + dir + "/mail.private\nb example.net:x:" + dir + "/bad.private\n",
		"SigningTable": "*@example.org a\n*@example.net b\n*@list.example a\n",
		"TrustedHosts": "127.0.0.1\n10.0.0.0/8\n2001:db8::/32\nprinter.example\n",
		"opendkim.conf": "KeyTable " + dir + "/KeyTable\nSigningTable refile:" + dir + "/SigningTable\n" +
			"InternalHosts " + dir + "/TrustedHosts\nSignatureTTL 1209600\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "opendkim.conf")
	report := func(word string) string {
		return strings.ReplaceAll(`example.org s=mail (rsa, 2048 bits): `+word+`
    DIR/KeyTable:1, DIR/mail.private

write into gatepost.yaml, for those of these domains that it is true of:

local_senders: [example.org]
milter:
  submission_networks:
    - networks: [10.0.0.0/8, "2001:db8::/32"]
      domains: [example.org]
dkim:
  expire: 14d

not carried over, or not as it was:

DIR/TrustedHosts:4: printer.example
    because Gatepost trusts no name that a client's DNS says
    instead: let the host log in, or name its network in milter.submission_networks
DIR/KeyTable:1: mail of list.example, signed as d=example.org s=mail
    because Gatepost signs with the author's own domain only
    instead: gatepost dkim new list.example --pending makes keys for it
DIR/KeyTable:2: example.net s=x
    because not a PEM file with an RSA or Ed25519 private key
    instead: gatepost dkim new example.net makes keys
`, "DIR", dir)
	}
	for _, tc := range []struct {
		args []string
		word string
	}{
		{[]string{"--dry-run"}, "would be carried over"},
		{nil, "carried over"},
		{nil, "is there already"},
	} {
		a := m.run(t, append([]string{"dkim", "import", "opendkim", conf}, tc.args...)...)
		if want := report(tc.word); a.out != want || a.code != 1 || strings.Contains(a.talk, "planted") {
			t.Errorf("import %v: exit %d, %s\n%s\nwant\n%s", tc.args, a.code, a.talk, a.out, want)
		}
		n := 1
		if tc.args != nil {
			n = 0
		}
		if all, _ := filepath.Glob(filepath.Join(m.dir, "data/dkim/*/*.pem")); len(all) != n {
			t.Errorf("import %v left %v", tc.args, all)
		}
	}
	m.inspect(t, "planted")
	if got := m.must(t, "dkim", "dns", "example.org"); got != k.Zone() {
		t.Errorf("the record is %s, was %s", got, k.Zone())
	}
	if a := m.run(t, "dkim", "import", "rspamd", filepath.Join(dir, "none")); a.code != 1 || !strings.Contains(a.talk, "none: no such file or directory\n") {
		t.Errorf("import of nothing: exit %d, %s", a.code, a.talk)
	}
}

// TestImportRspamd reads a file of rspamd's, with the public suffix list.
func TestImportRspamd(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "local.d", "dkim_signing.conf")
	from, err := keys.Open(filepath.Join(dir, "dkim"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"example.co.uk", "example.org"} {
		if _, err := from.Create(d, "dkim", keys.Ed25519); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Dir(conf), 0o700); err != nil {
		t.Fatal(err)
	}
	text := `path = "` + dir + `/dkim/$domain/$selector.pem"; sign_local = false`
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := rspamdSource.read(conf)
	if err != nil {
		t.Fatal(err)
	}
	plan := src.Plan([]string{"mail.example.co.uk"})
	if got := plan.Domains(); !slices.Equal(got, []string{"example.co.uk", "example.org"}) {
		t.Errorf("carried over %v", got)
	}
	why := func(n dkimimport.Note) bool {
		return n.What == "mail of mail.example.co.uk, signed as d=example.co.uk s=dkim"
	}
	if len(plan.Notes) != 1 || !slices.ContainsFunc(plan.Notes, why) {
		t.Errorf("notes %+v", plan.Notes)
	}
}

// TestDKIMNewTwice: a second pair of keys that nobody named would sign at once,
// without a record in the DNS.
func TestDKIMNewTwice(t *testing.T) {
	m := newMachine(t)
	m.must(t, "domain", "add", "example.org")
	m.must(t, "dkim", "new", "example.org")
	for _, tc := range []struct {
		args []string
		code int
		talk string
	}{
		{[]string{"dkim", "new", "example.org"}, 1, "gatepost dkim rotate example.org makes the next one"},
		{[]string{"dkim", "new", "example.org", "--algorithm", "dsa"}, 2, `"dsa" is neither of rsa and ed25519`},
		{[]string{"dkim", "new", "example.org", "--algorithm", "rsa", "--selector", "mail"}, 0, ""},
		{[]string{"dkim", "new", "example.net"}, 0, "example.net is not one of our domains"},
	} {
		a := m.run(t, tc.args...)
		if a.code != tc.code || !strings.Contains(a.talk, tc.talk) {
			t.Errorf("%q ends with %d and says %q, want %d and %q", tc.args, a.code, a.talk, tc.code, tc.talk)
		}
	}
}
