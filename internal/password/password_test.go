package password

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/secret"
)

var schemes = MakeSchemes()

// Made by doveadm pw from Dovecot 2.3.19.1, password "wonderland".
var fromDovecot = []string{
	"{BLF-CRYPT}$2y$05$91ztEx.hTmwu0UO4Y8A/HuNiepN2LkvJCcKAxLSyuifbU58meUove",
	"{SHA512-CRYPT}$6$FzMdcOZfRD9gkD8Y$XoiroT56wQ7onFTJD9VeyXmcssPb8E/M8r1Y7qUql1G26fh6DHsuWnRZ9iB.zFLVeG7hiZc2RmU0UsruY8eOv0",
	"{SHA256-CRYPT}$5$Z9TEU2l7gGNY5Gu7$JilUXPcWzUqlBm07FhLG6/0cGwSygpy1vh7BBrV8jgB",
	"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$IYdEPTteJbgbbhEqru7ONw$/SkIJLfkEXW7LUCkjYehH6c6q3ZxmBuntLLoFcg7Ylk",
	"{PLAIN}wonderland",
	"{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$/ibNZAW0g+NBMg+V/wfLJA$ILmJVCXLAWih0HluvpWcaTQhH93jFbPAyl3iENjUxdU",
	"{PBKDF2}$1$jWnx77LANRT1nJiG$5000$d836e824f84edee6744dbddceced39276d871c9a",
	"{MD5-CRYPT}$1$saEJcYuf$oCKPJaou16qAG./dseby7/",
	"{SCRAM-SHA-256}4096,easMUHBi3uhxIrGqohcnNw==,oVHx5w280zxYsmeFqLG5GfdlSsD492V2fda2/yV9ews=,lxi9fOVU4xIaVpl7F356ckI47q1d0s5Cw+FG6PVHi4c=",
	"{SCRAM-SHA-1}4096,Jrn4vr9kEsJvJrZiUdx5zw==,dUl8USohysw+PX+5hCMHDRv7b7M=,/c6Sy4svsIoPRJnbLYcyUEm0rwE=",
	"{SSHA512}NwZpgaTPJ9cZwHzBzNSZRoPZum9i+xUdNFYgAO6yZnxO5Z3NZIpbNEwgfjVrnrlB0x8l5f/pLM8uotASznpczAE0lrU=",
	"{SSHA256}kVPkS5Ttw+wK5y6iX+H2/1bs1X0F/8tLd7L3jpRaqXxB81wE",
	"{SSHA}gRVRoAq56Pr2yDeDnrt8H6BrpJlBvu2H",
	"{SMD5}WSOYeh25Lerr5ZoxLFZLabDyE4U=",
	"{SHA512}ku0fDfoQrWtagdEFYHEbjQ9c9VgiIcfBTHy9WUlYxzC0akkZeapved5X1TI3/zY9iEZNFBBxylKvMcYzgvbHpg==",
	"{SHA256}pxp8cBH1OhurNkLsLOElk/BSMKzo3h4+dkX2nvrBRD0=",
	"{SHA1}tiY7sUhYKUwI5L3866kDY+ENcrQ=",
	"{PLAIN-MD5}4cecaff2b30bbe75ce7322109164cfb5",
}

