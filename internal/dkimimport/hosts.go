package dkimimport

import (
	"net/netip"
	"strings"
)

// hosts reads InternalHosts: whose mail is signed. OpenDKIM's default is
// 127.0.0.1.
func (r *conf) hosts() {
	plan := &r.source.plan
	p, ok := r.values["internalhosts"]
	if !ok {
		plan.Local = true
		return
	}
	set, ok := r.dataset(p)
	if !ok {
		return
	}
	for _, e := range set.rows {
		plan.host(e)
	}
}

// host carries one entry of a list of hosts.
func (p *Plan) host(e row) {
	const submission = "let the host log in, or name its network in milter.submission_networks"
	switch n, ok := network(e.key); {
	case strings.HasPrefix(e.key, "!"):
		p.note(e.at, e.key, "a network cannot be taken out of another", "name the networks that may send in milter.submission_networks")
	case strings.EqualFold(e.key, "localhost"), ok && n.Addr().IsLoopback():
		p.Local = true
	case !ok:
		p.note(e.at, e.key, "Gatepost trusts no name that a client's DNS says", submission)
	case n.Bits() == 0:
		p.note(e.at, e.key, "every host of the internet could send as your domains", submission)
	default:
		p.Networks = append(p.Networks, n)
	}
}

// network reads an address or a network, with or without brackets.
func network(s string) (netip.Prefix, bool) {
	addr, bits, sized := strings.Cut(s, "/")
	addr = strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")
	if sized {
		n, err := netip.ParsePrefix(addr + "/" + bits)
		return n.Masked(), err == nil
	}
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.Prefix{}, false
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), true
}
