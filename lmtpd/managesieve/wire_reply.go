package managesieve

import (
	"strconv"
	"strings"
)

// status is the first word of a reply.
type status string

const (
	statusOK  status = "OK"
	statusNo  status = "NO"
	statusBye status = "BYE"
)

// The response codes that we send (RFC 5804 §1.3).
const (
	codeActive        = "ACTIVE"
	codeAlreadyExists = "ALREADYEXISTS"
	codeEncryptNeeded = "ENCRYPT-NEEDED"
	codeMaxScripts    = "QUOTA/MAXSCRIPTS"
	codeMaxSize       = "QUOTA/MAXSIZE"
	codeNonexistent   = "NONEXISTENT"
	codeQuota         = "QUOTA"
	codeSASL          = "SASL"
	codeTag           = "TAG"
	codeTryLater      = "TRYLATER"
	codeWarnings      = "WARNINGS"
)

// reply ends the answer to a command.
type reply struct {
	status status
	code   string
	// arg is the string of codeSASL and codeTag.
	arg  string
	text string
}

func ok(text string) reply                  { return reply{status: statusOK, text: text} }
func no(code, text string) reply            { return reply{status: statusNo, code: code, text: text} }
func bye(code, text string) reply           { return reply{status: statusBye, code: code, text: text} }
func (r reply) isZero() bool                { return r.status == "" }
func (r reply) String() string              { return strings.TrimSpace(string(r.appendTo(nil))) }
func (r reply) with(code, arg string) reply { r.code, r.arg = code, arg; return r }

// appendTo appends r with its line end.
func (r reply) appendTo(dst []byte) []byte {
	dst = append(dst, r.status...)
	if r.code != "" {
		dst = append(append(dst, " ("...), r.code...)
		if r.code == codeSASL || r.code == codeTag {
			dst = appendString(append(dst, ' '), r.arg)
		}
		dst = append(dst, ')')
	}
	if r.text != "" {
		dst = appendString(append(dst, ' '), r.text)
	}
	return append(dst, "\r\n"...)
}

// maxQuoted is the longest quoted string (RFC 5804 §4).
const maxQuoted = 1024

// appendString appends s as a quoted string where it can be one, else as a
// literal.
func appendString(dst []byte, s string) []byte {
	if len(s) > maxQuoted || strings.ContainsAny(s, "\r\n\x00") {
		dst = append(strconv.AppendInt(append(dst, '{'), int64(len(s)), 10), "}\r\n"...)
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// lines joins the lines of a text as replies have them.
func lines(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
}

// capability is a line of the capabilities.
type capability struct {
	name, value string
	bare        bool
}

// appendCapabilities appends the lines, without the OK behind them.
func appendCapabilities(dst []byte, all []capability) []byte {
	for _, c := range all {
		dst = appendString(dst, c.name)
		if !c.bare {
			dst = appendString(append(dst, ' '), c.value)
		}
		dst = append(dst, "\r\n"...)
	}
	return dst
}