// otherForms are written otherwise; Dovecot's doveadm pw -t takes each of them.
var otherForms = []string{
	"{SHA}tiY7sUhYKUwI5L3866kDY+ENcrQ=",
	"{CLEAR}wonderland",
	"{CLEARTEXT.b64}d29uZGVybGFuZA==",
	"{plain.hex}776f6e6465726c616e64",
	"{LDAP-MD5}TOyv8rMLvnXOcyIQkWTPtQ==",
	"{LDAP-MD5}4cecaff2b30bbe75ce7322109164cfb5",
	"{PLAIN-MD5}TOyv8rMLvnXOcyIQkWTPtQ==",
	"{PLAIN-MD5.b64}TOyv8rMLvnXOcyIQkWTPtQ==",
	"{MD5}$1$saEJcYuf$oCKPJaou16qAG./dseby7/",
	"{MD5}4cecaff2b30bbe75ce7322109164cfb5",
	"{MD5}TOyv8rMLvnXOcyIQkWTPtQ==",
	"{SHA256}a71a7c7011f53a1bab3642ec2ce12593f05230ace8de1e3e7645f69efac1443d",
	"{SHA256.HEX}A71A7C7011F53A1BAB3642EC2CE12593F05230ACE8DE1E3E7645F69EFAC1443D",
	"{SHA256.base64}pxp8cBH1OhurNkLsLOElk/BSMKzo3h4+dkX2nvrBRD0=",
	"{SSHA256.hex}e2c4032304335157ab60ae300bf10884265e40fd87012f0101e6476aef5affd873616c74",
	"{BLF-CRYPT.b64}JDJ5JDA1JFlwcXNxaWg3ei5zNGx2V1hiVG1wVS5TcjFSQk90MklCd0tJN2tRZFRrcDhnWDhLWXlQLldt",
	"{CRYPT.hex}2431247361454a63597566246f434b504a616f7531367141472e2f6473656279372f",
	"{PBKDF2.b64}JDEkaldueDc3TEFOUlQxbkppRyQ1MDAwJGQ4MzZlODI0Zjg0ZWRlZTY3NDRkYmRkY2VjZWQzOTI3NmQ4NzFjOWE=",
	"{PBKDF2}$1$jWnx77LANRT1nJiG$5000$D836E824F84EDEE6744DBDDCECED39276D871C9A",
	"{SCRAM-SHA-1.b64}NDA5NixKcm40dnI5a0VzSnZKclppVWR4NXp3PT0sZFVsOFVTb2h5c3crUFgrNWhDTUhEUnY3YjdNPSwvYzZTeTRzdnNJb1BSSm5iTFljeVVFbTByd0U9",
	"{SHA512-CRYPT}$1$saEJcYuf$oCKPJaou16qAG./dseby7/",
	"{ARGON2ID}$argon2i$v=19$m=32768,t=4,p=1$/ibNZAW0g+NBMg+V/wfLJA$ILmJVCXLAWih0HluvpWcaTQhH93jFbPAyl3iENjUxdU",
	"$1$saEJcYuf$oCKPJaou16qAG./dseby7/",
}

func TestVerify(t *testing.T) {
	p := NewPool(DefaultMemory)
	for _, h := range fromDovecot {
		scheme, bare, _ := strings.Cut(h, "}")
		forms := []string{h, strings.ToLower(scheme) + "}" + bare}
		if strings.HasPrefix(bare, "$") && scheme != "{PBKDF2" {
			forms = append(forms, bare, "{CRYPT}"+bare)
		}
		for i, form := range forms {
			pws := map[string]bool{"wonderland": true}
			if i == 0 {
				pws = map[string]bool{"wonderland": true, "Wonderland": false, "": false, "wonderland\x00": false}
			}
			for pw, want := range pws {
				got, err := p.Verify(t.Context(), secret.String(form), []byte(pw))
				if got != want || err != nil {
					t.Errorf("Verify(%q, %q) = %v, %v, want %v", form, pw, got, err, want)
				}
			}
		}
	}
}

func TestHashVerifies(t *testing.T) {
	p := NewPool(DefaultMemory)
	for _, s := range schemes {
		for _, pw := range []string{"пароль 🔑 wonderland"} {
			h, err := Hash(s, []byte(pw))
			if err != nil {
				t.Fatalf("Hash(%s): %v", s, err)
			}
			if !strings.HasPrefix(string(h.Reveal()), "{"+string(s)+"}") {
				t.Errorf("Hash(%s) has no scheme in front", s)
			}
			ok, err := p.Verify(t.Context(), h, []byte(pw))
			if !ok || err != nil {
				t.Errorf("Verify(Hash(%s, %q)) = %v, %v", s, pw, ok, err)
			}
			if ok, _ := p.Verify(t.Context(), h, []byte(pw[1:])); ok {
				t.Errorf("Verify(Hash(%s, %q)) matches another password", s, pw)
			}
			if err := Check(h, DefaultMemory); err != nil {
				t.Errorf("Check(Hash(%s)) = %v", s, err)
			}
		}
	}
}

func TestHashRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		scheme Scheme
		pw     string
	}{
		{"empty", Argon2id, ""},
		{"NUL", Argon2id, "a\x00b"},
		{"too long", Argon2id, strings.Repeat("x", MaxBytes+1)},
		{"bcrypt reads 72 bytes", BLFCrypt, strings.Repeat("x", 73)},
		{"unknown scheme", "MD5", "x"},
		{"scheme that only verifies", SSHA256, "x"},
	} {
		if h, err := Hash(tc.scheme, []byte(tc.pw)); err == nil || !h.IsEmpty() {
			t.Errorf("%s: Hash gave no error", tc.name)
		}
	}
}

func TestStoredHashOutOfBounds(t *testing.T) {
	const salt, key = "IYdEPTteJbgbbhEqru7ONw", "/SkIJLfkEXW7LUCkjYehH6c6q3ZxmBuntLLoFcg7Ylk"
	argon := func(params string) string { return "{ARGON2ID}$argon2id$v=19$" + params + "$" + salt + "$" + key }
	sha := "$" + strings.Repeat("a", 86)
	p := NewPool(DefaultMemory)
	for _, tc := range []struct{ name, hash string }{
		{"empty", ""},
		{"clear text without scheme", "wonderland"},
		{"unknown scheme", "{WHIRLPOOL}abc"},
		{"no digest", "{MD5}abc"},
		{"refused by name", "{DES-CRYPT}oeYOVIOLl4IYI"},
		{"refused by name with an encoding", "{CRAM-MD5.hex}721a2df79bd8bf7cff39c4914f8c49b8979ad5122813c64e75f91b8a6a09b88a"},
		{"DES without a name", "{CRYPT}oeYOVIOLl4IYI"},
		{"yescrypt", "{CRYPT}$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"},
		{"unknown encoding", "{PLAIN.b32}abc"},
		{"no base64", "{PLAIN.b64}d29uZGVybGFuZA"},
		{"no hex", "{PLAIN.hex}776f6e6465726c616e6"},
		{"nothing in base64", "{PLAIN.b64}"},
		{"digest cut short", "{SHA256}pxp8cBH1OhurNkLsLOElk/BSMKzo3h4+dkX2nvrBRA=="},
		{"salted digest without a salt", "{SSHA256}pxp8cBH1OhurNkLsLOElk/BSMKzo3h4+dkX2nvrBRD0="},
		{"digest with a salt that has no place", "{SHA256}kVPkS5Ttw+wK5y6iX+H2/1bs1X0F/8tLd7L3jpRaqXxB81wE"},
		{"md5-crypt with a long salt", "$1$saEJcYuf9$oCKPJaou16qAG./dseby7/"},
		{"md5-crypt with more behind", "$1$saEJcYuf$oCKPJaou16qAG./dseby7/$x"},
		{"md5-crypt behind bcrypt's name", "{BLF-CRYPT}$1$saEJcYuf$oCKPJaou16qAG./dseby7/"},
		{"pbkdf2 that takes minutes", "{PBKDF2}$1$jWnx77LANRT1nJiG$4294967295$d836e824f84edee6744dbddceced39276d871c9a"},
		{"pbkdf2 with no round", "{PBKDF2}$1$jWnx77LANRT1nJiG$0$d836e824f84edee6744dbddceced39276d871c9a"},
		{"pbkdf2 with a short key", "{PBKDF2}$1$jWnx77LANRT1nJiG$5000$d836e824f84edee6744dbddceced39276d871c"},
		{"pbkdf2 without a salt", "{PBKDF2}$1$$5000$d836e824f84edee6744dbddceced39276d871c9a"},
		{"scram that takes minutes", "{SCRAM-SHA-1}2147483647,Jrn4vr9kEsJvJrZiUdx5zw==,dUl8USohysw+PX+5hCMHDRv7b7M=,/c6Sy4svsIoPRJnbLYcyUEm0rwE="},
		{"scram with few iterations", "{SCRAM-SHA-1}4095,Jrn4vr9kEsJvJrZiUdx5zw==,dUl8USohysw+PX+5hCMHDRv7b7M=,/c6Sy4svsIoPRJnbLYcyUEm0rwE="},
		{"scram of another hash", "{SCRAM-SHA-256}4096,Jrn4vr9kEsJvJrZiUdx5zw==,dUl8USohysw+PX+5hCMHDRv7b7M=,/c6Sy4svsIoPRJnbLYcyUEm0rwE="},
		{"scram with three parts", "{SCRAM-SHA-1}4096,Jrn4vr9kEsJvJrZiUdx5zw==,dUl8USohysw+PX+5hCMHDRv7b7M="},
		{"no closing brace", "{PLAIN"},
		{"scheme is not the hash's", "{BLF-CRYPT}$6$abc" + sha},
		{"argon2 with 4 GiB", argon("m=4194304,t=1,p=1")},
		{"argon2 with 512 MiB, over the budget", argon("m=524288,t=1,p=1")},
		{"argon2 with no pass", argon("m=65536,t=0,p=1")},
		{"argon2 with no lane", argon("m=65536,t=1,p=0")},
		{"argon2 with 255 lanes", argon("m=65536,t=1,p=255")},
		{"argon2 that takes minutes", argon("m=65536,t=999,p=1")},
		{"argon2 with a negative number", argon("m=-1,t=1,p=1")},
		{"argon2 whose lanes overflow", argon("m=65536,t=1,p=536870912")},
		{"argon2 with a number of 70 bits", argon("m=1180591620717411303424,t=1,p=1")},
		{"argon2 parameters in another order", argon("t=1,m=65536,p=1")},
		{"argon2 of another version", "$argon2id$v=16$m=65536,t=3,p=1$" + salt + "$" + key},
		{"argon2 with a short key", "$argon2id$v=19$m=65536,t=3,p=1$" + salt + "$YQ"},
		{"bcrypt cost 31", "$2y$31$91ztEx.hTmwu0UO4Y8A/HuNiepN2LkvJCcKAxLSyuifbU58meUove"},
		{"bcrypt cost 3", "$2y$03$91ztEx.hTmwu0UO4Y8A/HuNiepN2LkvJCcKAxLSyuifbU58meUove"},
		{"bcrypt cut short", "$2y$05$91ztEx.hTmwu0UO4Y8A/HuNiepN2LkvJCcKAxLSyuifbU58meUov"},
		{"bcrypt 2x", "$2x$05$91ztEx.hTmwu0UO4Y8A/HuNiepN2LkvJCcKAxLSyuifbU58meUove"},
		{"sha512 with 999999999 rounds", "$6$rounds=999999999$abc" + sha},
		{"sha512 with 10 rounds", "$6$rounds=10$abc" + sha},
		{"sha512 with a long salt", "$6$" + strings.Repeat("s", 17) + sha},
		{"sha512 cut short", "$6$abc" + sha[:80]},
		{"longer than any hash", "{PLAIN}" + strings.Repeat("x", 600)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ok, err := p.Verify(t.Context(), secret.String(tc.hash), []byte("wonderland"))
			if ok || !errors.Is(err, ErrHash) {
				t.Errorf("Verify(%q) = %v, %v, want %v", tc.hash, ok, err, ErrHash)
			}
			if Check(secret.String(tc.hash), DefaultMemory) == nil {
				t.Errorf("Check(%q) = nil", tc.hash)
			}
			if len(tc.hash) > 12 && err != nil && strings.Contains(err.Error(), tc.hash[12:]) {
				t.Errorf("the error holds the hash: %v", err)
			}
		})
	}
	if n := p.Done(); n != 0 {
		t.Errorf("%d hashes were computed, want none", n)
	}
}

