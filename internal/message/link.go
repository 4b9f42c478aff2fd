package message

import (
	"strings"

	"github.com/gatepost/gatepost/internal/link"
)

// MaxAddresses bounds the addresses of a message's text.
const MaxAddresses = 100

// link takes in l and reports whether there was room.
func (d *Message) link(l Link) bool {
	switch {
	case l.URL == "":
		return false
	case len(d.Links) == MaxLinks:
		d.partly("more than 500 links")
		return false
	}
	u, ok := link.Parse(l.URL)
	if !ok && strings.HasPrefix(l.URL, "//") {
		u = link.ParseHost(l.URL)
	}
	l.To = u
	if u.Scheme == "mailto" && u.Host != "" {
		d.address(u.User + "@" + u.Host)
	}
	d.Links = append(d.Links, l)
	return true
}

// findLinks takes in the links and addresses that stand in s.
func (d *Message) findLinks(s string) {
	if len(d.Links) == MaxLinks && len(d.Addresses) == MaxAddresses {
		return
	}
	var room [8]link.Found
	found, work := link.Find(room[:0], s, MaxLinks+MaxAddresses)
	d.Work += work
	for _, f := range found {
		u := f.URL(s)
		switch {
		case f.Kind == link.Mailbox:
			if u.Host != "" {
				d.address(u.User + "@" + u.Host)
			}
		case u.Host == "" && u.Scheme != "file":
		case len(d.Links) == MaxLinks:
			d.partly("more than 500 links")
			return
		default:
			d.Links = append(d.Links, Link{URL: s[f.Start:f.End], To: u, Kind: Plain})
		}
	}
}

func (d *Message) address(a string) {
	if len(d.Addresses) == MaxAddresses || len(a) > 320 {
		return
	}
	for _, have := range d.Addresses {
		if have == a {
			return
		}
	}
	d.Addresses = append(d.Addresses, a)
}
