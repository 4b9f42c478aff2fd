//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"

	"github.com/gatepost/gatepost/internal/journal"
)

const (
	day = 24 * 3600
	gb  = 1e9
)

// plan is an installation on paper. Each field is an assumption and a flag.
type plan struct {
	hosts, mailboxes, messages float64
	peak                       float64
	out, spam, early, waits    float64
	logins, first, learns      float64
	pairs, devices             float64
	cores, memory, link        float64
	replicas, masters          float64
}

// assumption is a flag of the plan.
type assumption struct {
	to       *float64
	name     string
	usual    float64
	says     string
	atLeast  float64
	fraction bool
}

func (p *plan) assumptions() []assumption {
	return []assumption{
		{&p.hosts, "hosts", 10, "mail hosts, each with Postfix and Gatepost", 1, false},
		{&p.mailboxes, "mailboxes", 1e6, "mailboxes", 1, false},
		{&p.messages, "messages", 1e8, "messages a day that are offered or submitted", 1, false},
		{&p.peak, "peak", 3, "how many times the average the busiest minute has", 1, false},
		{&p.out, "out", 0.15, "share of the messages that users submit", 0, true},
		{&p.spam, "spam", 0.5, "share of the others that are spam", 0, true},
		{&p.early, "early", 0.6, "share of the spam that is turned away before its text", 0, true},
		{&p.waits, "waits", 0.2, "share of those that are greylisted; the others name no mailbox", 0, true},
		{&p.logins, "logins", 4, "logins of a mailbox in an hour, all services", 0, false},
		{&p.first, "first", 0.02, "share of logins whose password the host has not verified yet", 0, true},
		{&p.learns, "learns", 0.02, "messages that a mailbox files as spam or not, a day", 0, false},
		{&p.pairs, "pairs", 100, "people whom a mailbox has mail from, and writes to", 0, false},
		{&p.devices, "devices", 4, "networks that a mailbox logs in from", 0, false},
		{&p.cores, "cores", 8, "processors of a mail host, each as fast as one here", 1, false},
		{&p.memory, "redis-memory", 64, "GB of memory of a Redis server", 1, false},
		{&p.masters, "redis-masters", 1, "Redis masters; above 1 it is a Cluster", 1, false},
		{&p.replicas, "replicas", 2, "MariaDB servers that answer look-ups", 1, false},
		{&p.link, "link", 1, "Gbit/s of the network at each server", 0.01, false},
	}
}

func (p *plan) flags(f *flag.FlagSet) {
	for _, a := range p.assumptions() {
		f.Float64Var(a.to, a.name, a.usual, a.says)
	}
}

// validate reports all faults.
func (p *plan) validate() error {
	var errs []error
	for _, a := range p.assumptions() {
		switch {
		case a.fraction && (*a.to < 0 || *a.to > 1):
			errs = append(errs, fmt.Errorf("-%s: %v is not between 0 and 1", a.name, *a.to))
		case *a.to < a.atLeast || *a.to > 1e15 || *a.to != *a.to:
			errs = append(errs, fmt.Errorf("-%s: %v is not at least %v", a.name, *a.to, a.atLeast))
		}
	}
	return errors.Join(errs...)
}

// perSecond returns how many of each kind an average second has.
func (p *plan) perSecond() (r [numKinds]float64) {
	in := p.messages * (1 - p.out)
	spam := in * p.spam
	early := spam * p.early
	logins := p.mailboxes * p.logins * 24
	for k, perDay := range [numKinds]float64{
		kindAccepted: in - spam, kindRefused: spam - early, kindWaits: early * p.waits, kindUnknown: early * (1 - p.waits),
		kindFirstLogin: logins * p.first, kindLogin: logins * (1 - p.first), kindSent: p.messages * p.out,
		kindLearn: p.mailboxes * p.learns,
	} {
		r[k] = perDay / day
	}
	return r
}