func TestOtherForms(t *testing.T) {
	p := NewPool(DefaultMemory)
	for _, h := range otherForms {
		for pw, want := range map[string]bool{"wonderland": true, "wonderlanD": false} {
			if got, err := p.Verify(t.Context(), secret.String(h), []byte(pw)); got != want || err != nil {
				t.Errorf("Verify(%q, %q) = %v, %v, want %v", h, pw, got, err, want)
			}
		}
	}
}

// TestDefaultScheme: a value without a scheme is read as default_pass_scheme
// says, and a hash never as the password itself.
func TestDefaultScheme(t *testing.T) {
	for _, tc := range []struct {
		def  Scheme
		hash string
		want bool
	}{
		{SHA256, "pxp8cBH1OhurNkLsLOElk/BSMKzo3h4+dkX2nvrBRD0=", true},
		{PlainMD5, "4cecaff2b30bbe75ce7322109164cfb5", true},
		{Plain, "wonderland", true},
		{SSHA256, "{PLAIN}wonderland", true},
		{Plain, fromDovecot[0][len("{BLF-CRYPT}"):], true},
		{MD5Crypt, fromDovecot[0][len("{BLF-CRYPT}"):], true},
	} {
		p := New(Options{Memory: DefaultMemory, Default: tc.def})
		if got, err := p.Verify(t.Context(), secret.String(tc.hash), []byte("wonderland")); got != tc.want || err != nil {
			t.Errorf("default %s: Verify(%q) = %v, %v, want %v", tc.def, tc.hash, got, err, tc.want)
		}
		if got, _ := p.Verify(t.Context(), secret.String(tc.hash), []byte(tc.hash)); got && tc.hash != "wonderland" {
			t.Errorf("default %s: %q is its own password", tc.def, tc.hash)
		}
	}
	p := New(Options{Memory: DefaultMemory, Default: SHA256})
	if _, err := p.Verify(t.Context(), secret.String("wonderland"), []byte("wonderland")); !errors.Is(err, ErrHash) {
		t.Errorf("Verify of clear text with the default SHA256 = %v", err)
	}
}

