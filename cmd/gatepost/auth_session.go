package main

import (
	"net/netip"
	"strings"

	"github.com/gatepost/gatepost/internal/header"
	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

// sender is who handed a message over, as far as it is known.
type sender struct {
	// Addr is the zero Addr when it is not known.
	Addr netip.Addr
	Helo string
	// MailFrom is the null reverse-path, or not known, when it is zero.
	MailFrom mailaddr.Address
	// FromKnown says that MailFrom is known.
	FromKnown bool
	// Notes say what was not given and where it was taken from.
	Notes []string
}

func (s *sender) note(text string) { s.Notes = append(s.Notes, text) }

// senderOf returns who sent m by the options, and where they are silent by the
// fields on top of m.
func senderOf(f *senderFlags, m *rawmsg.Message) (sender, error) {
	var s sender
	var err error
	if s.Addr, err = f.addr(); err != nil {
		return s, err
	}
	if s.MailFrom, s.FromKnown, err = f.mailFrom(); err != nil {
		return s, err
	}
	s.Helo = f.helo
	s.fromReceived(m, !f.changed("ip"), !f.changed("helo"))
	s.fromReturnPath(m)
	return s, nil
}

// fromReceived takes the client's address and its HELO from the topmost
// Received. It is the one that the server wrote which took the message; those
// below may be anyone's.
func (s *sender) fromReceived(m *rawmsg.Message, addr, helo bool) {
	if !addr && !helo {
		return
	}
	r, ok := topReceived(m)
	switch {
	case addr && ok:
		s.Addr = r.Addr
		s.note("--ip is missing: the client's address is that of the topmost Received")
	case addr:
		s.note("--ip is missing, and the topmost Received has no client address: iprev and SPF are left out")
	}
	switch {
	case helo && ok && r.Helo != "":
		s.Helo = r.Helo
		s.note("--helo is missing: the name is that of the topmost Received")
	case helo && s.Addr.IsValid():
		s.note("--helo is missing: the HELO name is taken for empty")
	}
}

// fromReturnPath takes MAIL FROM from the topmost Return-Path.
func (s *sender) fromReturnPath(m *rawmsg.Message) {
	if s.FromKnown {
		return
	}
	value, ok := m.First("Return-Path")
	if !ok {
		s.note("--from is missing, and so is Return-Path: iprev and SPF are left out")
		return
	}
	from, err := mailaddr.ParsePath(strings.Trim(value, " \t"))
	if err != nil {
		s.note("--from is missing, and Return-Path cannot be read: iprev and SPF are left out")
		return
	}
	s.MailFrom, s.FromKnown = from, true
	s.note("--from is missing: MAIL FROM is that of Return-Path")
}

// received is what a Received field says of the client.
type received struct {
	Addr netip.Addr
	Helo string
}

// topReceived reads the topmost Received, past those of a delivery over LMTP.
func topReceived(m *rawmsg.Message) (received, bool) {
	for i := range m.Fields {
		f := &m.Fields[i]
		if !f.Is("Received") {
			continue
		}
		r, lmtp := parseReceived(header.Unfold(f.Value))
		if r.Addr.IsValid() || !lmtp {
			return r, r.Addr.IsValid()
		}
	}
	return received{}, false
}

// parseReceived reads what Postfix writes: "from HELO (NAME [ADDRESS]) by …
// with ESMTP id …". Nothing else has to be there.
func parseReceived(v string) (r received, lmtp bool) {
	words := strings.Fields(v)
	for i := range len(words) - 1 {
		if words[i] == "with" && strings.HasPrefix(words[i+1], "LMTP") {
			lmtp = true
		}
	}
	if len(words) < 2 || words[0] != "from" {
		return r, lmtp
	}
	r.Helo = words[1]
	_, rest, ok := strings.Cut(v, "(")
	// The address stands in the first comment, which holds no other.
	rest, _, closed := strings.Cut(rest, ")")
	open := strings.LastIndexByte(rest, '[')
	end := strings.LastIndexByte(rest, ']')
	if !ok || !closed || open < 0 || end < open {
		return r, lmtp
	}
	text := rest[open+1 : end]
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		r.Addr = addr.Unmap().WithZone("")
	}
	return r, lmtp
}
