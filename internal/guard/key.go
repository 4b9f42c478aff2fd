package guard

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"net/netip"
)

// keys turn names and passwords into numbers. They live as long as the process,
// and none of them is ever written.
type keys struct {
	seed   maphash.Seed
	secret [16]byte
}

func newKeys() keys {
	k := keys{seed: maphash.MakeSeed()}
	_, _ = rand.Read(k.secret[:]) // it never returns an error
	return k
}

// view is an attempt in numbers.
type view struct {
	addr netip.Addr
	// host and wide are networks, single is an address of IPv6, else 0.
	host, wide, single uint64
	account, pair      uint64
	blameless          bool
	// password is 0 where no password was seen; global says that it tells
	// passwords of different accounts apart, too.
	password uint64
	global   bool
}

// hostKey numbers the network that one customer holds: IPv4 addresses take the
// place of multicast, which is never a client.
func hostKey(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return 0xff20<<48 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8])
}

// wideKey numbers the IPv4 /24 or the IPv6 /48. It has a table of its own.
func wideKey(host uint64) uint64 {
	if host>>48 == 0xff20 {
		return host &^ 0xff
	}
	return host &^ 0xffff
}

// networkOf returns the network that hostKey numbered.
func networkOf(host uint64) netip.Prefix {
	if host>>48 == 0xff20 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(host))
		return netip.PrefixFrom(netip.AddrFrom4(b), 32)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], host)
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}

// wideNetwork returns the network of wideKey.
func wideNetwork(wide uint64) netip.Prefix {
	p := networkOf(wide)
	bits := 48
	if p.Addr().Is4() {
		bits = 24
	}
	return netip.PrefixFrom(p.Addr(), bits)
}

// pairKey numbers a pair of network and account.
func (k *keys) pairKey(host, account uint64) uint64 {
	return maphash.Comparable(k.seed, [2]uint64{host, account})
}

func (k *keys) accountKey(user string) uint64 { return maphash.String(k.seed, user) }

// view returns a as numbers. The password is hashed with a key, and 64 bits of
// that are kept.
func (k *keys) view(c *Config, a *Attempt) view {
	v := k.place(c, a.Addr)
	v.blameless = v.blameless || a.Trusted
	v.account = k.accountKey(a.User)
	v.pair = k.pairKey(v.host, v.account)
	pw := a.Password.Reveal()
	switch {
	case len(pw) > 0:
		v.password, v.global = k.sum('p', pw), true
	case a.PasswordHash != "":
		v.password = k.sum('h', []byte(a.PasswordHash))
	}
	return v
}

// place returns what an address alone says.
func (k *keys) place(c *Config, addr netip.Addr) view {
	v := view{addr: addr.Unmap().WithZone("")}
	if !v.addr.IsValid() {
		return v
	}
	v.host = hostKey(v.addr)
	v.wide = wideKey(v.host)
	if v.addr.Is6() {
		v.single = maphash.Comparable(k.seed, v.addr) | 0xff7f<<48
	}
	v.blameless = c.blameless(v.addr) != ""
	return v
}

// sum is never 0.
func (k *keys) sum(kind byte, text []byte) uint64 {
	var room [128]byte
	b := append(room[:0], k.secret[:]...)
	b = append(b, kind)
	b = append(b, text...)
	h := sha256.Sum256(b)
	clear(b)
	return binary.BigEndian.Uint64(h[:8]) | 1
}

// mark is what a journal may show of a password: enough to tell a few dozen
// apart, too little to test one.
func mark(password uint64) string {
	if password == 0 {
		return ""
	}
	return hex.EncodeToString([]byte{byte(password >> 56), byte(password >> 48)})
}
