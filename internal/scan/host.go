package scan

import "github.com/gatepost/gatepost/internal/link"

// sameOrganization reports whether two hosts are under one registered domain.
func sameOrganization(a, b string) bool { return link.Same(a, b) }

// clip returns at most n bytes of s, whole characters.
func clip(s string, n int) string { return link.Clip(s, n) }
