//go:build linux && e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// need skips a test whose package is not installed, and fails it in CI.
func need(t *testing.T, path, pkg string) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing: apt-get install %s, or `make deps`", path, pkg)
	}
	t.Skipf("%s is missing: apt-get install %s, or `make deps`", path, pkg)
}

// protocols are those of Dovecot beside IMAP, with the program and the package
// of each.
var protocols = []struct{ name, program, pkg string }{
	{"pop3", "/usr/lib/dovecot/pop3-login", "dovecot-pop3d"},
	{"sieve", "/usr/lib/dovecot/managesieve-login", "dovecot-managesieved"},
	{"lmtp", "/usr/lib/dovecot/lmtp", "dovecot-lmtpd"},
}

// dovecotWay starts Dovecot with one of the files of examples/dovecot-2.3, and
// with files of the test beside it, until the test ends.
func dovecotWay(t *testing.T, name string, files map[string]string) {
	t.Helper()
	for _, p := range protocols {
		need(t, p.program, p.pkg)
	}
	if err := the.StopDovecot(); err != nil {
		t.Fatal(err)
	}
	before := read0(t, "/etc/dovecot/dovecot.conf")
	t.Cleanup(func() {
		if err := errors.Join(the.StopDovecot(), os.WriteFile("/etc/dovecot/dovecot.conf", before, 0o644), the.StartDovecot()); err != nil {
			t.Fatal(err)
		}
	})
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(root, "examples/dovecot-2.3")
	all, err := filepath.Glob(from + "/*.conf*")
	if err != nil || len(all) < 5 {
		t.Fatalf("%d files in %s, %v", len(all), from, err)
	}
	put := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join("/etc/dovecot", name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range all {
		put(filepath.Base(f), read0(t, f))
	}
	put("dovecot.conf", read0(t, filepath.Join(from, name)))
	for name, text := range files {
		put(name, []byte(text))
	}
	if err := the.StartDovecot(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, the.Tails(20))
	}
}

func read0(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// gatepostWith starts gatepost anew with a section of its own, until the test
// ends.
func gatepostWith(t *testing.T, section string) {
	t.Helper()
	again := func(section string) {
		if err := errors.Join(the.WriteConfig(section), the.StopGatepost()); err != nil {
			t.Fatal(err)
		}
		restart(t)
	}
	t.Cleanup(func() { again("") })
	again(section)
}

// wantDoors logs in at every door, right, wrong and as nobody.
func wantDoors(t *testing.T, doors []door, box lab.Mailbox) {
	t.Helper()
	for _, d := range doors {
		if said, in := d.try(t, lab.UserIP, box.User, box.Password); !in {
			t.Errorf("%s: the right password: %s", d.name, said)
		}
		wrong, in := d.try(t, lab.OtherUserIP, box.User, box.Password+"!")
		if in {
			t.Errorf("%s: a wrong password: %s", d.name, wrong)
		}
		if said, in := d.try(t, lab.OtherUserIP, "nobody-"+box.User, box.Password); in || said != wrong {
			t.Errorf("%s: nobody hears %q, a wrong password %q", d.name, said, wrong)
		}
	}
}

// wantDirectory asks doveadm and LMTP for the user.
func wantDirectory(t *testing.T, box lab.Mailbox) {
	t.Helper()
	out, err := doveadm("user", box.User)
	local, _, _ := strings.Cut(box.User, "@")
	if err != nil || !strings.Contains(out, "/var/vmail/"+lab.Domain+"/"+local) {
		t.Errorf("doveadm user: %s %v", out, err)
	}
	if out, err := doveadm("user", "nobody-"+box.User); err == nil {
		t.Errorf("doveadm user of nobody: %s", out)
	}
	if !lmtpKnows(t, box.User) {
		t.Errorf("LMTP does not know %s", box.User)
	}
	if lmtpKnows(t, "nobody-"+box.User) {
		t.Error("LMTP knows nobody")
	}
}

// wantList wants the user among those that doveadm lists.
func wantList(t *testing.T, box lab.Mailbox) {
	t.Helper()
	out, err := doveadm("user", "*")
	if err != nil || !strings.Contains(out, box.User+"\n") {
		t.Errorf("doveadm user *: %s %v", out, err)
	}
}

// patient switches off what makes wrong passwords slow and counted, which is not
// what a test of right and wrong looks at.
const patient = "guard: {mode: observe}\nauthd: {failure_delay: 0s}\n"

// linkMaster does what contrib/dovecot/auth-master.conf does for managesieve.
func linkMaster(t *testing.T) {
	t.Helper()
	const link = "/run/dovecot/auth-master"
	if err := os.Symlink("/run/gatepost/master", link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(link); err != nil {
			t.Error(err)
		}
	})
}

