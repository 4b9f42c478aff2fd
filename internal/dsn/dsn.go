// Package dsn reads delivery status notifications (RFC 3464): which recipients
// of which message failed for good.
//
// Whoever asks decides what to believe: anybody can write a notification. Only
// multipart/report is read; the free texts of old servers say nothing for sure.
package dsn

import (
	"strings"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// Bounds of a report.
const (
	// MaxRcpts bounds the recipients; what comes behind them is left out.
	MaxRcpts = 1000

	maxStatusBytes = 1 << 20
	maxHeaderBytes = 256 << 10
	maxIDBytes     = 500
)

// Report is what a notification says.
type Report struct {
	// MessageID is that of the returned message, with angle brackets, "" when
	// its header is not there.
	MessageID string
	// QueueID is by which the reporting Postfix knew the message
	// (X-Postfix-Queue-ID), "" for others.
	QueueID string
	// Failed are the recipients with Action: failed and a status of class 5, by
	// Original-Recipient and by Final-Recipient where they differ.
	Failed []mailaddr.Address
}

// Parse returns what m says. It is false for what is no notification, and for
// one without any recipient that failed for good.
func Parse(m *rawmsg.Message) (Report, bool) {
	root := m.Root
	if !root.Is("multipart", "report") || !strings.EqualFold(root.Params["report-type"], "delivery-status") {
		return Report{}, false
	}
	var r Report
	for _, p := range root.Children {
		switch {
		case p.Is("message", "delivery-status"), p.Is("message", "global-delivery-status"):
			r.status(cut(m.Bytes(p.Body), maxStatusBytes))
		case p.Is("message", "rfc822"), p.Is("text", "rfc822-headers"), p.Is("message", "global"), p.Is("message", "global-headers"):
			r.returned(cut(m.Bytes(p.Body), maxHeaderBytes))
		}
	}
	return r, len(r.Failed) > 0
}

func cut(b []byte, most int) []byte { return b[:min(len(b), most)] }

// returned finds the Message-ID in a header.
func (r *Report) returned(b []byte) {
	if r.MessageID != "" {
		return
	}
	head := rawmsg.Scan(b, rawmsg.Default())
	if id, ok := head.First("Message-ID"); ok {
		if id = strings.TrimSpace(id); len(id) <= maxIDBytes {
			r.MessageID = id
		}
	}
}

// status reads groups of fields with blank lines between them: the first is
// about the message, each other about a recipient (RFC 3464 §2.1).
func (r *Report) status(b []byte) {
	group := map[string]string{}
	last := ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "":
			r.group(group)
			group, last = map[string]string{}, ""
		case line[0] == ' ' || line[0] == '\t':
			if last != "" && len(group[last]) < maxIDBytes {
				group[last] = strings.TrimSpace(group[last] + " " + strings.TrimSpace(line))
			}
		default:
			name, value, ok := strings.Cut(line, ":")
			if last = ""; ok {
				last = strings.ToLower(strings.TrimSpace(name))
				group[last] = strings.TrimSpace(value)
			}
		}
	}
	r.group(group)
}

func (r *Report) group(g map[string]string) {
	if id := g["x-postfix-queue-id"]; id != "" && r.QueueID == "" && len(id) <= maxIDBytes {
		r.QueueID = id
	}
	if !strings.EqualFold(g["action"], "failed") || !strings.HasPrefix(g["status"], "5.") {
		return
	}
	var seen mailaddr.Address
	for _, name := range []string{"original-recipient", "final-recipient"} {
		a, ok := recipient(g[name])
		if !ok || a == seen || len(r.Failed) >= MaxRcpts {
			continue
		}
		seen = a
		r.Failed = append(r.Failed, a)
	}
}

// recipient reads "rfc822; user@example.org" (RFC 3464 §2.3.1). xtext in it is
// not undone: such an address matches nobody.
func recipient(s string) (mailaddr.Address, bool) {
	kind, value, ok := strings.Cut(s, ";")
	if kind = strings.ToLower(strings.TrimSpace(kind)); !ok || kind != "rfc822" && kind != "utf-8" {
		return mailaddr.Address{}, false
	}
	value = strings.TrimSpace(value)
	a, err := mailaddr.Parse(strings.Trim(value, "<>"))
	if err != nil || a.Domain == "" {
		return mailaddr.Address{}, false
	}
	return a.Folded(), true
}
