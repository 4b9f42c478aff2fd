package authd

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/shared"
)

// TestTranscriptOfSCRAM replays Postfix's two exchanges, one right and one
// wrong. A proof depends on the server's nonce, so that ours is made by a client
// with the nonce of the capture's; what stands around it is the capture's.
func TestTranscriptOfSCRAM(t *testing.T) {
	const nonce = "fyko+d2lbbFgONRv9qkxdawL" // of both
	events := capture(t, "auth-postfix-sasl-all-mechs")
	for _, tc := range []struct {
		id, mech, password string
		hash               scram.HashGeneratorFcn
		want               int // replies
	}{
		{"11", mechScram256, "wonderland", scram.SHA256, 3},
		{"12", mechScram1, "wrong", scram.SHA1, 2},
	} {
		run(t, withScram, func(t *testing.T, h *harness) {
			h.accounts.set("alice"+domain, "", hashed(t, password.Scheme(tc.mech), "wonderland"))
			p := h.hello(Client, "0", "27697")
			client, err := tc.hash.NewClientUnprepped("alice"+domain, tc.password, "")
			if err != nil {
				t.Fatal(err)
			}
			conv := client.WithNonceGenerator(func() string { return nonce }).NewConversation()
			step := func(challenge string) string {
				reply, err := conv.Step(challenge)
				if err != nil {
					t.Fatal(err)
				}
				return reply
			}
			said, replies := "", 0
			for _, e := range events {
				for _, l := range e.lines {
					f := strings.Split(l, "\t")
					if len(f) < 2 || f[1] != tc.id || f[0] == "CUID" {
						continue
					}
					switch {
					case e.dir == "C" && f[0] == "AUTH":
						last := len(f) - 1
						first := step("")
						if theirs, err := base64.StdEncoding.DecodeString(f[last][5:]); err != nil || strings.Replace(string(theirs), "alice", "alice"+domain, 1) != first {
							t.Errorf("the client says %q, the capture's %q", first, theirs)
						}
						f[last] = "resp=" + b64(first)
						p.send(strings.Join(f, "\t"))
					case e.dir == "C" && f[2] == "":
						p.send(l)
					case e.dir == "C":
						p.send("CONT\t" + tc.id + "\t" + b64(step(said)))
					default:
						said = p.sameReply(l)
						replies++
						if strings.HasPrefix(said, "v=") {
							step(said)
						}
					}
				}
			}
			if replies != tc.want || conv.Valid() != (tc.password == "wonderland") {
				t.Errorf("%s: %d replies, want %d; the client knows the server: %v", tc.mech, replies, tc.want, conv.Valid())
			}
		})
	}
}

// sameReply compares our next reply with Dovecot's: a CONT by the names of its
// fields, which it returns decoded, another by its bytes.
func (p *peer) sameReply(want string) string {
	p.t.Helper()
	got := p.recv()
	g, errG := parseClientReply([]byte(got))
	w, errW := parseClientReply([]byte(want))
	if errG != nil || errW != nil || g.verb != w.verb || g.id != w.id {
		p.t.Fatalf("we say %q (%v), Dovecot %q (%v)", got, errG, want, errW)
	}
	if g.verb != verbCont {
		if want = strings.ReplaceAll(want, "user=alice", "user=alice"+domain); got != want {
			p.t.Errorf("we say %q, Dovecot %q", got, want)
		}
		return ""
	}
	ours, errG := base64.StdEncoding.DecodeString(g.data)
	theirs, errW := base64.StdEncoding.DecodeString(w.data)
	names := func(msg []byte) (all string) {
		for f := range strings.SplitSeq(string(msg), ",") {
			name, _, _ := strings.Cut(f, "=")
			all += name + "="
		}
		return all
	}
	if errG != nil || errW != nil || names(ours) != names(theirs) {
		p.t.Errorf("we say %q, Dovecot %q", ours, theirs)
	}
	return string(ours)
}

