package password

import (
	"bytes"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/gatepost/gatepost/internal/secret"
)

// converse logs in with a SCRAM client and server against those keys.
func converse(t *testing.T, mech Scheme, keys SCRAMKeys, pw string) bool {
	t.Helper()
	gen := scram.HashGeneratorFcn(scram.SHA256)
	if mech == SCRAMSHA1 {
		gen = scram.SHA1
	}
	server, err := gen.NewServer(func(string) (scram.StoredCredentials, error) {
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(keys.Salt), Iters: keys.Iterations},
			StoredKey:  keys.StoredKey.Reveal(), ServerKey: keys.ServerKey.Reveal(),
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := gen.NewClient("alice", pw, "")
	if err != nil {
		t.Fatal(err)
	}
	c, s := client.NewConversation(), server.NewConversation()
	msg := ""
	for !s.Done() {
		if msg, err = c.Step(msg); err != nil {
			return false
		}
		if msg, err = s.Step(msg); err != nil {
			return false
		}
	}
	_, err = c.Step(msg) // the client checks the server's signature
	return err == nil && s.Valid() && c.Valid()
}

func TestSCRAM(t *testing.T) {
	p := NewPool(DefaultMemory)
	const odd = "I\u00adX \u2168" // SASLprep makes "IX IX" of it
	ours := func(s Scheme, pw string) string {
		h, err := Hash(s, []byte(pw))
		if err != nil {
			t.Fatal(err)
		}
		return string(h.Reveal())
	}
	for _, tc := range []struct {
		name, hash string
		mech       Scheme
		pw         string
		real       bool
	}{
		{"from Dovecot", fromDovecot[8], SCRAMSHA256, "wonderland", true},
		{"SHA-1 from Dovecot", fromDovecot[9], SCRAMSHA1, "wonderland", true},
		{"ours", ours(SCRAMSHA256, "wonderland"), SCRAMSHA256, "wonderland", true},
		{"ours, SHA-1", ours(SCRAMSHA1, "wonderland"), SCRAMSHA1, "wonderland", true},
		{"ours, prepared", ours(SCRAMSHA256, odd), SCRAMSHA256, odd, true},
		{"clear text", "{PLAIN}wonderland", SCRAMSHA256, "wonderland", true},
		{"clear text, SHA-1", "{CLEARTEXT}wonderland", SCRAMSHA1, "wonderland", true},
		{"clear text, prepared", "{PLAIN}" + odd, SCRAMSHA1, odd, true},
		{"the other hash", fromDovecot[8], SCRAMSHA1, "wonderland", false},
		{"argon2", fromDovecot[3], SCRAMSHA256, "wonderland", false},
		{"nobody", "", SCRAMSHA256, "wonderland", false},
	} {
		keys, real, err := p.SCRAM(t.Context(), tc.mech, "alice@example.org", secret.String(tc.hash))
		if real != tc.real || err != nil {
			t.Errorf("%s: SCRAM() = %v, %v, want %v", tc.name, real, err, tc.real)
			continue
		}
		if got := converse(t, tc.mech, keys, tc.pw); got != tc.real {
			t.Errorf("%s: a login is %v, want %v", tc.name, got, tc.real)
		}
		if converse(t, tc.mech, keys, tc.pw+"x") {
			t.Errorf("%s: a login with another password", tc.name)
		}
	}
	// The same hash of an odd password serves PLAIN, in both forms.
	for _, pw := range []string{odd, "IX IX"} {
		if ok, err := p.Verify(t.Context(), secret.String(ours(SCRAMSHA256, odd)), []byte(pw)); !ok || err != nil {
			t.Errorf("Verify(%q) = %v, %v", pw, ok, err)
		}
	}
}

// TestSCRAMTellsNothing: who is not there has keys of the same shape, which stay.
func TestSCRAMTellsNothing(t *testing.T) {
	p := New(Options{Memory: DefaultMemory, Key: secret.String("store")})
	ask := func(p *Pool, user, hash string) SCRAMKeys {
		t.Helper()
		k, _, err := p.SCRAM(t.Context(), SCRAMSHA256, user, secret.String(hash))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	p.Saw(secret.String(fromDovecot[8]))
	real, made := ask(p, "alice", fromDovecot[8]), ask(p, "bob", "")
	if len(made.Salt) != len(real.Salt) || made.Iterations != real.Iterations ||
		len(made.StoredKey.Reveal()) != len(real.StoredKey.Reveal()) || len(made.ServerKey.Reveal()) != len(real.ServerKey.Reveal()) {
		t.Errorf("made-up keys have another shape: %+v, want as %+v", made, real)
	}
	again := ask(p, "bob", "")
	after := ask(New(Options{Memory: DefaultMemory, Key: secret.String("store")}), "bob", "") // a restart
	for _, k := range []SCRAMKeys{again, after} {
		if !bytes.Equal(k.Salt, made.Salt) || k.Iterations != made.Iterations {
			t.Error("made-up salts change")
		}
	}
	if k := ask(p, "carol", ""); bytes.Equal(k.Salt, made.Salt) || k.StoredKey.Equal(made.StoredKey) {
		t.Error("two users have one salt or key")
	}
	if k := ask(New(Options{Memory: DefaultMemory}), "bob", ""); bytes.Equal(k.Salt, made.Salt) {
		t.Error("another key gives the same salt")
	}
	if k := ask(p, "bob", "{PLAIN}wonderland"); !bytes.Equal(k.Salt, made.Salt) {
		t.Error("a salt changes when its user comes")
	}
	a, b := ask(p, "dan", "{PLAIN}wonderland"), ask(p, "eve", "{PLAIN}wonderland")
	if bytes.Equal(a.Salt, b.Salt) || a.StoredKey.Equal(b.StoredKey) {
		t.Error("the salt tells that two have the same password")
	}
}

// TestSCRAMWork: where most passwords are clear text, who is not there is as
// much work as who is; where they are not, neither is any.
func TestSCRAMWork(t *testing.T) {
	for _, tc := range []struct {
		name, usual, hash string
		want              uint64
	}{
		{"clear text", "{PLAIN}x", "{PLAIN}x", 1},
		{"nobody beside clear text", "{PLAIN}x", "", 1},
		{"argon2 beside clear text", "{PLAIN}x", fromDovecot[3], 1},
		{"stored keys", fromDovecot[8], fromDovecot[8], 0},
		{"nobody beside stored keys", fromDovecot[8], "", 0},
	} {
		p := NewPool(DefaultMemory)
		for range 5 {
			p.Saw(secret.String(tc.usual))
		}
		if _, _, err := p.SCRAM(t.Context(), SCRAMSHA256, "alice", secret.String(tc.hash)); err != nil || p.Done() != tc.want {
			t.Errorf("%s: %d hashes, %v, want %d", tc.name, p.Done(), err, tc.want)
		}
	}
	p := NewPool(DefaultMemory)
	for _, bad := range []string{"rubbish", "{DES-CRYPT}oeYOVIOLl4IYI"} {
		if _, real, err := p.SCRAM(t.Context(), SCRAMSHA256, "alice", secret.String(bad)); real || err == nil {
			t.Errorf("SCRAM(%q) = %v, %v", bad, real, err)
		}
	}
	if _, _, err := p.SCRAM(t.Context(), Argon2id, "alice", secret.Value{}); err == nil {
		t.Error("SCRAM with ARGON2ID gives no error")
	}
}
