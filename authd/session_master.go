package authd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// masterSession is one connection of a Dovecot mail process, of lmtp or of
// doveadm. Its requests are answered one after the other.
type masterSession struct {
	srv   *Server
	kind  Kind
	conn  net.Conn
	in    *line
	cred  listen.Cred
	known bool // cred is known
	hello bool // VERSION came
	out   []byte
}

func (s *Server) newMasterSession(c net.Conn, kind Kind, in *line) *masterSession {
	in.limit(maxMasterLine)
	ms := &masterSession{srv: s, kind: kind, conn: c, in: in}
	cred, err := s.peerCred(c)
	ms.cred, ms.known = cred, err == nil
	return ms
}

// run speaks until the peer or we are done. It returns nil when the peer closed.
func (ms *masterSession) run(ctx context.Context) error {
	if err := ms.in.deadline(time.Now().Add(handshakeTime)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	ms.out = fmt.Appendf(masterVersion.appendTo(nil), "SPID\t%d\n", ms.srv.spid)
	for {
		if !ms.in.waiting() {
			if err := ms.flush(); err != nil {
				return err
			}
		}
		b, err := ms.in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		l, err := parseMaster(b)
		if err == nil {
			err = ms.handle(ctx, l)
		}
		if err != nil {
			return errors.Join(err, ms.flush())
		}
	}
}

func (ms *masterSession) flush() error {
	if len(ms.out) == 0 {
		return nil
	}
	if err := ms.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return fmt.Errorf("set deadline: %w", err)
	}
	_, err := ms.conn.Write(ms.out)
	if ms.out = ms.out[:0]; err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// maxBatch is how many bytes of replies are collected.
const maxBatch = 32 << 10

func (ms *masterSession) send(r masterReply) error {
	out, err := r.appendTo(ms.out)
	if err != nil {
		return err
	}
	if ms.out = out; len(out) > maxBatch {
		return ms.flush()
	}
	return nil
}

// trusted says that the peer may see what is more than one user's directory.
func (ms *masterSession) trusted() bool {
	return ms.known && (ms.cred.UID == 0 || slices.Contains(ms.srv.cfg.Load().MasterUIDs, ms.cred.UID))
}

// handle does what one line asks for. An error closes the connection.
func (ms *masterSession) handle(ctx context.Context, l masterLine) error {
	if ms.hello == (l.verb == verbVersion) {
		return broken("%s at the wrong time", l.verb)
	}
	if l.verb == verbVersion {
		ms.hello = true
		return ms.in.deadline(time.Time{})
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	switch l.verb {
	case verbUser:
		return ms.send(ms.srv.userReply(ctx, l))
	case verbPass:
		return ms.send(ms.pass(ctx, l))
	case verbList:
		return ms.list(ctx, l)
	}
	if ms.kind != Master {
		return broken("%s on a userdb socket", l.verb)
	}
	if l.verb == verbRequest {
		return ms.send(ms.request(ctx, l))
	}
	if !ms.trusted() {
		return ms.send(masterReply{verb: verbFail, id: l.id})
	}
	return ms.send(masterReply{verb: verbOK, id: l.id, user: strconv.Itoa(ms.srv.cache.flush())})
}

// lookUp returns the account that a name means. Without an account it returns
// the reply that says why.
func (s *Server) lookUp(ctx context.Context, id uint32, name string) (account.User, masterReply, bool) {
	addr, ok := accountName(name)
	if !ok {
		return account.User{}, masterReply{verb: verbNotFound, id: id}, false
	}
	u, err := s.user(ctx, addr)
	switch {
	case errors.Is(err, account.ErrNotFound):
		return account.User{}, masterReply{verb: verbNotFound, id: id}, false
	case err != nil:
		s.log.LogAttrs(ctx, slog.LevelError, "user not readable", slog.String("user", addr.String()), slog.Any("err", err))
		return account.User{}, temporary(id), false
	}
	return u, masterReply{}, true
}

// temporary is what makes Dovecot try again: lmtp says 451 for any FAIL.
func temporary(id uint32) masterReply {
	return masterReply{verb: verbFail, id: id, params: []param{{key: "reason", value: "temporary fault"}}}
}

// user asks the store. A panic in there costs the request.
func (s *Server) user(ctx context.Context, addr mailaddr.Address) (u account.User, err error) {
	defer s.rescue(ctx, func() { err = errPanic })
	return s.accounts.User(ctx, addr)
}

var errPanic = errors.New("panic in the account store")

// userReply answers USER: the userdb. A disabled or held account has a mailbox
// all the same.
func (s *Server) userReply(ctx context.Context, l masterLine) masterReply {
	u, reply, ok := s.lookUp(ctx, l.id, l.user)
	if !ok {
		return reply
	}
	params, ok := s.cfg.Load().mailbox().fields(u)
	if !ok {
		s.log.LogAttrs(ctx, slog.LevelError, "user has no directory", slog.String("user", u.Addr.String()))
		return temporary(l.id)
	}
	return masterReply{verb: verbUser, id: l.id, user: u.Addr.String(), params: params}
}

// pass answers PASS: the passdb without a password. Nobody needs the hash.
func (ms *masterSession) pass(ctx context.Context, l masterLine) masterReply {
	if !ms.trusted() {
		return masterReply{verb: verbFail, id: l.id}
	}
	u, reply, ok := ms.srv.lookUp(ctx, l.id, l.user)
	if !ok {
		return reply
	}
	params := []param{{key: "user", value: u.Addr.String()}}
	// What it says of a login is what a client hears behind a right password.
	f := facts{kind: Login, service: l.service, user: u.Addr.String(), match: true}
	f.account = rulesOf(u, l.service, ms.srv.cfg.Load().HeldSubmits, time.Now())
	if o := decide(f); o.reason != "" {
		params = append(params, param{key: "nologin", flag: true}, param{key: "reason", value: o.reason})
	}
	return masterReply{verb: verbPass, id: l.id, params: params}
}

// request answers REQUEST: a mail process takes a login over, once.
func (ms *masterSession) request(ctx context.Context, l masterLine) masterReply {
	if l.sessionPID != 0 && ms.known && ms.cred.PID > 0 && int64(ms.cred.PID) != int64(l.sessionPID) {
		ms.srv.log.LogAttrs(ctx, slog.LevelWarn, "login asked for by another process",
			slog.Int("pid", ms.cred.PID), slog.Uint64("session_pid", uint64(l.sessionPID)))
		return masterReply{verb: verbFail, id: l.id}
	}
	g, ok := ms.srv.takeOver(l.clientPID, l.clientID, l.cookie)
	if !ok {
		return masterReply{verb: verbFail, id: l.id}
	}
	reply := ms.srv.userReply(ctx, masterLine{id: l.id, user: g.user})
	if reply.verb == verbUser {
		reply.params = append(reply.params, param{key: "auth_mech", value: g.mech})
	}
	return reply
}

// list answers LIST: all users that the mask matches.
func (ms *masterSession) list(ctx context.Context, l masterLine) error {
	fail := masterReply{verb: verbDone, id: l.id, user: "fail"}
	if !ms.trusted() {
		return ms.send(fail)
	}
	users, err := ms.users(ctx, l.user)
	if err != nil {
		ms.srv.log.LogAttrs(ctx, slog.LevelError, "users not readable", slog.Any("err", err))
		return ms.send(fail)
	}
	for _, u := range users {
		if err := ms.send(masterReply{verb: verbList, id: l.id, user: u.Addr.String()}); err != nil {
			return err
		}
	}
	return ms.send(masterReply{verb: verbDone, id: l.id})
}

func (ms *masterSession) users(ctx context.Context, mask string) (all []account.User, err error) {
	defer ms.srv.rescue(ctx, func() { err = errPanic })
	if mask == "*" {
		mask = ""
	}
	return ms.srv.accounts.Users(ctx, mask)
}
