package managesieve

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/secret"
)

// authenticate passes a login on to the auth server, which journals it.
func (k *session) authenticate(ctx context.Context, c command) error {
	start := time.Now()
	r, err := k.exchange(ctx, c)
	if err != nil {
		return err
	}
	k.count(r, start)
	if r.status == statusOK {
		k.bad = 0
		return k.send(r)
	}
	return k.refuse(r)
}

// exchange carries messages between client and auth server. An error ends the
// connection.
func (k *session) exchange(ctx context.Context, c command) (reply, error) {
	req := authRequest{mech: strings.ToUpper(c.text(0)), session: k.id, client: k.client, server: k.server}
	if req.hasResp = len(c.args) == 2; req.hasResp {
		req.resp = secret.New(c.args[1].text)
	}
	if !isBase64(req.resp.Reveal()) {
		return no("", "the message is not base64"), nil
	}
	a, err := k.srv.dialAuth(ctx)
	if err != nil {
		return k.away(ctx, err), nil
	}
	defer a.close()
	defer context.AfterFunc(ctx, a.close)()
	if !slices.Contains(a.mechs, req.mech) {
		return no("", "there is no such mechanism here"), nil
	}
	l, err := a.begin(req)
	for step := 0; err == nil && l.verb == authCont; step++ {
		if step == maxSteps {
			return no("", "the login has too many steps"), nil
		}
		data, r, err := k.challenge(l.data)
		if err != nil || !r.isZero() {
			return r, err
		}
		if l, err = a.next(data); err != nil {
			return k.away(ctx, err), nil
		}
	}
	if err != nil {
		return k.away(ctx, err), nil
	}
	user, r := decideLogin(l)
	if r.status == statusOK {
		k.user, k.loggedIn = user, true
	}
	return r, nil
}

// challenge sends a message of the server and reads the answer. The reply is the
// end of the login: the client gave up, or sent what is no message.
func (k *session) challenge(data string) (secret.Value, reply, error) {
	if err := k.write(append(appendString(nil, data), "\r\n"...)); err != nil {
		return secret.Value{}, reply{}, err
	}
	if err := k.deadline(k.login); err != nil {
		return secret.Value{}, reply{}, err
	}
	b, err := k.in.readString(maxCommand)
	var syntax *syntaxError
	switch {
	case errors.As(err, &syntax):
		return secret.Value{}, no("", syntax.text), nil
	case err != nil:
		return secret.Value{}, reply{}, k.unreadable(err)
	case string(b) == "*":
		return secret.Value{}, no("", "login given up"), nil
	case !isBase64(b):
		return secret.Value{}, no("", "the message is not base64"), nil
	}
	return secret.New(b), reply{}, nil
}

// away is the answer when the auth server gives none.
func (k *session) away(ctx context.Context, err error) reply {
	k.warn(ctx, "login not answered", err)
	return no(codeTryLater, textAuthAway)
}

// count counts a command that was answered.
func (k *session) count(r reply, start time.Time) {
	k.srv.deps.Meter.Request(daemon, verdictOf(r), time.Since(start))
}

func verdictOf(r reply) string {
	switch {
	case r.status == statusOK:
		return verdictOK
	case r.code == codeTryLater:
		return verdictTemp
	}
	return verdictNo
}

// attrs are what every line about a user's session has.
func (k *session) attrs() []slog.Attr {
	return []slog.Attr{slog.String("session", k.id), slog.String("client_addr", k.client.Addr().String()), slog.String("user", k.user.String())}
}