// TestWayAuth: Gatepost is the auth process of IMAP, POP3, ManageSieve, LMTP and
// doveadm.
func TestWayAuth(t *testing.T) {
	box := user(t, "wayauth")
	gatepostWith(t, patient)
	linkMaster(t)
	dovecotWay(t, "auth.conf", nil)
	wantDoors(t, append([]door{{"submission", trySubmission}}, dovecotDoors...), box)
	wantDirectory(t, box)
	wantList(t, box)
	t.Run("disabled", func(t *testing.T) {
		cli(t, "", "user", "disable", box.User)
		for _, d := range dovecotDoors {
			if said, in := d.try(t, lab.UserIP, box.User, box.Password); in || !strings.Contains(said, "disabled") {
				t.Errorf("%s: %s", d.name, said)
			}
		}
	})
}

// TestWayDict: Gatepost is the database of Dovecot's own auth process.
func TestWayDict(t *testing.T) {
	database(t, nil)
}

// TestWayLua: so it is by the Lua script, here with Dovecot 2.3.
func TestWayLua(t *testing.T) {
	need(t, "/usr/lib/dovecot/modules/auth/libauthdb_lua.so", "dovecot-auth-lua")
	need(t, "/usr/share/lua/5.4/socket.lua", "lua-socket")
	root, err := lab.Root()
	if err != nil {
		t.Fatal(err)
	}
	lua := string(read0(t, filepath.Join(root, "contrib/dovecot/gatepost.lua")))
	conf := string(read0(t, filepath.Join(root, "examples/dovecot-2.3/dict.conf")))
	conf = strings.ReplaceAll(conf, "driver = dict", "driver = lua")
	conf = strings.ReplaceAll(conf, "args = /etc/dovecot/dict.conf.ext", "args = file=/etc/dovecot/gatepost.lua blocking=yes")
	database(t, map[string]string{"dovecot.conf": conf, "gatepost.lua": lua})
}

// database is what both have in common.
func database(t *testing.T, files map[string]string) {
	box, other := user(t, strings.ToLower(t.Name())), user(t, "other"+strings.ToLower(t.Name()))
	gatepostWith(t, "authd: {failure_delay: 0s}\n")
	all := map[string]string{"quick.conf": "auth_failure_delay = 0\nservice anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"}
	for name, text := range files {
		all[name] = text
	}
	appendLocal(t, "!include quick.conf\n")
	dovecotWay(t, "dict.conf", all)
	wantDoors(t, dovecotDoors, box)
	wantDirectory(t, box)
	wantList(t, box)
	cli(t, "", "user", "disable", other.User)
	for _, d := range dovecotDoors {
		if said, in := d.try(t, lab.UserIP, other.User, other.Password); in || !strings.Contains(said, "this account is disabled") {
			t.Errorf("%s: a disabled account: %s", d.name, said)
		}
	}
	// Postfix would take OK with nologin for success.
	out, err := doveadm("auth", "test", "-x", "service=smtp", other.User, other.Password)
	if err == nil {
		t.Errorf("a disabled account, as Postfix asks: %s", out)
	}
	if out, err := doveadm("auth", "test", "-x", "service=smtp", box.User, box.Password); err != nil {
		t.Errorf("the right password, as Postfix asks: %s %v", out, err)
	}
	t.Run("away", func(t *testing.T) {
		if err := the.KillGatepost(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { restart(t) })
		if said, in := tryIMAP(t, lab.UserIP, box.User, box.Password); in || !strings.Contains(said, "UNAVAILABLE") {
			t.Errorf("without gatepost: %s, want UNAVAILABLE", said)
		}
		restart(t)
		if said, in := tryIMAP(t, lab.UserIP, box.User, box.Password); !in {
			t.Errorf("with gatepost again: %s", said)
		}
	})
	for _, log := range []string{"gatepost", "dovecot"} {
		if strings.Contains(the.Log(log), box.Password+"!") {
			t.Errorf("a password is in the log of %s", log)
		}
	}
}

