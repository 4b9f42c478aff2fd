package transfer

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatepost/gatepost/internal/access"
	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/secret"
)

func addr(t testing.TB, s string) (a mailaddr.Address) {
	t.Helper()
	if err := a.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return a
}

func addrs(t testing.TB, list ...string) (all []mailaddr.Address) {
	t.Helper()
	for _, s := range list {
		all = append(all, addr(t, s))
	}
	return all
}

// openSQLite opens a fresh SQLite store.
func openSQLite(t testing.TB) Store {
	t.Helper()
	s, err := account.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "accounts.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// noon is a time of the past: what has ended is moved too.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 123e6, time.UTC)

// fill puts a row of each kind into s, and rows that are odd.
func fill(t testing.TB, s Store) {
	t.Helper()
	ctx := t.Context()
	alice, bob := addr(t, "alice@example.org"), addr(t, "bob@example.org")
	var errs []error
	do := func(err error) { errs = append(errs, err) }
	do(s.AddDomain(ctx, "example.org"))
	do(s.AddDomain(ctx, "example.net"))
	do(s.AddUser(ctx, account.User{Addr: alice, Password: secret.String("{BLF-CRYPT}$2y$05$alice")}))
	do(s.AddUser(ctx, account.User{
		Addr: bob, Password: secret.String("$1$bare$bob"), Held: true, Disabled: true, Quota: 1 << 31, NoLogin: "left <us> & more",
		AllowNets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		Services:  []string{account.IMAP, account.Submission}, Expires: noon,
	}))
	do(s.AddUser(ctx, account.User{Addr: mailaddr.Address{LocalPart: "o d d", Domain: "example.net"}}))
	do(s.AddUser(ctx, account.User{Addr: addr(t, "bücher@example.net"), Password: secret.String("{PLAIN}pässwort")}))
	do(s.AddAlias(ctx, account.Alias{Addr: addr(t, "info@example.org"), To: addrs(t, "Zoe@Elsewhere.example", "alice@example.org")}))
	do(s.AddAlias(ctx, account.Alias{Addr: addr(t, "alice@example.org"), To: addrs(t, "alice@example.org", "bob@example.org")}))
	do(s.AddAlias(ctx, account.Alias{Addr: addr(t, "@example.net"), To: addrs(t, "@example.org")}))
	do(s.AddGrant(ctx, alice, addr(t, "boss@example.org")))
	do(s.AddGrant(ctx, alice, addr(t, "@example.net")))
	do(s.SetPosting(ctx, account.Posting{Addr: addr(t, "info@example.org"), Rule: account.PostModerators, Moderators: addrs(t, "bob@example.org"), Reason: "a list"}))
	do(s.SetPosting(ctx, account.Posting{Addr: addr(t, "alice+shop@example.org"), Rule: account.PostNobody}))
	do(s.PutAccess(ctx, access.Entry{Deny: true, Name: "spam.example", Reason: "noise", Added: noon}))
	do(s.PutAccess(ctx, access.Entry{Name: "192.0.2.7", For: "@example.org", Added: noon.Add(-time.Hour), Until: noon}))
	do(s.PutAppPassword(ctx, account.AppPassword{
		User: alice, Name: "phone", Hash: secret.String("{SHA256}phone"), Services: []string{account.IMAP},
		Created: noon.Add(-time.Hour), Expires: noon.Add(time.Hour), LastUsed: noon, LastAddr: netip.MustParseAddr("2001:db8::7"),
	}))
	do(s.PutAppPassword(ctx, account.AppPassword{User: alice, Name: "laptop", Hash: secret.String("{SHA256}laptop"), Created: noon}))
	do(s.AddToGroup(ctx, account.Group{Name: "staff", Users: []mailaddr.Address{alice, bob}}))
	do(s.SetRate(ctx, account.LimitRate{Subject: account.Subject{User: alice}, Limit: "sent", Rate: "10/h"}))
	do(s.SetRate(ctx, account.LimitRate{Subject: account.Subject{Group: "staff"}, Limit: "sent", Rate: "20/h"}))
	do(s.SetRate(ctx, account.LimitRate{Subject: account.Subject{Domain: "example.org"}, Limit: "sent", Rate: "30/h"}))
	do(s.PutOwnKey(ctx, account.OwnKey{Name: "scram", Value: secret.New(bytes.Repeat([]byte{0xff, 0, '"'}, 11)[:32])}))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// counts are the rows that fill makes.
const counts = 2 + 4 + 3 + 2 + 2 + 2 + 2 + 2 + 3 + 1

func export(t testing.TB, s Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := Export(t.Context(), s, &b, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestMove(t *testing.T) {
	from, to := openSQLite(t), openSQLite(t)
	fill(t, from)
	testMove(t, from, to)
}

// testMove moves from, which fill has filled, to the empty store to.
func testMove(t *testing.T, from, to Store) {
	t.Helper()
	file := export(t, from)
	for _, tc := range []struct {
		name        string
		o           Options
		added, same int
		verified    bool
	}{
		{"dry run", Options{DryRun: true}, counts, 0, false},
		{"move", Options{}, counts, 0, true},
		{"again", Options{}, 0, counts, true},
		{"replace", Options{Replace: true}, 0, counts, true},
	} {
		steps := 0
		tc.o.Progress = func(done, total int) {
			steps++
			if done != steps || total != counts {
				t.Errorf("%s: progress %d of %d, want %d of %d", tc.name, done, total, steps, counts)
			}
		}
		rep, err := Import(t.Context(), to, bytes.NewReader(file), tc.o)
		if err != nil || rep.Added != tc.added || rep.Same != tc.same || rep.Refused != 0 || rep.More != 0 || rep.Verified != tc.verified || rep.Rows() != counts {
			t.Errorf("%s: %+v, %v", tc.name, rep, err)
		}
	}
	if again := export(t, to); !bytes.Equal(again, file) {
		t.Errorf("the other store makes another file:\n%s\nwant\n%s", again, file)
	}
}

func TestMoveTellsWhatDiffers(t *testing.T) {
	from := openSQLite(t)
	fill(t, from)
	testReplace(t, export(t, from), openSQLite(t))
}

// testReplace imports file into to, which differs from it.
func testReplace(t *testing.T, file []byte, to Store) {
	t.Helper()
	fill(t, to)
	ctx := t.Context()
	alice := addr(t, "alice@example.org")
	if err := errors.Join(
		to.SetPassword(ctx, alice, secret.String("{PLAIN}planted-secret")), to.SetHeld(ctx, alice, true),
		to.RemoveAlias(ctx, addr(t, "info@example.org"), addr(t, "zoe@elsewhere.example")),
		to.AddAlias(ctx, account.Alias{Addr: addr(t, "info@example.org"), To: addrs(t, "bob@example.org")}),
		to.SetRate(ctx, account.LimitRate{Subject: account.Subject{User: alice}, Limit: "sent", Rate: "99/h"}),
		to.RemoveAppPassword(ctx, alice, "phone"),
		to.PutAppPassword(ctx, account.AppPassword{User: alice, Name: "phone", Hash: secret.String("{SHA256}planted-secret"), Created: noon}),
		to.PutOwnKey(ctx, account.OwnKey{Name: "scram", Value: secret.New(make([]byte, 32))}),
		to.RemoveAccess(ctx, true, "spam.example", ""),
		to.AddUser(ctx, account.User{Addr: addr(t, "carol@example.org")}),
		to.RemoveGrant(ctx, alice, addr(t, "boss@example.org")),
		to.SetPosting(ctx, account.Posting{Addr: addr(t, "info@example.org"), Rule: account.PostPublic}),
	); err != nil {
		t.Fatal(err)
	}
	rep, err := Import(ctx, to, bytes.NewReader(file), Options{})
	if err != nil || rep.Added != 2 || rep.Refused != 6 || rep.Verified || rep.More != 7 {
		t.Errorf("without replace: %+v, %v", rep, err)
	}
	var told []string
	for _, tr := range rep.Troubles {
		told = append(told, tr.Row+" "+tr.Why)
	}
	want := []string{
		"user alice@example.org is there, and differs in [held password]",
		"alias info@example.org is there, and differs in [to]",
		"posting info@example.org is there, and differs in [moderators reason rule]",
		`app_password "phone" of alice@example.org is there, and differs in [created expires hash services]`,
		"rate sent of alice@example.org is there, and differs in [rate]",
		"key scram is there, and differs in [value]",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
	rep, err = Import(ctx, to, bytes.NewReader(file), Options{Replace: true})
	if err != nil || rep.Replaced != 6 || rep.Refused != 0 || !rep.Verified || rep.More != 1 {
		t.Errorf("with replace: %+v, %v", rep, err)
	}
}

// cut is a store that ends a context at its n-th change.
type cut struct {
	Store
	n    int
	stop context.CancelFunc
}

func (c *cut) tick() {
	if c.n--; c.n == 0 {
		c.stop()
	}
}

func (c *cut) AddUser(ctx context.Context, u account.User) error {
	c.tick()
	return c.Store.AddUser(ctx, u)
}

func (c *cut) AddAlias(ctx context.Context, a account.Alias) error {
	c.tick()
	return c.Store.AddAlias(ctx, a)
}

func (c *cut) PutAppPassword(ctx context.Context, p account.AppPassword) error {
	c.tick()
	return c.Store.PutAppPassword(ctx, p)
}

func TestMoveIsResumed(t *testing.T) {
	from := openSQLite(t)
	fill(t, from)
	testResume(t, export(t, from), openSQLite(t))
}

// testResume cuts an import of file into to after each few rows.
func testResume(t *testing.T, file []byte, to Store) {
	t.Helper()
	cuts := 0
	for {
		ctx, stop := context.WithCancel(t.Context())
		rep, err := Import(ctx, &cut{to, 2, stop}, bytes.NewReader(file), Options{})
		stop()
		if err == nil {
			if !rep.Verified || rep.Refused != 0 || rep.More != 0 {
				t.Errorf("the last run: %+v", rep)
			}
			break
		}
		if cuts++; !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "line ") || cuts > counts {
			t.Fatalf("run %d: %v", cuts, err)
		}
	}
	if cuts == 0 {
		t.Error("no run was cut")
	}
	if again := export(t, to); !bytes.Equal(again, file) {
		t.Errorf("after %d cuts the store makes another file:\n%s", cuts, again)
	}
}

func TestDamagedFileChangesNothing(t *testing.T) {
	from, to := openSQLite(t), openSQLite(t)
	fill(t, from)
	file := export(t, from)
	lines := bytes.SplitAfter(file, []byte("\n"))
	lines = lines[:len(lines)-1]
	join := func(parts ...[][]byte) []byte { return bytes.Join(slices.Concat(parts...), nil) }
	with := func(old, s string) []byte { return bytes.Replace(file, []byte(old), []byte(s), 1) }
	for _, tc := range []struct {
		name string
		file []byte
		want string // how the error begins
	}{
		{"empty", nil, "line 1: "},
		{"cut in a line", file[:len(file)-10], "line 25: "},
		{"last line missing", join(lines[:len(lines)-1]), "line 25: "},
		{"no end of the last line", file[:len(file)-1], "line 25: "},
		{"no header", file[len(lines[0]):], "line 1: "},
		{"header twice", join(lines[:1], lines), "line 2: "},
		{"newer version", with(`"version":1`, `"version":2`), "line 1: the file has version 2"},
		{"another format", with(Format, "something"), "line 1: "},
		{"a row twice", join(lines[:3], lines[2:]), "line 4: "},
		{"an entry twice", join(lines[:15], lines[14:15], lines[15:]), "line 16: "},
		{"rows in another order", join(lines[:1], lines[3:4], lines[1:3], lines[4:]), "line 3: "},
		{"a bit", with("alice@example.org", "alicf@example.org"), "line 25: "},
		{"a row missing", join(lines[:5], lines[6:]), "line 24: "},
		{"another field", with(`"name":"example.net"`, `"name":"example.net","x":1`), "line 2: "},
		{"a space", with(`"name":"example.net"`, `"name": "example.net"`), "line 2: "},
		{"unknown kind", with(`"kind":"domain"`, `"kind":"domains"`), "line 2: "},
		{"no JSON", with(`{"kind":"domain"`, `{{"kind":"domain"`), "line 2: "},
		{"a line too long", with(`"name":"example.net"`, `"name":"`+strings.Repeat("x", MaxLineBytes)+`"`), "line 2: "},
		{"more behind the end", append(bytes.Clone(file), "\n"...), "line 25: "},
		{"CR LF", bytes.ReplaceAll(file, []byte("\n"), []byte("\r\n")), "line 1: "},
	} {
		rep, err := Import(t.Context(), to, bytes.NewReader(tc.file), Options{Replace: true})
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) || tc.name != "newer version" && !errors.Is(err, ErrFormat) || rep.Added != 0 {
			t.Errorf("%s: %+v, %v, want %q…", tc.name, rep, err, tc.want)
		}
		if all, err := to.Domains(t.Context()); err != nil || len(all) != 0 {
			t.Fatalf("%s: the store has %v, %v", tc.name, all, err)
		}
	}
}

func TestTextThatIsNotUTF8(t *testing.T) {
	if _, err := appendLine(nil, &rateRow{Kind: Rate, Limit: "a\xffb", Rate: "1/h"}); err == nil {
		t.Error("a text that is not UTF-8 is written as another one")
	}
	for _, s := range []string{"\xff\xfe", "�", `\ufffd`, `\\ufffd`, ""} {
		row := &userRow{Kind: User, Addr: addr(t, "a@example.org"), Password: plain{secret.String(s)}, NoLogin: strings.ToValidUTF8(s, "")}
		line, err := appendLine(nil, row)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		v, err := parseLine(bytes.TrimSuffix(line, []byte("\n")))
		if again, ok := v.(*userRow); !ok || err != nil || string(again.Password.Reveal()) != s || again.NoLogin != row.NoLogin {
			t.Errorf("%q comes back as %+v, %v", s, v, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, name := range []string{"all.jsonl"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		for line := range bytes.Lines(b) {
			f.Add(line)
		}
	}
	f.Add([]byte("{\"kind\":\"header\",\"format\":\"gatepost-accounts\",\"version\":1}\n{\"kind\":\"end\"}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newReader(bytes.NewReader(b))
		var out bytes.Buffer
		w, err := newWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		for {
			row, err := r.next()
			if err != nil {
				if r.end == nil {
					return // refused is fine, a panic is not
				}
				break
			}
			if err := w.row(row); err != nil {
				t.Fatalf("write %+v: %v", row, err)
			}
		}
		if _, err := w.end(); err != nil || !bytes.Equal(out.Bytes(), b) {
			t.Errorf("a file that is read is written as another one, %v:\n%s\n%s", err, b, out.Bytes())
		}
	})
}

func FuzzParseLine(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "all.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		f.Add(bytes.TrimSuffix(line, []byte("\n")))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		v, err := parseLine(line)
		if err != nil {
			return
		}
		again, err := appendLine(nil, v)
		if err != nil || string(again) != string(line)+"\n" {
			t.Errorf("%s is written as %s, %v", line, again, err)
		}
		if r, ok := v.(row); ok {
			_ = label(r)
			if _, err := appendLine(nil, r.core()); err != nil {
				t.Errorf("core of %s: %v", line, err)
			}
		}
	})
}

var update = flag.Bool("update", false, "rewrite the golden files")

func TestGolden(t *testing.T) {
	s := openSQLite(t)
	fill(t, s)
	name := filepath.Join("testdata", "all.jsonl")
	got := export(t, s)
	if *update {
		if err := os.WriteFile(name, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
}

// refuses is a store that takes no password.
type refuses struct{ Store }

func (refuses) SetPassword(context.Context, mailaddr.Address, secret.Value) error {
	return account.ErrInvalid
}

// A user who is held because of a stolen password is not freed with it.
func TestReplaceFreesWithTheNewPasswordOnly(t *testing.T) {
	s := openSQLite(t)
	fill(t, s)
	file := export(t, s)
	ctx, alice := t.Context(), addr(t, "alice@example.org")
	if err := errors.Join(s.SetPassword(ctx, alice, secret.String("{PLAIN}stolen")), s.SetHeld(ctx, alice, true), s.SetDisabled(ctx, alice, true),
		s.SetNoLogin(ctx, alice, "stolen"), s.SetExpires(ctx, alice, noon), s.SetServices(ctx, alice, []string{account.IMAP}),
		s.SetAllowNets(ctx, alice, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})); err != nil {
		t.Fatal(err)
	}
	rep, err := Import(ctx, refuses{s}, bytes.NewReader(file), Options{Replace: true})
	if err != nil || rep.Refused != 1 || rep.Verified {
		t.Errorf("Import() = %+v, %v", rep, err)
	}
	if u, err := s.User(ctx, alice); err != nil || !u.Held || !u.Disabled || u.NoLogin == "" || u.Expires.IsZero() || len(u.Services)+len(u.AllowNets) != 2 {
		t.Errorf("User() = %+v, %v, want as before", u, err)
	}
	if rep, err := Import(ctx, s, bytes.NewReader(file), Options{Replace: true}); err != nil || !rep.Verified {
		t.Errorf("Import() again = %+v, %v", rep, err)
	}
}
