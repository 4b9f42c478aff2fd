package journal

import (
	"math"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/verdict"
)

// appendRecord appends r.clean() as JSON, as encoding/json would, without
// making it: each text is looked at once, and nearly all are copied as they
// are. k is r.keys().
func appendRecord(dst []byte, r *Record, k keys) []byte {
	at := r.Time
	if y := at.Year(); y < 1 || y > 9999 { // RFC 3339 does not have it
		at = time.Unix(0, 0)
	}
	dst = append(dst, `{"time":"`...)
	dst = at.AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	dst = appendText(dst, `,"daemon":`, r.Daemon)
	dst = appendText(dst, `,"event":`, r.Event)
	dst = appendShort(dst, `,"queue_id":`, k.queueID, math.MaxInt) // was cut
	dst = appendShort(dst, `,"message_id":`, k.messageID, math.MaxInt)
	dst = appendText(dst, `,"session":`, r.Session)
	dst = appendText(dst, `,"service":`, r.Service)
	if k.client.IsValid() {
		dst = append(dst, `,"client_addr":"`...)
		dst = k.client.AppendTo(dst)
		dst = append(dst, '"')
	}
	dst = appendInt(dst, `,"client_port":`, int64(r.ClientPort))
	dst = appendText(dst, `,"client_name":`, r.ClientName)
	dst = appendText(dst, `,"helo":`, r.Helo)
	dst = appendText(dst, `,"user":`, r.User)
	dst = appendText(dst, `,"mech":`, r.Mech)
	dst = appendText(dst, `,"mail_from":`, r.MailFrom)
	dst = appendList(dst, `,"rcpt_to":`, r.RcptTo, appendRecipient)
	dst = appendText(dst, `,"verdict":`, r.Verdict)
	dst = appendText(dst, `,"rule":`, r.Rule)
	dst = appendText(dst, `,"reply":`, r.Reply)
	dst = appendScore(dst, r.Score)
	dst = appendList(dst, `,"lines":`, r.Lines, appendLine)
	dst = appendList(dst, `,"facts":`, r.Facts, appendFact)
	dst = appendInt(dst, `,"took_ns":`, int64(r.Took))
	return append(dst, '}')
}

// A member begins with a comma, its key has quotes and a colon, and it is left
// out when it is empty.

func appendText(dst []byte, key, s string) []byte { return appendShort(dst, key, s, MaxTextBytes) }

// appendShort appends a text that is cut to about limit bytes.
func appendShort(dst []byte, key, s string, limit int) []byte {
	if s == "" {
		return dst
	}
	return appendString(append(dst, key...), s, limit)
}

func appendInt(dst []byte, key string, n int64) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, key...), n, 10)
}

// appendScore leaves out a score that JSON does not have, so that one bad
// record can not stop the others.
func appendScore(dst []byte, score float64) []byte {
	if score == 0 || math.IsNaN(score) || math.IsInf(score, 0) {
		return dst
	}
	return strconv.AppendFloat(append(dst, `,"score":`...), score, 'g', -1, 64)
}

func appendList[T any](dst []byte, key string, list []T, each func([]byte, T) []byte) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(append(dst, key...), '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = each(dst, v)
	}
	return append(dst, ']')
}

func appendRecipient(dst []byte, s string) []byte { return appendString(dst, s, MaxTextBytes) }

func appendOption(dst []byte, s string) []byte { return appendString(dst, s, maxOptionBytes) }

func appendLine(dst []byte, l verdict.Line) []byte {
	dst = appendString(append(dst, `{"name":`...), l.Name, maxNameBytes)
	dst = appendShort(dst, `,"group":`, l.Group, maxNameBytes)
	dst = appendScore(dst, l.Score)
	dst = appendText(dst, `,"text":`, l.Text)
	dst = appendList(dst, `,"options":`, l.Options[:min(len(l.Options), maxOptions)], appendOption)
	return append(dst, '}')
}

func appendFact(dst []byte, f Fact) []byte {
	dst = appendString(append(dst, `{"key":`...), f.Key, maxKeyBytes)
	dst = appendString(append(dst, `,"value":`...), f.Value, MaxTextBytes)
	return append(dst, '}')
}

// appendString appends a JSON string of what printable makes of s, of which
// only quotes and backslashes need care.
func appendString(dst []byte, s string, limit int) []byte {
	dst = append(dst, '"')
	if len(s) <= limit && isVerbatim(s) {
		return append(append(dst, s...), '"')
	}
	s = printable(s, limit)
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