// TestTranscriptsOfOtherMechanisms: what is not offered closes the connection, as
// with Dovecot where it was not.
func TestTranscriptsOfOtherMechanisms(t *testing.T) {
	for name, mech := range map[string]string{"auth-imap-anonymous": "ANONYMOUS", "auth-imap-cram-cancel": "CRAM-MD5", "auth-postfix-oauth-external": "XOAUTH2 OAUTHBEARER EXTERNAL"} {
		var lines []string
		for _, e := range capture(t, name) {
			for _, l := range e.lines {
				if e.dir == "C" && strings.HasPrefix(l, "AUTH\t") {
					lines = append(lines, l)
				}
			}
		}
		for _, l := range lines {
			run(t, withScram, func(t *testing.T, h *harness) {
				if f := strings.Split(l, "\t"); !strings.Contains(mech, f[2]) {
					t.Errorf("%s has %s", name, f[2])
				}
				p := h.hello(Client, "0", "1")
				p.send(l)
				p.closed()
			})
		}
	}
}

// TestTranscriptOfARemovedUser: a login that nobody has any more when its mail
// process asks is NOTFOUND, as in the capture of an anonymous one.
func TestTranscriptOfARemovedUser(t *testing.T) {
	events := capture(t, "auth-master-request-notfound")
	run(t, nil, func(t *testing.T, h *harness) {
		h.cred.PID = 22812
		p := h.hello(Login, "2", "22808")
		p.send(imap("1", alice, "wonderland"))
		p.want("OK\t1\tuser=" + alice)
		delete(h.accounts.users, mustName(alice))
		m := h.dial(Master)
		m.want("VERSION\t1\t1", fmt.Sprintf("SPID\t%d", h.srv.spid))
		for _, e := range events {
			for _, l := range e.lines {
				if e.dir == "C" {
					m.send(strings.Replace(l, "c34ca0b019887d97c3ece5dee6143746", p.cookie, 1))
				} else if strings.HasPrefix(l, "NOTFOUND") {
					m.want(l)
				}
			}
		}
	})
}

// TestTranscriptOfAForeignServer replays Dovecot's clients against another
// server: what they understood there, we say with the same words.
func TestTranscriptOfAForeignServer(t *testing.T) {
	rules := map[string]func(h *harness, u *account.User){ // by the password that was typed
		"pw":          nil,
		"nologin":     func(_ *harness, u *account.User) { u.NoLogin = "Account disabled" },
		"temp":        func(h *harness, _ *account.User) { h.hasher.err = errAway },
		"tempold":     func(h *harness, _ *account.User) { h.hasher.err = errAway },
		"disabled":    func(_ *harness, u *account.User) { u.Disabled = true },
		"disabledold": func(_ *harness, u *account.User) { u.Disabled = true },
		"expired":     func(_ *harness, u *account.User) { u.Expires = time.Unix(1, 0) },
	}
	seen := map[string]bool{}
	perConnection(t, "auth-foreign-server-full", func(c, s []string) {
		if len(c) < 3 || !strings.HasPrefix(c[2], "AUTH\t") {
			return
		}
		theirs, err := parseClientReply([]byte(s[len(s)-1]))
		resp, err2 := base64.StdEncoding.DecodeString(c[2][strings.LastIndex(c[2], "resp=")+5:])
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		pw := strings.TrimPrefix(string(resp), "\x00zed\x00")
		edit, ok := rules[pw]
		if !ok {
			return // authz_fail, an odd reason, noise: we have no such answer
		}
		seen[pw] = true
		run(t, nil, func(t *testing.T, h *harness) {
			h.accounts.set("zed"+domain, pw, func(u *account.User) {
				if edit != nil {
					edit(h, u)
				}
			})
			p := h.dial(Login)
			for p.recv() != "DONE" {
			}
			p.send(c[0], c[1], strings.Replace(c[2], c[2][strings.LastIndex(c[2], "resp="):], "resp="+b64("\x00zed"+domain+"\x00"+pw), 1))
			ours, err := parseClientReply([]byte(p.recv()))
			if err != nil {
				t.Fatal(err)
			}
			// The disabled account is told of in a friendlier way.
			if strings.HasPrefix(pw, "disabled") {
				if ours.verb != verbOK || !has(ours, param{key: "nologin", flag: true}) {
					t.Errorf("%s: %+v", pw, ours)
				}
				return
			}
			if ours.verb != theirs.verb {
				t.Errorf("%s: we say %s, they %s", pw, ours.verb, theirs.verb)
			}
			for _, x := range theirs.params {
				if x.key == "reason" && pw == "temp" {
					continue // its text is for its log
				}
				if x.key == "user" {
					x.value += domain
				}
				if !has(ours, x) {
					t.Errorf("%s: we say %+v, they %+v", pw, ours, x)
				}
			}
		})
	})
	if len(seen) != len(rules) {
		t.Errorf("only %v were replayed", seen)
	}
}

