// Package examples holds the sample configuration that "gatepost config init"
// prints: the file that is tested is the file that is given out.
package examples

import _ "embed"

// Config is gatepost.yaml, with every setting at its default.
//
//go:embed gatepost.yaml
var Config []byte