func TestParseScheme(t *testing.T) {
	for _, tc := range []struct {
		name string
		want Scheme
		ok   bool
	}{
		{"argon2id", Argon2id, true}, {"CLEARTEXT", Plain, true}, {"CRYPT", "CRYPT", true}, {"MD5", MD5Crypt, true},
		{"DES-CRYPT", "", false}, {"", "", false}, {"x", "", false},
	} {
		if got, err := ParseScheme(tc.name); got != tc.want || (err == nil) != tc.ok {
			t.Errorf("ParseScheme(%q) = %q, %v, want %q", tc.name, got, err, tc.want)
		}
	}
}

// TestRefusedSchemeIsNamed: who has one is told which, and what mends it.
func TestRefusedSchemeIsNamed(t *testing.T) {
	for name := range refused {
		err := Check(secret.String("{"+strings.ToLower(name)+"}planted"), DefaultMemory)
		if !errors.Is(err, ErrHash) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "set a new password") || strings.Contains(err.Error(), "planted") {
			t.Errorf("Check({%s}…) = %v", name, err)
		}
		if _, err := ParseScheme(name); err == nil {
			t.Errorf("ParseScheme(%s) = nil", name)
		}
	}
	for _, h := range []string{"{CRYPT}oeYOVIOLl4IYI", "{SHA512-CRYPT}oeYOVIOLl4IYI"} {
		if err := Check(secret.String(h), DefaultMemory); err == nil || !strings.Contains(err.Error(), "DES-CRYPT") {
			t.Errorf("Check(%s) = %v", h, err)
		}
	}
}

func TestNamed(t *testing.T) {
	for _, tc := range []struct {
		stored string
		def    Scheme
		want   string // empty: an error
	}{
		{fromDovecot[0], "", fromDovecot[0]},
		{"{NTLM}x", Plain, "{NTLM}x"},
		{strings.TrimPrefix(fromDovecot[0], "{BLF-CRYPT}"), Plain, fromDovecot[0]},
		{strings.TrimPrefix(fromDovecot[3], "{ARGON2ID}"), "", fromDovecot[3]},
		{"wonderland", Plain, "{PLAIN}wonderland"},
		{"wonderland", "", ""},
		{"$9$what", Plain, ""},
		{"", Plain, ""},
	} {
		got, err := Named(secret.String(tc.stored), tc.def)
		if string(got.Reveal()) != tc.want || (err != nil) != (tc.want == "") {
			t.Errorf("Named(%q, %q) = %q, %v, want %q", tc.stored, tc.def, got.Reveal(), err, tc.want)
		}
	}
}

func TestWeak(t *testing.T) {
	p := NewPool(DefaultMemory)
	strong := []Scheme{Argon2id, Argon2i, BLFCrypt, SHA512Crypt, SHA256Crypt, PBKDF2, SCRAMSHA256, SCRAMSHA1}
	for _, h := range fromDovecot {
		s, err := p.Scheme(secret.String(h))
		if why, weak := Weak(s); err != nil || weak == slices.Contains(strong, s) || weak != (why != "") {
			t.Errorf("Weak(%s) = %q, %v, %v", s, why, weak, err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	p := NewPool(DefaultMemory)
	for _, s := range schemes {
		h, err := Hash(s, []byte("wonderland"))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(s), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := p.Verify(b.Context(), h, []byte("wonderland")); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
