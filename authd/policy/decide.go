package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/guard"
	"github.com/gatepost/gatepost/internal/mailaddr"
)

// The words of a verdict, in the journal and in metrics.
const (
	verdictOK      = "ok"
	verdictDelay   = "delay"
	verdictFail    = "fail"
	verdictRefused = "refused"
	verdictTemp    = "temp" // a fault of Dovecot's or ours
	verdictBad     = "bad"  // no request
)

// userName returns the account that a login name means, folded, or nothing:
// what is no address may be a password in the wrong field, and is shown
// nowhere. realm is the domain of a name without one.
func userName(login, realm string) string {
	bare := realm != "" && login != "" && !strings.Contains(login, "@")
	if bare {
		login += "@" + realm
	}
	a, err := mailaddr.Parse(login)
	if err != nil || a.Domain == "" {
		return ""
	}
	name := a.Folded().String()
	if bare && name[0] == '"' {
		return "" // blanks or worse: a sentence, hardly a name
	}
	return name
}

// attempt is what the guard is told of r.
func attempt(r request, user string) guard.Attempt {
	return guard.Attempt{Addr: r.remote, User: user, Service: r.protocol, PasswordHash: r.pwhash}
}

// decideAllow returns the answer to allow.
func decideAllow(d guard.Decision) (verdict string, out reply) {
	switch {
	case d.Refuse:
		return verdictRefused, reply{Status: -1, Msg: textOf(d.Ban)}
	case d.Delay > 0:
		wait := min(d.Delay, maxDelay)
		// Dovecot waits whole seconds.
		return verdictDelay, reply{Status: int((wait + time.Second - 1) / time.Second)}
	}
	return verdictOK, reply{}
}

// textOf is what the user is told, as authd tells it.
func textOf(b guard.Ban) string {
	if b.ID == "" {
		return "logins are refused at present, please try again later"
	}
	return fmt.Sprintf("logins from your network are refused until %s UTC (ban %s)", b.Until.UTC().Format("2006-01-02 15:04"), b.ID)
}

// decideReport returns how a reported login ended: for the journal, and for the
// guard, which counts what has counts set.
func decideReport(r request) (verdict, rule string, o guard.Outcome, counts bool) {
	switch {
	case r.success:
		return verdictOK, "", guard.Right, true
	case r.rejected, r.failType == "policy":
		// We refused it, and the password was not looked at, or was right.
		return verdictRefused, "policy", guard.Abandoned, false
	case r.failType == "internal":
		return verdictTemp, "fault", guard.Abandoned, false
	case r.failType == "expired", r.failType == "disabled":
		return verdictRefused, r.failType, guard.Abandoned, false
	case r.failType == "account":
		return verdictFail, "password", guard.NoAccount, true
	}
	return verdictFail, "password", guard.Wrong, true
}

// hostAllowed says whether a Host field names us. A page in a browser on this
// host can reach the port, but only by a name of its own (DNS rebinding): an
// address in Host is an address that was dialled.
func hostAllowed(host string, names []string) bool {
	if h, _, ok := cutPort(host); ok {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil || strings.EqualFold(host, "localhost") {
		return true
	}
	for _, n := range names {
		if strings.EqualFold(host, n) {
			return true
		}
	}
	return false
}

// cutPort cuts a port off: digits behind the last colon, which an address
// without brackets has none of.
func cutPort(host string) (name, port string, ok bool) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "[") {
		return host, "", false
	}
	port = host[i+1:]
	if strings.Trim(port, "0123456789") != "" {
		return host, "", false
	}
	return host[:i], port, true
}
