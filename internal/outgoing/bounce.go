package outgoing

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/gatepost/gatepost/internal/mailaddr"
)

// maxReturned bounds the header that a bounce returns.
const maxReturned = 64 << 10

// bounce tells the sender of a redirect that it did not go on (RFC 3464): the
// mailbox has no copy, so nobody else would hear of it. There is none for mail
// from the null reverse-path, for a sender who may be forged (backscatter), nor for
// what we wrote ourselves; and one for each file, however often it is tried.
func (q *Queue) bounce(ctx context.Context, name string, e envelope, raw []byte, cause error) {
	if e.Kind != Redirect || !e.Proved || e.MailFrom.IsNull() || len(raw) == 0 || !q.firstTime(name) {
		return
	}
	m := bounceOf(e, raw, cause, q.cfg.Load().Hostname, time.Now(), rand.Text())
	if err := q.Add(m); err != nil {
		q.log.LogAttrs(ctx, slog.LevelError, "sender of a redirect not told", append(attrs(e), slog.Any("err", err))...)
	}
}

// firstTime reports whether nobody was told of the file yet, and notes it.
func (q *Queue) firstTime(name string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	t := q.tries[name]
	if t.told {
		return false
	}
	t.told = true
	q.tries[name] = t
	return true
}

// bounceOf writes the notification. Token is random: a stranger's header can not
// hold the boundary.
func bounceOf(e envelope, raw []byte, cause error, hostname string, now time.Time, token string) Mail {
	status, said := "5.0.0", oneLine(cause.Error())
	var reply *smtp.SMTPError
	if errors.As(cause, &reply) && reply.EnhancedCode[0] == 5 {
		status = fmt.Sprintf("%d.%d.%d", reply.EnhancedCode[0], reply.EnhancedCode[1], reply.EnhancedCode[2])
	}
	id := "<" + token + ".bounce@" + hostname + ">"
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: MAILER-DAEMON@%s\nTo: <%s>\nSubject: Undelivered Mail Returned to Sender\nDate: %s\nMessage-ID: %s\n",
		hostname, e.MailFrom, now.Format(time.RFC1123Z), id)
	fmt.Fprintf(&b, "Auto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=%q\n\n", token)
	fmt.Fprintf(&b, "--%s\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n", token)
	fmt.Fprintf(&b, "This is the mail system at %s.\n\nA mailbox here sends its mail on, and your message could not be sent on to:\n\n", hostname)
	for _, to := range e.RcptTo {
		fmt.Fprintf(&b, "    %s\n", to)
	}
	fmt.Fprintf(&b, "\nThe reason: %s\n\n--%s\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; %s\n", said, token, hostname)
	for _, to := range e.RcptTo {
		fmt.Fprintf(&b, "\nFinal-Recipient: rfc822; %s\nAction: failed\nStatus: %s\nDiagnostic-Code: smtp; %s\n", to, status, said)
	}
	fmt.Fprintf(&b, "\n--%s\nContent-Type: text/rfc822-headers\nContent-Transfer-Encoding: 8bit\n\n%s\n--%s--\n", token, headerOf(raw), token)
	return Mail{Kind: Report, RcptTo: []mailaddr.Address{e.MailFrom.Address}, MessageID: id, Raw: b.Bytes()}
}

// headerOf returns the header of a message, cut to maxReturned, with LF.
func headerOf(raw []byte) []byte {
	raw = raw[:min(len(raw), maxReturned)]
	raw = bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r"), nil), []byte{0}, nil)
	if end := bytes.Index(raw, []byte("\n\n")); end >= 0 {
		raw = raw[:end+1]
	}
	return raw
}

// oneLine keeps what another server said within a field.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s[:min(len(s), 500)])
}
