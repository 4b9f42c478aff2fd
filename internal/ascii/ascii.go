// Package ascii has what the standard library has for runes and not for bytes.
package ascii

// Unhex returns the value of a hexadecimal digit in either case, -1 for any
// other byte.
func Unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// Only reports whether s has no byte above 0x7f.
func Only[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