// appendLocal adds to Dovecot's local.conf until the test ends.
func appendLocal(t *testing.T, text string) {
	t.Helper()
	const path = "/etc/dovecot/local.conf"
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, before, 0o644); err != nil {
			t.Fatal(err)
		}
	})
	if err := os.WriteFile(path, append(before, text...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// policyKey is the key of the policy server in the lab.
const policyKey = "0123456789abcdef0123456789abcdef"

// TestWayPolicy: Dovecot checks passwords of its own and asks the guard. Guesses
// at any of its doors close all doors to that address, ours too.
func TestWayPolicy(t *testing.T) {
	box := user(t, "waypolicy")
	key := filepath.Join(the.Dir, "auth_policy.key")
	if err := os.WriteFile(key, []byte(policyKey+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	gatepostWith(t, "auth_policy: {listen: \"127.0.0.1:4001\", api_key_file: "+key+"}\nauthd: {failure_delay: 0s}\n")
	appendLocal(t, "auth_failure_delay = 0\n")
	dovecotWay(t, "policy.conf", map[string]string{
		"users":            box.User + ":{PLAIN}" + box.Password + "\n",
		"auth_policy.conf": "auth_policy_server_api_header = X-API-Key: " + policyKey + "\nauth_policy_hash_nonce = of the lab\n",
	})
	const guesser = "203.0.113.140"
	for _, d := range dovecotDoors {
		if said, in := d.try(t, lab.UserIP, box.User, box.Password); !in {
			t.Errorf("%s: the right password: %s", d.name, said)
		}
	}
	refused := ""
	for i := range 40 {
		d := dovecotDoors[i%len(dovecotDoors)]
		said, in := d.try(t, guesser, box.User, fmt.Sprintf("guess %d", i))
		if in {
			t.Fatalf("%s: guess %d let in: %s", d.name, i, said)
		}
		if strings.Contains(said, "are refused") {
			refused = said
			t.Logf("guess %d: %s", i, said)
			break
		}
	}
	if refused == "" {
		t.Fatal("40 guesses were not refused")
	}
	for _, d := range append([]door{{"submission", trySubmission}}, dovecotDoors...) {
		if said, in := d.try(t, guesser, box.User, box.Password); in || !strings.Contains(said, "are refused") {
			t.Errorf("%s: the right password from %s: %s", d.name, guesser, said)
		}
		if said, in := d.try(t, lab.UserIP, box.User, box.Password); !in {
			t.Errorf("%s: the right password from elsewhere: %s", d.name, said)
		}
	}
	if list := cli(t, "", "ban", "list"); !strings.Contains(list, guesser) {
		t.Errorf("ban list:\n%s", list)
	}
	cli(t, "", "ban", "remove", guesser)
	if said, in := tryIMAP(t, guesser, box.User, box.Password); !in {
		t.Errorf("after the ban was lifted: %s", said)
	}
	if strings.Contains(the.Log("gatepost"), "guess 1") || strings.Contains(the.Log("gatepost"), policyKey) {
		t.Error("a password or the key is in the log")
	}
	t.Run("away", func(t *testing.T) {
		if err := the.KillGatepost(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { restart(t) })
		if said, in := tryIMAP(t, lab.UserIP, box.User, box.Password); !in {
			t.Errorf("without gatepost: %s, want to go on", said)
		}
	})
}
