package authd

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/gatepost/gatepost/internal/secret"
)

// clientVersion is what we say on client and login sockets: Dovecot 2.3's. Of
// 1.3 only channel bindings are left out, of 1.4 the answer to CANCEL; a client
// of either asks for nothing more than what we say.
var clientVersion = version{1, 2}

// verb is the first word of a line.
type verb string

// The verbs of a client.
const (
	verbVersion verb = "VERSION"
	verbCPID    verb = "CPID"
	verbAuth    verb = "AUTH"
	verbCont    verb = "CONT"
	verbCancel  verb = "CANCEL"
)

// clientLine is one line of a client or login process. Which fields count
// depends on verb.
type clientLine struct {
	verb    verb
	version version
	pid     uint32 // CPID
	id      uint32 // AUTH, CONT, CANCEL: 1..2^32-1
	auth    authRequest
	data    secret.Value // CONT: base64
}

// authRequest is what AUTH carries behind the id.
type authRequest struct {
	client
	// mech is in capitals. Postfix passes on what the SMTP client typed.
	mech string
	// hasResp says that there is a resp=, which may be empty: what that means
	// depends on the client's minor version.
	hasResp bool
	resp    secret.Value // base64
	// finalResp is final-resp-ok: the last message of the mechanism may come with
	// OK. Postfix never says so.
	finalResp bool
}

// parseClient reads a line without its LF.
func parseClient(line []byte) (l clientLine, err error) {
	if line, err = trimLine(line); err != nil {
		return l, err
	}
	f := newFields(line)
	word, _ := f.next()
	switch l.verb = verb(word); l.verb {
	case verbVersion:
		l.version, err = parseVersion(f)
		return l, err
	case verbCPID:
		if l.pid, err = f.number("CPID", 1); err != nil {
			return l, err
		}
		return l, f.end()
	case verbAuth, verbCont, verbCancel:
	default:
		return clientLine{}, broken("unknown command")
	}
	if l.id, err = f.number("id", 1); err != nil {
		return l, err
	}
	switch l.verb {
	case verbAuth:
		l.auth, err = parseAuth(f)
		return l, err
	case verbCont:
		data, ok := f.next()
		if !ok {
			return l, broken("CONT without data")
		}
		l.data = secret.New(data)
		// Dovecot 2.4 has a channel_binding= here for the -PLUS mechanisms,
		// which nobody is offered.
		if more, ok := f.next(); ok && !bytes.HasPrefix(more, []byte("channel_binding=")) {
			return l, broken("trailing field")
		}
	}
	return l, f.end()
}

const flagFinalResp = "final-resp-ok"

func parseAuth(f *fields) (a authRequest, err error) {
	mech, ok := f.next()
	if !ok || !isToken(mech, 40) {
		return a, broken("no mechanism")
	}
	a.mech = mechanismName(mech)
	for {
		b, ok := f.next()
		if !ok {
			break
		}
		if resp, ok := bytes.CutPrefix(b, []byte("resp=")); ok {
			if f.more {
				return a, broken("a parameter behind resp=")
			}
			a.hasResp, a.resp = true, secret.New(resp)
			break
		}
		if string(b) == flagFinalResp {
			a.finalResp = true
			continue
		}
		if err := a.client.parse(b); err != nil {
			return a, err
		}
	}
	if a.service == "" {
		return a, broken("AUTH without service")
	}
	return a, nil
}

// appendTo appends l with its line end: the client's half of the protocol, for
// tests of both.
func (l clientLine) appendTo(dst []byte) (_ []byte, err error) {
	switch l.verb {
	case verbVersion:
		return l.version.appendTo(dst), nil
	case verbCPID:
		return fmt.Appendf(dst, "CPID\t%d\n", l.pid), nil
	}
	dst = fmt.Appendf(dst, "%s\t%d", l.verb, l.id)
	switch l.verb {
	case verbAuth:
		dst = append(append(dst, '\t'), l.auth.mech...)
		if dst, err = l.auth.client.appendTo(dst); err != nil {
			return nil, err
		}
		if l.auth.finalResp {
			dst = append(append(dst, '\t'), flagFinalResp...)
		}
		if l.auth.hasResp {
			dst = append(append(dst, "\tresp="...), l.auth.resp.Reveal()...)
		}
	case verbCont:
		dst = append(append(dst, '\t'), l.data.Reveal()...)
	}
	return append(dst, '\n'), nil
}