func has(r clientReply, want param) bool {
	for _, p := range r.params {
		if p == want {
			return true
		}
	}
	return false
}

// perConnection calls f with the lines of each connection of a capture.
func perConnection(t *testing.T, name string, f func(c, s []string)) {
	t.Helper()
	lines := map[string]map[string][]string{}
	var order []string
	for row := range strings.Lines(string(shared.Read(t, "protocols/transcripts/"+name+".txt"))) {
		x := strings.SplitN(row, " ", 4)
		if len(x) != 4 || x[2] != "C" && x[2] != "S" {
			continue
		}
		if lines[x[1]] == nil {
			lines[x[1]] = map[string][]string{}
			order = append(order, x[1])
		}
		for _, e := range parseCapture(t, name, row) {
			lines[x[1]][e.dir] = append(lines[x[1]][e.dir], e.lines...)
		}
	}
	for _, id := range order {
		f(lines[id]["C"], lines[id]["S"])
	}
}

// TestTranscriptOfMailProcesses replays lmtp's and doveadm's connections to a
// foreign userdb.
func TestTranscriptOfMailProcesses(t *testing.T) {
	compared := 0
	perConnection(t, "auth-foreign-server-full", func(c, s []string) {
		if strings.HasPrefix(c[1], "CPID") || strings.HasPrefix(c[1], "REQUEST") {
			return
		}
		run(t, nil, func(t *testing.T, h *harness) {
			clear(h.accounts.users)
			h.accounts.set("zed"+domain, "x", nil)
			p := h.dial(Userdb)
			p.want("VERSION\t1\t1")
			p.recv() // SPID
			p.send(c[0])
			for i, l := range c[1:] {
				h.accounts.fail(nil)
				if strings.Contains(l, "tmpx@") {
					h.accounts.fail(errAway)
				}
				p.send(strings.Replace(l, "\tzed\t", "\tzed"+domain+"\t", 1))
				switch want := s[2+i]; {
				case strings.HasPrefix(want, "USER\t"):
					p.sameUser(want)
				case strings.HasPrefix(want, "FAIL\t"):
					p.want("FAIL\t3\treason=temporary fault")
				case strings.HasPrefix(want, "LIST\t"):
					p.want("LIST\t1\tzed"+domain, "DONE\t1\t")
				default:
					p.want(want)
				}
				compared++
			}
		})
	})
	if compared != 5 {
		t.Errorf("%d replies were compared, want 5", compared)
	}
}

// TestTranscriptOfLongResponses replays what Postfix sends of responses of 1,500
// to 9,000 bytes, some of them cut by it: each is answered, and the connection
// stays.
func TestTranscriptOfLongResponses(t *testing.T) {
	answered := 0
	run(t, nil, func(t *testing.T, h *harness) {
		p := h.hello(Client, "0", "30226")
		perConnection(t, "auth-postfix-vs-foreign-server", func(c, _ []string) {
			for _, l := range c {
				f := strings.Split(l, "\t")
				if f[0] != "AUTH" && f[0] != "CONT" {
					continue
				}
				p.send(l)
				got := strings.Split(p.recv(), "\t")
				if got[1] != f[1] || got[0] != "FAIL" && (f[0] != "AUTH" || strings.Contains(l, "resp=") || got[0] != "CONT") {
					t.Fatalf("%.60q is answered by %q", l, got)
				}
				answered++
			}
		})
	})
	if answered < 30 {
		t.Errorf("%d lines were answered", answered)
	}
}
