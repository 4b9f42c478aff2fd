package journal

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/verdict"
)

// appendRecord appends r as JSON, as encoding/json would, in a sixth of the
// time. r is clean: its texts are printable UTF-8, so that only quotes and
// backslashes need care.
func appendRecord(dst []byte, r *Record) []byte {
	at := r.Time
	if y := at.Year(); y < 1 || y > 9999 { // RFC 3339 does not have it
		at = time.Unix(0, 0)
	}
	dst = append(dst, `{"time":"`...)
	dst = at.AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	dst = appendText(dst, "daemon", r.Daemon)
	dst = appendText(dst, "event", r.Event)
	dst = appendText(dst, "queue_id", r.QueueID)
	dst = appendText(dst, "message_id", r.MessageID)
	dst = appendText(dst, "session", r.Session)
	dst = appendText(dst, "service", r.Service)
	if r.ClientAddr.IsValid() {
		dst = append(dst, `,"client_addr":"`...)
		dst = r.ClientAddr.AppendTo(dst)
		dst = append(dst, '"')
	}
	dst = appendInt(dst, "client_port", int64(r.ClientPort))
	dst = appendText(dst, "client_name", r.ClientName)
	dst = appendText(dst, "helo", r.Helo)
	dst = appendText(dst, "user", r.User)
	dst = appendText(dst, "mech", r.Mech)
	dst = appendText(dst, "mail_from", r.MailFrom)
	dst = appendTexts(dst, "rcpt_to", r.RcptTo)
	dst = appendText(dst, "verdict", r.Verdict)
	dst = appendText(dst, "rule", r.Rule)
	dst = appendText(dst, "reply", r.Reply)
	dst = appendScore(dst, r.Score)
	dst = appendList(dst, "lines", r.Lines, appendLine)
	dst = appendList(dst, "facts", r.Facts, appendFact)
	dst = appendInt(dst, "took_ns", int64(r.Took))
	return append(dst, '}')
}

// The members begin with a comma, and are left out when they are empty.

func appendText(dst []byte, key, s string) []byte {
	if s == "" {
		return dst
	}
	return appendString(appendKey(dst, key), s)
}

func appendInt(dst []byte, key string, n int64) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(appendKey(dst, key), n, 10)
}

// appendScore leaves out a score that JSON does not have, so that one bad
// record can not stop the others.
func appendScore(dst []byte, score float64) []byte {
	if score == 0 || math.IsNaN(score) || math.IsInf(score, 0) {
		return dst
	}
	return strconv.AppendFloat(appendKey(dst, "score"), score, 'g', -1, 64)
}

func appendTexts(dst []byte, key string, list []string) []byte {
	return appendList(dst, key, list, appendString)
}

func appendList[T any](dst []byte, key string, list []T, each func([]byte, T) []byte) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(appendKey(dst, key), '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = each(dst, v)
	}
	return append(dst, ']')
}

func appendLine(dst []byte, l verdict.Line) []byte {
	dst = appendString(append(dst, `{"name":`...), l.Name)
	dst = appendText(dst, "group", l.Group)
	dst = appendScore(dst, l.Score)
	dst = appendText(dst, "text", l.Text)
	dst = appendTexts(dst, "options", l.Options)
	return append(dst, '}')
}

func appendFact(dst []byte, f Fact) []byte {
	dst = appendString(append(dst, `{"key":`...), f.Key)
	dst = appendString(append(dst, `,"value":`...), f.Value)
	return append(dst, '}')
}

func appendKey(dst []byte, key string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, key...)
	return append(dst, '"', ':')
}

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	if strings.IndexByte(s, '"') < 0 && strings.IndexByte(s, '\\') < 0 {
		return append(append(dst, s...), '"')
	}
	from := 0
	for i := range len(s) {
		if c := s[i]; c == '"' || c == '\\' {
			dst = append(dst, s[from:i]...)
			dst = append(dst, '\\')
			from = i
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