// load returns what all hosts ask in a second that is times the average one.
// Each host performs every learn, and each asks what it asks when it is idle.
func (p *plan) load(m *measured, times float64) (sum counts) {
	for k, n := range p.perSecond() {
		c := m.Kinds[k].times(n * times)
		if k == kindLearn {
			c.gatepost *= p.hosts
		}
		sum = sum.plus(c)
	}
	return sum.plus(m.Idle.times(p.hosts))
}

// row is a table in Redis.
type row struct {
	table             string
	rows, bytes, days float64
}

// rows returns what lies in Redis, by table. A row that is written again for
// the same user, author or domain is one.
func (p *plan) rows(m *measured) (all []row) {
	most := map[string]float64{
		"counter": p.mailboxes * m.Rows[kindSent]["counter"], "author": p.mailboxes * p.pairs, pairs: p.mailboxes * p.pairs, habits: p.mailboxes,
		"login": p.mailboxes * p.devices, "reputation": maxDomains, "stream": streamEvents,
	}
	for _, t := range tables {
		var perSecond float64
		for k, n := range p.perSecond() {
			perSecond += n * m.Rows[k][t]
			if t == "stream" && k == kindLearn {
				perSecond = n
			}
		}
		r := row{table: t, bytes: m.RowBytes[t], days: m.Life[t].Seconds() / day}
		r.rows = perSecond * m.Life[t].Seconds()
		if top, ok := most[t]; ok {
			r.rows = min(r.rows, top)
		}
		if r.rows > 0 {
			all = append(all, r)
		}
	}
	return all
}

// The tables in Redis that messages and logins leave rows in.
var tables = []string{messageIDs, pairs, queueIDs, habits, "delivery", "author", "seen", "login", "reputation", "limit", "counter", "sieve", "stream"}

const (
	// maxDomains is how many domains and networks have a reputation.
	maxDomains = 1e6
	// streamEvents is how many learns Redis keeps for hosts that are away.
	streamEvents = 100_000
	// memoryShare is how much of a Redis server's memory rows may take: it needs
	// room to write its file anew.
	memoryShare = 0.5
)

// part is something that can give way.
type part struct {
	name, shard string
	need, has   float64
	unit        string
}

// headroom is how many times the load it would bear.
func (p part) headroom() float64 { return p.has / max(p.need, 1e-9) }

// parts returns what can give way. With a Cluster all but the limits and the
// bans is divided; each of those two is in one slot.
func (p *plan) parts(m *measured) []part {
	peak, usual := p.load(m, p.peak), p.load(m, 1)
	var memory float64
	for _, r := range p.rows(m) {
		memory += r.rows * r.bytes
	}
	keep := float64(journal.Default().Bytes) / max(usual.journalBytes/p.hosts*3600, 1e-9)
	busy := peak.limits/m.TakeAll + peak.hot/m.SetGet + (peak.bans+peak.stream+peak.others)/p.masters/m.SetGet
	link := p.link * 1e9 / 8
	return []part{
		{"Redis: memory", "by key", memory / gb, p.memory * memoryShare * p.masters, "GB"},
		{"Redis: the master of the limits", "not the limits", busy, 1, "of a processor"},
		{"Redis: network", "by key", peak.redisBytes / p.masters / 1e6, link / 1e6, "MB/s"},
		{"MariaDB: look-ups", "by replicas", (peak.selects + peak.changes) / p.replicas, m.Select, "/s each"},
		{"MariaDB: network", "by replicas", peak.mariaBytes / p.replicas / 1e6, link / 1e6, "MB/s each"},
		{"host: processors", "by host", (peak.gatepost + peak.postfix) / p.hosts, p.cores, "processors"},
		{"host: what the journal holds", "by host", 24, keep, "hours"},
		{"Redis: what the learn stream holds", "not", 1, streamEvents / max(p.mailboxes*p.learns, 1e-9), "days"},
	}
}
