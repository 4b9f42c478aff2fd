package keys

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// maxString is the length of one character-string (RFC 1035 §3.3.14).
const maxString = 255

// Strings returns Record in pieces of at most 255 octets.
func (k Key) Strings() []string {
	var out []string
	rec := k.Record()
	for len(rec) > maxString {
		out = append(out, rec[:maxString])
		rec = rec[maxString:]
	}
	return append(out, rec)
}

// zoneTTL is the TTL in Zone, in seconds.
const zoneTTL = 3600

// data is the record's data as a zone file has it.
func (k Key) data() string { return `"` + strings.Join(k.Strings(), `" "`) + `"` }

// Zone returns the record as one line of a zone file, with its line end.
func (k Key) Zone() string {
	return fmt.Sprintf("%s.\t%d\tIN\tTXT\t\t%s\n", k.Name(), zoneTTL, k.data())
}

// Line returns name and text in one line, without quotes, for a form on a web
// page that cuts long texts itself.
func (k Key) Line() string { return k.Name() + " TXT " + k.Record() + "\n" }

// Update returns commands for nsupdate(1) that put the record in the place of
// whatever TXT record is at its name; they end without "send".
func (k Key) Update() string {
	return fmt.Sprintf("update delete %s. TXT\nupdate add %s. %d TXT %s\n", k.Name(), k.Name(), zoneTTL, k.data())
}

// MarshalJSON writes what may be told of k: nothing of it is private.
func (k Key) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Domain    string    `json:"domain"`
		Selector  string    `json:"selector"`
		Algorithm Algorithm `json:"algorithm"`
		Bits      int       `json:"bits"`
		State     State     `json:"state"`
		Since     time.Time `json:"since,omitzero"`
		Path      string    `json:"path"`
		Name      string    `json:"name"`
		Record    string    `json:"record"`
		Strings   []string  `json:"strings"`
		Zone      string    `json:"zone"`
	}{k.Domain, k.Selector, k.Algorithm, k.Bits, k.State, k.Since, k.Path, k.Name(), k.Record(), k.Strings(), k.Zone()})
}
