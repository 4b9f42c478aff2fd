package authd

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/shared"
)

// event is what one side of a capture sent in one read.
type event struct {
	dir   string // C or S
	lines []string
}

// capture reads a transcript of one connection.
func capture(t *testing.T, name string) (events []event) {
	t.Helper()
	return parseCapture(t, name, string(shared.Read(t, "protocols/transcripts/"+name+".txt")))
}

// parseCapture reads rows of a transcript.
func parseCapture(t *testing.T, name, rows string) (events []event) {
	t.Helper()
	for row := range strings.Lines(rows) {
		f := strings.SplitN(strings.TrimSuffix(row, "\n"), " ", 4)
		if len(f) != 4 || f[2] != "C" && f[2] != "S" {
			continue
		}
		text, err := strconv.Unquote(f[3])
		if err != nil {
			t.Fatalf("%s: %q: %v", name, row, err)
		}
		events = append(events, event{dir: f[2], lines: strings.Split(strings.TrimSuffix(text, "\n"), "\n")})
	}
	return events
}

// The captures have users without a domain, which are nobody's here: they are
// given one, in responses and in replies.
const domain = "@example.test"

func qualify(response string) string {
	msg, err := base64.StdEncoding.DecodeString(response)
	if err != nil {
		return response
	}
	s := string(msg)
	if s == "alice" {
		s += domain
	}
	s = strings.Replace(s, "\x00alice\x00", "\x00alice"+domain+"\x00", 1)
	return base64.StdEncoding.EncodeToString([]byte(s))
}

// replay sends the client's half of a capture of the client protocol and
// compares what we say with what Dovecot said, as far as it is about PLAIN and
// LOGIN. It returns how many replies were compared.
func (p *peer) replay(events []event) (compared int) {
	p.t.Helper()
	ours := map[string]bool{} // ids of PLAIN and LOGIN
	for _, e := range events {
		for _, l := range e.lines {
			f := strings.Split(l, "\t")
			switch {
			case e.dir == "C" && (f[0] == "VERSION" || f[0] == "CPID"):
				p.send(l)
			case e.dir == "C" && f[0] == "AUTH":
				mech := strings.ToUpper(f[2])
				if ours[f[1]] = mech == mechPlain || mech == mechLogin; !ours[f[1]] {
					continue
				}
				if last := len(f) - 1; strings.HasPrefix(f[last], "resp=") {
					f[last] = "resp=" + qualify(f[last][5:])
				}
				p.send(strings.Join(f, "\t"))
			case e.dir == "C" && f[0] == "CONT" && ours[f[1]]:
				p.send("CONT\t" + f[1] + "\t" + qualify(f[2]))
			case e.dir == "S" && len(f) > 1 && ours[f[1]] && f[0] != "CUID" && f[0] != "SPID":
				want := strings.ReplaceAll(l, "user=alice", "user=alice"+domain)
				if got := p.recv(); got != want {
					p.t.Errorf("we say %q, Dovecot %q", got, want)
				}
				compared++
			}
		}
	}
	return compared
}

func TestTranscripts(t *testing.T) {
	for _, tc := range []struct {
		name string
		kind Kind
		want int
	}{
		{"auth-postfix-sasl-all-mechs", Client, 15},
		{"auth-imap-plain", Login, 1},
		{"auth-imaps-plain-tls", Login, 1},
		{"auth-imap-fail", Login, 1},
		{"auth-imap-login-mech", Login, 3},
		{"auth-imap-bad-base64", Login, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			events := capture(t, tc.name)
			run(t, nil, func(t *testing.T, h *harness) {
				h.accounts.set("alice"+domain, "wonderland", nil)
				p := h.dial(tc.kind)
				p.handshake(h, events)
				if n := p.replay(events); n != tc.want {
					t.Errorf("%d replies were compared, want %d", n, tc.want)
				}
			})
		})
	}
}

// handshake compares our half of the handshake with Dovecot's.
func (p *peer) handshake(h *harness, events []event) {
	p.t.Helper()
	for _, e := range events {
		if e.dir != "S" || e.lines[0] != "VERSION\t1\t2" {
			continue
		}
		for _, want := range e.lines {
			switch f := strings.Split(want, "\t"); {
			case f[0] == "MECH" && f[1] != mechPlain && f[1] != mechLogin:
			case f[0] == "SPID":
				p.want(fmt.Sprintf("SPID\t%d", h.srv.spid))
			case f[0] == "CUID":
				p.want("CUID\t1")
			case f[0] == "COOKIE":
				got := p.recv()
				if b, err := hex.DecodeString(strings.TrimPrefix(got, "COOKIE\t")); err != nil || len(b) != 16 {
					p.t.Errorf("we say %q", got)
				}
				p.cookie = strings.TrimPrefix(got, "COOKIE\t")
			default:
				p.want(want)
			}
		}
		return
	}
	p.t.Fatal("the capture has no handshake")
}

// TestTranscriptOfOneLogin replays imap-login's connection and the imap process
// that took its login over.
func TestTranscriptOfOneLogin(t *testing.T) {
	login, master := capture(t, "auth-imap-plain"), capture(t, "auth-master-request-ok")
	run(t, nil, func(t *testing.T, h *harness) {
		h.accounts.set("alice"+domain, "wonderland", nil)
		p := h.dial(Login)
		p.handshake(h, login)
		p.replay(login)
		m := h.dial(Master)
		for _, e := range master {
			for _, l := range e.lines {
				switch {
				case e.dir == "C":
					m.send(strings.Replace(l, "19d148274eebabd7cd59bb2f8266f26d", p.cookie, 1))
				case strings.HasPrefix(l, "SPID\t"):
					m.want(fmt.Sprintf("SPID\t%d", h.srv.spid))
				case strings.HasPrefix(l, "USER\t"):
					m.sameUser(l)
				default:
					m.want(l)
				}
			}
		}
	})
}

// sameUser compares a USER reply: the homes have another layout here, and there
// is a mail field.
func (p *peer) sameUser(want string) {
	p.t.Helper()
	w, errW := parseMasterReply([]byte(want))
	g, errG := parseMasterReply([]byte(p.recv()))
	if !strings.Contains(w.user, "@") {
		w.user += domain
	}
	if errW != nil || errG != nil || g.verb != w.verb || g.id != w.id || g.user != w.user {
		p.t.Errorf("we say %+v (%v), Dovecot %+v (%v)", g, errG, w, errW)
	}
	have := map[string]string{}
	for _, x := range g.params {
		have[x.key] = x.value
	}
	for _, x := range w.params {
		if v, ok := have[x.key]; !ok || v != x.value && x.key != "home" {
			p.t.Errorf("we say %s=%s, Dovecot %s", x.key, v, x.value)
		}
	}
}

func TestTranscriptOfLMTP(t *testing.T) {
	events := capture(t, "auth-userdb-lmtp")
	run(t, nil, func(t *testing.T, h *harness) {
		h.accounts.set("alice"+domain, "x", nil)
		h.accounts.set("bob"+domain, "x", nil)
		p := h.dial(Userdb)
		p.want("VERSION\t1\t1")
		p.recv() // SPID
		for _, e := range events {
			for _, l := range e.lines {
				switch {
				case e.dir == "C":
					p.send(strings.Replace(l, "\talice\t", "\talice"+domain+"\t", 1))
				case strings.HasPrefix(l, "USER\t"):
					p.sameUser(l)
				case strings.HasPrefix(l, "NOTFOUND\t"):
					p.want(l)
				}
			}
		}
	})
}
