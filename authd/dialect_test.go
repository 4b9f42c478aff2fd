package authd

import (
	"fmt"
	"strings"
	"testing"
)

// dialect is how one version of a client speaks.
type dialect struct {
	name  string
	kind  Kind
	hello []string
	// waits says that it sends nothing but VERSION before ours has come.
	waits bool
	// params are those of AUTH, without resp=.
	params string
	// flags are what it takes FAIL's reasons from: Dovecot 2.2 from flags, those
	// after it from code=.
	flags string
	// master is its version on master and userdb sockets.
	master string
}

// dialects are the clients that exist, as far as they differ. Postfix 3.7.11 and
// Dovecot 2.3.19.1 are also run (internal/e2e) and replayed (transcripts).
var dialects = []dialect{
	{"Postfix 3.5 to 3.12", Client, []string{"VERSION\t1\t0\nCPID\t27697"}, false, "service=smtp\tnologin\tlip=192.0.2.1\trip=203.0.113.9\tsecured", "", ""},
	{"Postfix 3.5 to 3.12 without addresses", Client, []string{"VERSION\t1\t0\nCPID\t27697"}, false, "service=smtp\tnologin\tlip=\trip=", "", ""},
	{"Postfix with another smtpd_sasl_service", Client, []string{"VERSION\t1\t0\nCPID\t27697"}, false, "service=submission\tnologin\tlip=192.0.2.1\trip=203.0.113.9", "", ""},
	{"Dovecot 2.2", Login, []string{"VERSION\t1\t1", "CPID\t19551"}, false, "service=imap\tsecured\tsession=K2KMd69g\tlip=192.0.2.1\trip=203.0.113.9\tlport=143\trport=55836", "temp", "1"},
	{"Dovecot 2.2 with SNI and a client certificate", Login, []string{"VERSION\t1\t1", "CPID\t19551"}, false, "service=imap\tsecured\tvalid-client-cert\tcert_username=x\tsession=K2KMd69g\tlip=192.0.2.1\trip=203.0.113.9\tlport=143\trport=55836\tlocal_name=mail.example.org\tdebug", "temp", "1"},
	{"Dovecot 2.3.0 to 2.3.9", Login, []string{"VERSION\t1\t2", "CPID\t19551"}, false, "service=imap\tsecured\tsession=K2KMd69g\tlip=192.0.2.1\trip=203.0.113.9\tlport=143\trport=55836\tclient_id=name=a\x01tb", "code=temp_fail", "1"},
	{"Dovecot 2.3.10 to 2.3.21", Login, []string{"VERSION\t1\t2\nCPID\t19551"}, false, "service=imap\tsecured=tls\tsession=K2KMd69g\tlip=192.0.2.1\trip=203.0.113.9\tlport=143\trport=55836\tlocal_name=mail.example.org\tforward_fields=a=b\x01\x011tc=d", "code=temp_fail", "1"},
	{"Dovecot 2.3 behind a proxy", Login, []string{"VERSION\t1\t2\nCPID\t19551"}, false, "service=imap\tsecured\tsession=K2KMd69g\tlip=192.0.2.1\trip=203.0.113.9\tlport=143\trport=55836\treal_rip=10.0.0.7\treal_lip=10.0.0.8\treal_rport=7\treal_lport=143", "code=temp_fail", "1"},
	{"Dovecot 2.4.0 to 2.4.3", Login, []string{"VERSION\t1\t3", "CPID\t19551"}, true, "protocol=imap\tfinal-resp-ok\tsecured=tls\tsession=K2KMd69g\tssl_ja3_hash=e7d7\tssl_client_cert_fp=aa\tssl_client_cert_pubkey_fp=bb\tlip=192.0.2.1\trip=203.0.113.9\tlport=993\trport=55836", "code=temp_fail", "3"},
	{"Dovecot 2.4.4", Login, []string{"VERSION\t1\t4", "CPID\t19551"}, true, "protocol=imap\tfinal-resp-ok\tsecured=tls\tsession=K2KMd69g\tlip=192.0.2.1\trip=203.0.113.9\tlport=993\trport=55836", "code=temp_fail", "4"},
	{"a Dovecot that says both", Login, []string{"VERSION\t1\t4", "CPID\t19551"}, true, "protocol=imap\tservice=imap\trip=203.0.113.9", "code=temp_fail", "4"},
}

// greet does the client's half of the handshake, and reads ours as strictly as
// Dovecot's own client.
func (d dialect) greet(h *harness) *peer {
	h.t.Helper()
	p := h.dial(d.kind)
	hello := d.hello
	if d.waits {
		p.send(hello[0])
		hello = hello[1:]
	} else {
		p.send(hello...)
	}
	seen := lines{}
	for !seen.done() {
		line := p.recv()
		f := strings.Split(line, "\t")
		seen[f[0]]++
		switch f[0] {
		case "VERSION":
			if line != "VERSION\t1\t2" || len(seen) != 1 {
				h.t.Errorf("%q is no first line for it", line)
			}
		case "MECH":
			if strings.Contains(f[1], "PLUS") || len(f) < 3 {
				h.t.Errorf("offered: %q", line)
			}
		case "COOKIE":
			p.cookie = f[1]
		case "SPID", "CUID", "DONE":
		default:
			h.t.Errorf("%q is unknown to it, and closes the connection", line)
		}
	}
	if seen["COOKIE"] != 1 || seen["SPID"] != 1 || seen["CUID"] != 1 || seen["MECH"] != 4 {
		h.t.Errorf("the handshake has %v", seen)
	}
	if d.waits {
		p.send(hello...)
	}
	return p
}

