package authd

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
)

// masterVersion is what we say on master and userdb sockets: that of Dovecot
// 2.2 and 2.3.
var masterVersion = version{1, 1}

// The verbs of the master protocol, beside verbVersion.
const (
	verbRequest    verb = "REQUEST"
	verbUser       verb = "USER"
	verbPass       verb = "PASS"
	verbList       verb = "LIST"
	verbCacheFlush verb = "CACHE-FLUSH"
)

// masterLine is one request on a master or userdb socket. Which fields count
// depends on verb.
type masterLine struct {
	verb    verb
	version version
	id      uint32 // all but VERSION: 1..2^32-1
	// user is the name of USER and PASS, or the mask of LIST: "*" and "?",
	// empty for all.
	user string
	client
	// REQUEST: the login process, the id of its AUTH, its cookie, and the
	// process that asks, 0 where it does not say.
	clientPID, clientID uint32
	cookie              cookie
	sessionPID          uint32
}

// parseMaster reads a line without its LF.
func parseMaster(line []byte) (l masterLine, err error) {
	if line, err = trimLine(line); err != nil {
		return l, err
	}
	f := newFields(line)
	word, _ := f.next()
	switch l.verb = verb(word); l.verb {
	case verbVersion:
		l.version, err = parseVersion(f)
		return l, err
	case verbRequest, verbUser, verbPass, verbList, verbCacheFlush:
	default:
		return masterLine{}, broken("unknown command")
	}
	if l.id, err = f.number("id", 1); err != nil {
		return l, err
	}
	switch l.verb {
	case verbRequest:
		return l, l.parseRequest(f)
	case verbUser, verbPass:
		if l.user, err = f.text("user"); err != nil {
			return l, err
		}
		if err := l.params(f); err != nil {
			return l, err
		}
		if l.service == "" {
			return l, broken("%s without service", l.verb)
		}
	case verbList:
		return l, l.params(f)
	}
	// CACHE-FLUSH may name users. Everything is flushed: that is allowed.
	return l, nil
}

// params takes the parameters that are left; user= is LIST's mask.
func (l *masterLine) params(f *fields) error {
	for {
		b, ok := f.next()
		if !ok {
			return nil
		}
		if mask, ok := bytes.CutPrefix(b, []byte("user=")); ok && l.verb == verbList {
			mask, err := unescape(mask)
			if err != nil {
				return err
			}
			l.user = string(mask)
			continue
		}
		if err := l.client.parse(b); err != nil {
			return err
		}
	}
}

func (l *masterLine) parseRequest(f *fields) (err error) {
	if l.clientPID, err = f.number("client pid", 1); err != nil {
		return err
	}
	if l.clientID, err = f.number("client id", 1); err != nil {
		return err
	}
	hexed, ok := f.next()
	if !ok || len(hexed) != 2*len(l.cookie) {
		return broken("no cookie")
	}
	if _, err := hex.Decode(l.cookie[:], hexed); err != nil {
		return broken("cookie is not hexadecimal")
	}
	for {
		b, ok := f.next()
		if !ok {
			return nil
		}
		if pid, ok := bytes.CutPrefix(b, []byte("session_pid=")); ok {
			if l.sessionPID, ok = parseNumber(pid); !ok {
				return broken("session_pid is not a number")
			}
		}
	}
}

// appendTo appends l with its line end: the client's half, for tests.
func (l masterLine) appendTo(dst []byte) (_ []byte, err error) {
	if l.verb == verbVersion {
		return l.version.appendTo(dst), nil
	}
	dst = fmt.Appendf(dst, "%s\t%d", l.verb, l.id)
	switch l.verb {
	case verbRequest:
		dst = fmt.Appendf(dst, "\t%d\t%d\t%s", l.clientPID, l.clientID, hex.EncodeToString(l.cookie[:]))
		if l.sessionPID != 0 {
			dst = fmt.Appendf(dst, "\tsession_pid=%d", l.sessionPID)
		}
	case verbUser, verbPass:
		if dst, err = dovecotEscapes.appendField(append(dst, '\t'), l.user); err != nil {
			return nil, err
		}
	case verbList:
		if l.user != "" {
			if dst, err = dovecotEscapes.appendField(append(dst, "\tuser="...), l.user); err != nil {
				return nil, err
			}
		}
	}
	if dst, err = l.client.appendTo(dst); err != nil {
		return nil, err
	}
	return append(dst, '\n'), nil
}

// The verbs of replies on master and userdb sockets, beside verbUser, verbPass,
// verbList, verbOK and verbFail.
const (
	verbNotFound verb = "NOTFOUND"
	verbDone     verb = "DONE"
)

// masterReply is one reply. user is the field behind the id of USER and LIST;
// DONE has an empty one; OK has a count there.
type masterReply struct {
	verb   verb
	id     uint32
	user   string
	params []param
}

// appendTo appends r with its line end.
func (r masterReply) appendTo(dst []byte) (_ []byte, err error) {
	start := len(dst)
	dst = append(append(dst, r.verb...), '\t')
	dst = strconv.AppendUint(dst, uint64(r.id), 10)
	switch r.verb {
	case verbUser, verbList, verbDone, verbOK:
		if dst, err = dovecotEscapes.appendField(append(dst, '\t'), r.user); err != nil {
			return nil, err
		}
	}
	if dst, err = dovecotEscapes.appendParams(dst, r.params); err != nil {
		return nil, err
	}
	if dst = append(dst, '\n'); len(dst)-start > maxMasterReply {
		return nil, fmt.Errorf("encode: a reply of %d bytes is too long", len(dst)-start)
	}
	return dst, nil
}

// parseMasterReply reads a reply without its LF: the client's half, for tests.
func parseMasterReply(line []byte) (r masterReply, err error) {
	if line, err = trimLine(line); err != nil {
		return r, err
	}
	f := newFields(line)
	word, _ := f.next()
	r.verb = verb(word)
	if r.id, err = f.number("id", 1); err != nil {
		return r, err
	}
	switch r.verb {
	case verbUser, verbList, verbDone, verbOK:
		if r.user, err = f.text("user"); err != nil {
			return r, err
		}
	case verbPass, verbNotFound, verbFail:
	default:
		return r, broken("unknown reply")
	}
	r.params, err = parseParams(f)
	return r, err
}
