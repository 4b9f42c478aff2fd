package firewall

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	tableName = "gatepost"
	chainName = "drop"
	// rules is how many the chain has: one for each set, and the first, which
	// lets pass what is not for this host.
	rules = 11
	// perMessage is how many ranges one netlink message carries: its length
	// has 16 bits. A transaction has any number of messages.
	perMessage = 250
	// buffer is what a transaction of MaxBans ranges may need in the kernel.
	buffer = 64 << 20
	// netlinkTime bounds one transaction.
	netlinkTime = 20 * time.Second
)

// table is our table in the kernel.
type table struct {
	// netns is the file of a network namespace, 0 for that of the process.
	netns int
}

// conn returns a connection that opens a socket for each transaction.
func (t table) conn() (*nftables.Conn, error) {
	return nftables.New(nftables.WithNetNSFd(t.netns), nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetWriteBuffer(buffer), c.SetReadBuffer(buffer), c.SetDeadline(time.Now().Add(netlinkTime)))
	}))
}

func ours() *nftables.Table {
	return &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}
}

func (s set) name() string {
	if s.v6 {
		return s.service + "_6"
	}
	return s.service + "_4"
}

func (s set) nft(t *nftables.Table) *nftables.Set {
	kind := nftables.TypeIPAddr
	if s.v6 {
		kind = nftables.TypeIP6Addr
	}
	return &nftables.Set{Table: t, Name: s.name(), KeyType: kind, Interval: true, HasTimeout: true, KeyByteOrder: binaryutil.BigEndian}
}

// load replaces the table by one that has these ranges, in one transaction.
func (t table) load(all map[set][]span, now time.Time) error {
	c, err := t.conn()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	own := c.AddTable(ours()) // so that there is one to delete
	c.DelTable(own)
	own = c.AddTable(ours())
	chain := c.AddChain(&nftables.Chain{
		Name: chainName, Table: own, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw,
	})
	c.AddRule(&nftables.Rule{Table: own, Chain: chain, Exprs: notForUs()})
	for _, s := range sets() {
		n := s.nft(own)
		if err := c.AddSet(n, nil); err != nil {
			return fmt.Errorf("nftables: set %s: %w", n.Name, err)
		}
		if err := add(c, n, all[s], now); err != nil {
			return err
		}
		if err := rule(c, own, chain, s, n); err != nil {
			return err
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("nftables: load the table: %w", err)
	}
	return nil
}

// apply makes changes in one transaction. Each may fail where the kernel's
// clock was faster than ours; load mends that.
func (t table) apply(changes []change, now time.Time) error {
	c, err := t.conn()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	own := ours()
	for _, ch := range changes {
		n := ch.set.nft(own)
		if len(ch.del) > 0 {
			if err := c.SetDeleteElements(n, elements(ch.del, time.Time{})); err != nil {
				return fmt.Errorf("nftables: set %s: %w", n.Name, err)
			}
		}
		if err := add(c, n, ch.add, now); err != nil {
			return err
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	return nil
}

// add puts ranges into a set, in messages that are short enough.
func add(c *nftables.Conn, n *nftables.Set, spans []span, now time.Time) error {
	for len(spans) > 0 {
		k := min(len(spans), perMessage)
		if err := c.SetAddElements(n, elements(spans[:k], now)); err != nil {
			return fmt.Errorf("nftables: set %s: %w", n.Name, err)
		}
		spans = spans[k:]
	}
	return nil
}

// elements writes ranges as the kernel wants them: the first address, and as an
// end the one behind the last. A zero now leaves the life time away.
func elements(spans []span, now time.Time) []nftables.SetElement {
	var out []nftables.SetElement
	for _, s := range spans {
		start := nftables.SetElement{Key: s.first.AsSlice()}
		if !now.IsZero() {
			start.Timeout = max(s.end.Sub(now), time.Millisecond)
		}
		out = append(out, start)
		if end := s.last.Next(); end.IsValid() {
			out = append(out, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return out
}

// whole reports whether the kernel has our table with all that belongs to it.
func (t table) whole() (bool, error) {
	c, err := t.conn()
	if err != nil {
		return false, fmt.Errorf("nftables: %w", err)
	}
	own := ours()
	all, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("nftables: list tables: %w", err)
	}
	there := false
	for _, one := range all {
		there = there || one.Name == tableName
	}
	if !there {
		return false, nil
	}
	have, err := c.GetRules(own, &nftables.Chain{Name: chainName})
	if gone(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("nftables: list rules: %w", err)
	}
	return len(have) == rules, nil
}

// gone reports whether err says that something is not there.
func gone(err error) bool { return errors.Is(err, unix.ENOENT) }

// remove deletes the table.
func (t table) remove() error {
	c, err := t.conn()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	c.DelTable(c.AddTable(ours()))
	if err := c.Flush(); err != nil {
		return fmt.Errorf("nftables: delete the table: %w", err)
	}
	return nil
}

// list returns what the kernel holds.
func (t table) list() ([]Range, error) {
	c, err := t.conn()
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	var out []Range
	for _, s := range sets() {
		got, err := c.GetSetElements(s.nft(ours()))
		if gone(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("nftables: set %s: %w", s.name(), err)
		}
		out = append(out, rangesOf(s, got)...)
	}
	return out, nil
}

// rangesOf reads the elements of a set, which come in any order.
func rangesOf(s set, got []nftables.SetElement) []Range {
	var starts []start
	var ends []netip.Addr
	for _, e := range got {
		a, ok := netip.AddrFromSlice(e.Key)
		switch {
		case !ok:
		case e.IntervalEnd:
			ends = append(ends, a)
		default:
			starts = append(starts, start{a, e.Expires})
		}
	}
	return pair(s, starts, ends)
}

// notForUs lets pass what is not for an address of this host.
func notForUs() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// rule drops what comes from a set to the ports of its service.
func rule(c *nftables.Conn, own *nftables.Table, chain *nftables.Chain, s set, n *nftables.Set) error {
	services := &nftables.Set{Table: own, Anonymous: true, Constant: true, KeyType: nftables.TypeInetService}
	var keys []nftables.SetElement
	for _, p := range Ports(s.service) {
		keys = append(keys, nftables.SetElement{Key: binaryutil.BigEndian.PutUint16(p)})
	}
	if err := c.AddSet(services, keys); err != nil {
		return fmt.Errorf("nftables: ports of %s: %w", s.service, err)
	}
	family, offset, length := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4) // RFC 791 §3.1
	if s.v6 {
		family, offset, length = unix.NFPROTO_IPV6, 8, 16 // RFC 8200 §3
	}
	c.AddRule(&nftables.Rule{Table: own, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: 1, SetName: services.Name, SetID: services.ID},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Lookup{SourceRegister: 1, SetName: n.Name, SetID: n.ID},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	return nil
}

// denied reports whether the helper lacks its capability.
func denied(err error) bool {
	return err != nil && (errors.Is(err, unix.EPERM) || strings.Contains(err.Error(), "operation not permitted"))
}
