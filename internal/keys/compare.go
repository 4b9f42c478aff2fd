package keys

import (
	"bytes"
	"context"
	"encoding/base64"
	"strings"
)

// txtResolver is what Test needs of DNS (package resolver).
type txtResolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Report is what DNS says about a key.
type Report struct {
	// OK says that the DNS has what the key's state needs: for a key that signs
	// or has signed, that verifiers find it and accept what it signed.
	OK bool `json:"ok"`
	// Revoked says that the record is to hold no key any more.
	Revoked bool `json:"revoked,omitempty"`
	// Name is what was asked for.
	Name string `json:"name"`
	// Records are the TXT records there.
	Records []string `json:"records"`
	// Problem says what is wrong when OK is false.
	Problem string `json:"problem,omitempty"`
	// Note is something worth knowing that does not break signatures.
	Note string `json:"note,omitempty"`
}

// Test compares the published record of k with its private key; one of a revoked
// key must not be good any more. The error is temporary: DNS gave no answer.
func Test(ctx context.Context, res txtResolver, k Key) (Report, error) {
	r := Report{Name: k.Name(), Revoked: k.State == Revoked}
	txt, err := res.LookupTXT(ctx, k.Name())
	if err != nil {
		return r, err
	}
	r.Records = txt
	switch {
	case k.State == Revoked:
		if !revoked(txt) {
			r.Problem = "the key is revoked here, but its record still has p="
		}
	case len(txt) == 0:
		r.Problem = "no TXT record is published"
	case len(txt) == 1:
		r.Problem, r.Note = compare(k, txt[0])
	default:
		r.Problem = "more than one TXT record is published: verifiers may take any or none of them"
	}
	r.OK = r.Problem == ""
	return r, nil
}

// revoked reports whether no record holds a key.
func revoked(records []string) bool {
	for _, rec := range records {
		if tags, ok := parseTags(rec); ok && tags["p"] != "" {
			return false
		}
	}
	return true
}

// compare says what is wrong with record for k, and what is odd.
func compare(k Key, record string) (problem, note string) {
	tags, ok := parseTags(record)
	if !ok {
		return "the record is not a list of tag=value with \";\" between", ""
	}
	if v, ok := tags["v"]; ok && v != "DKIM1" {
		return "the record has v=" + v + ", not v=DKIM1", ""
	}
	kind := tags["k"]
	if kind == "" {
		kind = "rsa"
	}
	p, there := tags["p"]
	switch {
	case kind != string(k.Algorithm):
		return "the record is for k=" + kind + ", the private key is " + string(k.Algorithm), ""
	case !there:
		return "the record has no p=", ""
	case p == "":
		return "the key is revoked: p= is empty", ""
	}
	der, err := base64.StdEncoding.DecodeString(strip(p))
	if err != nil {
		return "p= is not base64: a part of the record may be missing", ""
	}
	if !bytes.Equal(der, k.public()) {
		return "p= is the public key of another private key", ""
	}
	if h, ok := tags["h"]; ok && !has(h, "sha256") {
		return "h= does not allow sha256", ""
	}
	if s, ok := tags["s"]; ok && !has(s, "email") && !has(s, "*") {
		return "s= does not allow email", ""
	}
	if t := tags["t"]; has(t, "y") {
		note = "t=y says that the domain only tests DKIM"
	}
	return "", note
}

// parseTags reads a tag-list (RFC 6376 §3.2). A tag that comes twice spoils
// it.
func parseTags(s string) (map[string]string, bool) {
	tags := make(map[string]string)
	for part := range strings.SplitSeq(s, ";") {
		name, v, ok := strings.Cut(part, "=")
		name = strings.Trim(name, wsp)
		if !ok {
			if name == "" {
				continue
			}
			return nil, false
		}
		if _, twice := tags[name]; twice || name == "" {
			return nil, false
		}
		tags[name] = strings.Trim(v, wsp)
	}
	return tags, true
}

// wsp is folding white space.
const wsp = " \t\r\n"

// has reports whether the colon-separated list holds word.
func has(list, word string) bool {
	for w := range strings.SplitSeq(list, ":") {
		if strings.Trim(w, wsp) == word {
			return true
		}
	}
	return false
}

// strip removes white space.
func strip(s string) string { return strings.Join(strings.Fields(s), "") }