// lines counts the lines of a handshake by their first word.
type lines map[string]int

func (l lines) done() bool { return l["DONE"] > 0 }

func (d dialect) auth(id, mech, resp string) string {
	line := "AUTH\t" + id + "\t" + mech + "\t" + d.params
	if resp != "" {
		line += "\tresp=" + b64(resp)
	}
	return line
}

// TestDialects: each version logs in by each mechanism, is refused, is told of a
// fault of ours as it understands it, and takes its login over.
func TestDialects(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			run(t, func(c *Config) { withScram(c); c.TrustedProxies = prefixes("10.0.0.7/32") }, func(t *testing.T, h *harness) {
				p := d.greet(h)
				right := "\x00" + alice + "\x00wonderland"
				p.send(d.auth("1", "PLAIN", right))
				p.want("OK\t1\tuser=" + alice)
				p.send(d.auth("2", "plain", ""))
				p.want("CONT\t2\t")
				p.send("CONT\t2\t" + b64(right))
				p.want("OK\t2\tuser=" + alice)
				p.send(d.auth("3", "LOGIN", alice))
				p.want("CONT\t3\t" + promptPassword)
				p.send("CONT\t3\t" + b64("wonderland"))
				p.want("OK\t3\tuser=" + alice)
				d.scram(p, "4")
				p.send(d.auth("5", "PLAIN", right+"x"), d.auth("6", "PLAIN", right))
				p.want("OK\t6\tuser="+alice, "FAIL\t5\tuser="+alice) // overtaken
				// Cancelled, and nothing said of it: we are 1.2.
				p.send(d.auth("7", "LOGIN", ""), "CANCEL\t7", d.auth("8", "PLAIN", right))
				p.want("CONT\t7\t"+promptUser, "OK\t8\tuser="+alice)
				if d.kind == Login {
					d.takeOver(h, p)
				}
				d.fault(h, p)
				for _, r := range h.journal.logins() {
					if got := r.ClientAddr.String(); got != "203.0.113.9" && !strings.Contains(d.name, "without addresses") {
						t.Errorf("the client is %s", got)
					}
				}
			})
		})
	}
}

// scram logs in by SCRAM-SHA-256, where the last word comes as the client asks.
func (d dialect) scram(p *peer, id string) {
	p.t.Helper()
	params := strings.SplitN(d.params, "\t", 2)
	service := strings.SplitN(params[0], "=", 2)[1]
	more := strings.ReplaceAll(params[1], "rip=203.0.113.9", "x=y")
	if strings.HasSuffix(d.params, "rip=") {
		more = "x=y"
	}
	c, first := p.scram(id, mechScram256, service, "\t"+more, alice, "wonderland")
	c.prove(first)
	if strings.Contains(d.params, "final-resp-ok") {
		if got := p.recv(); !strings.HasPrefix(got, "OK\t"+id+"\tuser="+alice+"\tresp=dj") {
			p.t.Errorf("the server says %q", got)
		}
		return
	}
	c.step(c.cont())
	p.send("CONT\t" + id + "\t")
	p.want("OK\t" + id + "\tuser=" + alice)
}

func (d dialect) takeOver(h *harness, p *peer) {
	h.t.Helper()
	m := h.hello(Master, d.master, "")
	m.send("REQUEST\t99\t19551\t1\t" + p.cookie + "\tsession_pid=19557\trequest_auth_token")
	m.want("USER\t99\t" + alice + aliceFields + "\tauth_mech=PLAIN")
	service := strings.SplitN(d.params, "\t", 2)[0]
	u := h.hello(Userdb, d.master, "")
	u.send("USER\t1\t" + alice + "\t" + strings.Replace(service, "imap", "lmtp", 1))
	u.want("USER\t1\t" + alice + aliceFields)
}

// fault expects what makes each of them try again.
func (d dialect) fault(h *harness, p *peer) {
	h.t.Helper()
	h.accounts.fail(errAway)
	p.send(d.auth("20", "PLAIN", "\x00"+alice+"\x00wonderland"))
	if d.kind == Client {
		p.closed()
		return
	}
	if got := p.recv(); !strings.HasPrefix(got, "FAIL\t20\t") || !strings.Contains(got+"\t", "\t"+d.flags+"\t") {
		h.t.Errorf("the server says %q", got)
	}
}

// TestChannelBindingIsNotAsked: what a 2.4 client could send of it does no harm.
func TestChannelBindingIsNotAsked(t *testing.T) {
	run(t, withScram, func(t *testing.T, h *harness) {
		p := h.hello(Login, "3", "1")
		p.send("AUTH\t1\tPLAIN\tprotocol=imap", "CONT\t1\t#\tchannel_binding=AAAA")
		p.want("CONT\t1\t", "FAIL\t1\tcode=invalid_base64\treason="+textBase64)
		p.send("AUTH\t2\tPLAIN\tprotocol=imap\tresp=#")
		p.want("FAIL\t2\tcode=invalid_base64\treason=" + textBase64Initial)
		p.send(fmt.Sprintf("AUTH\t3\tPLAIN\tprotocol=imap\trip=203.0.113.9\tresp=%s", b64("\x00"+alice+"\x00wonderland")))
		p.want("OK\t3\tuser=" + alice)
	})
}
