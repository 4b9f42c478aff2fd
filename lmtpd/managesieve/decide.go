package managesieve

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/script"
)

// The words of a verdict, in the journal and in metrics.
const (
	verdictOK   = "ok"
	verdictNo   = "no"
	verdictTemp = "temp" // a fault of ours
)

// The texts that come more than once.
const (
	textAuthAway = "logins can not be checked at present, please try again later"
	textFault    = "this can not be done at present, please try again later"
)

// standing is what a connection has reached.
type standing struct{ secured, loggedIn bool }

// decideAllowed returns why a command cannot be had now; the zero reply is that
// it can.
func decideAllowed(s standing, name string) reply {
	switch name {
	case cmdCapability, cmdLogout, cmdNoop:
		return reply{}
	case cmdStartTLS:
		if s.secured {
			return no("", "TLS is there already")
		}
		return reply{}
	case cmdAuthenticate:
		if s.loggedIn {
			return no("", "you are logged in already")
		}
		if !s.secured {
			return no(codeEncryptNeeded, "use STARTTLS first")
		}
		return reply{}
	}
	if !s.loggedIn {
		return no("", "log in first")
	}
	return reply{}
}

// decideLogin returns whose login the last line of the auth server is, or the
// refusal.
func decideLogin(l authLine) (mailaddr.Address, reply) {
	switch {
	case l.verb == authOK && l.nologin:
		return mailaddr.Address{}, no("", reason(l, "you may not log in"))
	case l.verb == authOK:
		user, err := mailaddr.Parse(l.user)
		if err != nil || user.Domain == "" {
			return mailaddr.Address{}, no("", "this account has no mailbox")
		}
		r := ok("logged in")
		if l.resp != "" {
			r = r.with(codeSASL, l.resp)
		}
		return user.Folded(), r
	case l.temp || l.code == "temp_fail":
		return mailaddr.Address{}, no(codeTryLater, textAuthAway)
	}
	return mailaddr.Address{}, no("", reason(l, "wrong name or password"))
}

// reason returns what the auth server tells the user, on one line and bounded.
func reason(l authLine, otherwise string) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(l.reason, "?"))
	if text == "" {
		return otherwise
	}
	return text[:min(len(text), 500)]
}

// decideError returns the answer to an error of the script store, and whether it
// is a fault of ours.
func decideError(err error) (r reply, fault bool) {
	var quota *script.QuotaError
	switch {
	case errors.As(err, &quota):
		code := map[script.Quota]string{script.QuotaBytes: codeMaxSize, script.QuotaScripts: codeMaxScripts, script.QuotaStorage: codeQuota}[quota.Quota]
		return no(code, quota.Error()), false
	case errors.Is(err, script.ErrNotFound):
		return no(codeNonexistent, script.ErrNotFound.Error()), false
	case errors.Is(err, script.ErrExists):
		return no(codeAlreadyExists, script.ErrExists.Error()), false
	case errors.Is(err, script.ErrActive):
		return no(codeActive, script.ErrActive.Error()), false
	case errors.Is(err, script.ErrName):
		return no("", script.ErrName.Error()), false
	case errors.Is(err, script.ErrUnsafe):
		return no("", "something that is no script is in the way, please ask your postmaster"), true
	}
	return no(codeTryLater, textFault), true
}

// maxFaults bounds the text about the faults of a script.
const maxFaults = 8 << 10

// decideFaulty returns the answer to a script that does not compile.
func decideFaulty(err error) reply { return no("", lines(cut(err.Error()))) }

// decideKept returns the answer to a script that was taken.
func decideKept(text string, warnings []string) reply {
	if len(warnings) == 0 {
		return ok(text)
	}
	return reply{status: statusOK, code: codeWarnings, text: lines(cut(strings.Join(warnings, "\n")))}
}

// cut bounds a text at the end of a line. A script may hold any bytes; a NUL of
// its cannot be told.
func cut(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "\x00", "?")
	if len(text) <= maxFaults {
		return text
	}
	text = text[:maxFaults]
	if i := strings.LastIndexByte(text, '\n'); i > 0 {
		text = text[:i]
	}
	return strings.ToValidUTF8(text, "") + "\nand more"
}

// decideFault returns the answer to what a decoder returned, which ends the
// connection.
func decideFault(err error) reply {
	var large *tooLarge
	switch {
	case errors.As(err, &large):
		return bye("", large.Error())
	case errors.Is(err, errTooLong):
		return bye("", errTooLong.Error())
	}
	return bye("", "this is not ManageSieve")
}

// capabilities returns what a client is told.
func (c Config) capabilities(s standing, owner string, mechs []string) []capability {
	out := []capability{
		{name: "IMPLEMENTATION", value: "Gatepost"},
		{name: "SIEVE", value: strings.Join(c.Extensions, " ")},
		{name: "NOTIFY", value: strings.Join(c.NotifyMethods, " ")},
		{name: "SASL", value: strings.Join(mechs, " ")},
	}
	if !s.secured {
		out = append(out, capability{name: "STARTTLS", bare: true})
	}
	out = append(out, capability{name: "MAXREDIRECTS", value: fmt.Sprint(c.MaxRedirects)},
		capability{name: "LANGUAGE", value: "en"}, capability{name: "UNAUTHENTICATE", bare: true})
	if s.loggedIn {
		out = append(out, capability{name: "OWNER", value: owner})
	}
	return append(out, capability{name: "VERSION", value: "1.0"})
}
