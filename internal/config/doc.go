// Package config reads Gatepost's one YAML file strictly: a key that no
// setting has, a value of the wrong kind and a setting given twice are faults,
// and all faults are reported at once, each with file, line and column.
//
// It knows no setting. The structs of the daemons and parts, with their
// `yaml` tags, defaults and Validate methods, are the only place where a
// setting is written; cmd/gatepost puts them together.
//
// Left out on purpose: anchors, aliases, merge keys, tags and several
// documents in one file. A configuration that needs them is not clear, and
// aliases are how a small file becomes a large one.
package config
