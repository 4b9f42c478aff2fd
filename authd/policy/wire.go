package policy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/gatepost/gatepost/internal/netaddr"
)

// errRequest is every fault of a body.
var errRequest = errors.New("not a request of auth_policy")

// Bounds of texts that go on. What is longer counts as absent.
const (
	maxLogin   = 320
	maxWord    = 32
	maxHash    = 128
	maxSession = 128
)

// request is what Dovecot tells of a login.
type request struct {
	login    string
	protocol string
	pwhash   string
	session  string
	// remote is invalid where Dovecot knows none.
	remote netip.Addr
	// success and rejected (policy_reject) are of reports. failType is 2.4's
	// fail_type, where the administrator asks for it.
	success, rejected bool
	failType          string
}

// members are those of the JSON object that count. A nested object or an array
// may stand anywhere: the administrator's template says what is sent.
type members struct {
	Login        text  `json:"login"`
	Protocol     text  `json:"protocol"`
	PWHash       text  `json:"pwhash"`
	SessionID    text  `json:"session_id"`
	Remote       text  `json:"remote"`
	FailType     text  `json:"fail_type"`
	Success      truth `json:"success"`
	PolicyReject truth `json:"policy_reject"`
}

// text takes a string and reads over what is none. Invalid UTF-8 becomes
// U+FFFD, which no address holds.
type text string

// UnmarshalJSON reads one value.
func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	if b[0] == '"' && json.Unmarshal(b, &s) == nil {
		*t = text(s)
	}
	return nil
}

// truth takes true, also as a string, as a template has it.
type truth bool

// UnmarshalJSON reads one value.
func (t *truth) UnmarshalJSON(b []byte) error {
	*t = string(b) == "true" || string(b) == `"true"`
	return nil
}

// parseRequest reads the body of a request.
func parseRequest(body []byte) (request, error) {
	var m members
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return request{}, fmt.Errorf("%w: no JSON object", errRequest)
	}
	// The error of the decoder may quote what was typed.
	if err := json.Unmarshal(body, &m); err != nil {
		return request{}, fmt.Errorf("%w: broken JSON", errRequest)
	}
	r := request{
		login: upTo(m.Login, maxLogin), protocol: word(m.Protocol), pwhash: upTo(m.PWHash, maxHash),
		session: upTo(m.SessionID, maxSession), failType: word(m.FailType),
		success: bool(m.Success), rejected: bool(m.PolicyReject),
	}
	r.remote, _ = netaddr.Parse(string(m.Remote)) // one that is none is as good as none
	return r, nil
}

func upTo(t text, most int) string {
	if len(t) > most {
		return ""
	}
	return string(t)
}

// word returns a word of lower-case letters, digits and hyphens, or nothing.
func word(t text) string {
	s := strings.ToLower(string(t))
	if len(s) > maxWord || strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_'
	}) {
		return ""
	}
	return s
}

// body returns the JSON object that Dovecot would send for r, as a report.
func (r request) body() ([]byte, error) {
	remote := ""
	if r.remote.IsValid() {
		remote = r.remote.String()
	}
	return json.Marshal(map[string]any{
		"login": r.login, "protocol": r.protocol, "pwhash": r.pwhash, "session_id": r.session,
		"remote": remote, "success": r.success, "policy_reject": r.rejected, "fail_type": r.failType,
	})
}

// reply is the answer to allow; msg is shown to the user.
type reply struct {
	Status int    `json:"status"`
	Msg    string `json:"msg"`
}

// The answers that never change.
var (
	replyGoOn = []byte(`{"status":0,"msg":""}` + "\n")
	replyDone = []byte(`{"status":"ok"}` + "\n")
)

// encode returns the body of an answer to allow.
func (r reply) encode() ([]byte, error) {
	if r == (reply{}) {
		return replyGoOn, nil
	}
	b, err := json.Marshal(r)
	return append(b, '\n'), err
}

// sentKey returns the key that a request sends, by its X-API-Key fields and its
// Authorization fields. Dovecot puts two blanks before it. Two keys are none.
func sentKey(apiKey, authorization []string) (string, bool) {
	if len(apiKey)+len(authorization) != 1 {
		return "", false
	}
	if len(apiKey) == 1 {
		return strings.Trim(apiKey[0], " \t"), true
	}
	scheme, rest, _ := strings.Cut(strings.Trim(authorization[0], " \t"), " ")
	rest = strings.Trim(rest, " \t")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return rest, true
	case strings.EqualFold(scheme, "Basic"):
		b, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			return "", false
		}
		_, password, ok := strings.Cut(string(b), ":")
		return password, ok
	}
	return "", false
}