// equal compares two lines; base64 texts by their bytes.
func (l clientLine) equal(m clientLine) bool {
	if !l.data.Equal(m.data) || !l.auth.resp.Equal(m.auth.resp) {
		return false
	}
	l.data, m.data, l.auth.resp, m.auth.resp = secret.Value{}, secret.Value{}, secret.Value{}, secret.Value{}
	return l == m
}

// mechanism is one that can be offered: its name and Dovecot's flags, by which
// Postfix's smtpd_sasl_security_options choose.
type mechanism struct{ name, flags string }

// mechanisms are what can be offered. Never one with -PLUS or EXTERNAL: Postfix
// passes no channel binding and no certificate.
var mechanisms = [...]mechanism{
	{mechPlain, "plaintext"}, {mechLogin, "plaintext"},
	{mechScram256, "mutual-auth"}, {mechScram1, "mutual-auth"},
}

// mechanismFlags returns the flags of a mechanism that can be offered.
func mechanismFlags(name string) (flags string, ok bool) {
	for _, m := range mechanisms {
		if m.name == name {
			return m.flags, true
		}
	}
	return "", false
}

// mechanismName returns a name in capitals: SASL's are compared so.
func mechanismName(b []byte) string {
	for _, m := range mechanisms {
		if string(b) == m.name {
			return m.name // without making another string
		}
	}
	return strings.ToUpper(string(b))
}

func mechanismNames() (all []string) {
	for _, m := range mechanisms {
		all = append(all, m.name)
	}
	return all
}

// cookie is known to one login process and to whom it hands a session.
type cookie [16]byte

// appendHandshake appends all that a client is told on accept. Neither Postfix
// nor any Dovecot waits for it.
func appendHandshake(dst []byte, offered []string, spid, cuid uint32, c cookie) []byte {
	dst = clientVersion.appendTo(dst)
	for _, name := range offered {
		flags, _ := mechanismFlags(name)
		dst = fmt.Appendf(dst, "MECH\t%s\t%s\n", name, flags)
	}
	return fmt.Appendf(dst, "SPID\t%d\nCUID\t%d\nCOOKIE\t%s\nDONE\n", spid, cuid, hex.EncodeToString(c[:]))
}

// The verbs of replies on client and login sockets, beside verbCont.
const (
	verbOK   verb = "OK"
	verbFail verb = "FAIL"
)

// clientReply is one reply to a client.
type clientReply struct {
	verb   verb // verbOK, verbFail or verbCont
	id     uint32
	data   string // CONT: base64, may be empty
	params []param
}

// appendTo appends r with its line end. A value that the peer could not read is
// an error.
func (r clientReply) appendTo(dst []byte, e escaping) (_ []byte, err error) {
	start := len(dst)
	dst = append(append(dst, r.verb...), '\t')
	dst = strconv.AppendUint(dst, uint64(r.id), 10)
	if r.verb == verbCont {
		// The TAB has to be there without data, too: else Postfix says 535.
		dst = append(append(dst, '\t'), r.data...)
	}
	if dst, err = e.appendParams(dst, r.params); err != nil {
		return nil, err
	}
	if dst = append(dst, '\n'); len(dst)-start > maxClientLine {
		return nil, fmt.Errorf("encode: a reply of %d bytes is too long", len(dst)-start)
	}
	return dst, nil
}

// parseClientReply reads a reply without its LF: the client's half, for tests.
func parseClientReply(line []byte) (r clientReply, err error) {
	if line, err = trimLine(line); err != nil {
		return r, err
	}
	f := newFields(line)
	word, _ := f.next()
	if r.verb = verb(word); r.verb != verbOK && r.verb != verbFail && r.verb != verbCont {
		return r, broken("unknown reply")
	}
	if r.id, err = f.number("id", 1); err != nil {
		return r, err
	}
	if r.verb == verbCont {
		if r.data, err = f.text("data"); err != nil {
			return r, err
		}
		return r, f.end()
	}
	r.params, err = parseParams(f)
	return r, err
}
