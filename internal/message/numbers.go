package message

import (
	"crypto/sha256"
	"strings"
)

// numbers looks for addresses of crypto currencies and for telephone numbers.
func (d *Message) numbers(s string) {
	d.Work += len(s)
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '1' || c == '3' || c == 'b' || c == 'B':
			n := alnum(s[i:])
			if d.Words.Coin == "" && n >= 26 && n <= 74 && isCoin(s[i:i+n]) {
				d.Words.Coin = s[i : i+n]
			}
			if c != '1' && c != '3' || n > 3 {
				i += n
				continue
			}
			i += d.phone(s[i:])
		case c == '+' || c == '(' || c >= '0' && c <= '9':
			i += d.phone(s[i:])
		case plain[c] != 0:
			i += alnum(s[i:])
		default:
			i++
		}
	}
}

// alnum returns how many letters and digits s begins with.
func alnum(s string) int {
	n := 0
	for n < len(s) && plain[s[n]] != 0 {
		n++
	}
	return n
}

// phone reads a number with separators at the start of s and returns its
// length. Nine to thirteen digits in at least three groups, or behind "+", are
// taken for a telephone number; dates, times and versions have other marks.
func (d *Message) phone(s string) int {
	digits, groups, n, last := 0, 0, 0, -2
	for n < len(s) && n < 30 {
		c := s[n]
		if c >= '0' && c <= '9' {
			if last != n-1 {
				groups++
			}
			digits++
			last = n
		} else if c != ' ' && c != '-' && c != '(' && c != ')' && c != '.' && c != '+' || n > 0 && c == '+' {
			break
		} else if n-last > 2 && last >= 0 {
			break
		}
		n++
	}
	if s[0] == '+' && digits >= 9 && digits <= 13 || digits >= 10 && digits <= 12 && groups >= 3 && groups <= 6 {
		d.Words.Phones++
	}
	return max(n, 1)
}

// isCoin reports whether s is an address of Bitcoin with a right checksum:
// base58check of versions 0 and 5, or bech32 (BIP 173, BIP 350) under "bc".
func isCoin(s string) bool {
	if len(s) <= 35 && (s[0] == '1' || s[0] == '3') {
		return base58check(s)
	}
	return len(s) >= 42 && strings.EqualFold(s[:3], "bc1") && bech32(s)
}

const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// base58check decodes 25 bytes: version, 20 bytes of hash, 4 of checksum.
func base58check(s string) bool {
	var out [25]byte
	for i := range len(s) {
		carry := strings.IndexByte(base58, s[i])
		if carry < 0 {
			return false
		}
		for k := len(out) - 1; k >= 0; k-- {
			carry += int(out[k]) * 58
			out[k] = byte(carry)
			carry >>= 8
		}
		if carry != 0 {
			return false
		}
	}
	if out[0] != 0 && out[0] != 5 {
		return false
	}
	first := sha256.Sum256(out[:21])
	sum := sha256.Sum256(first[:])
	return string(sum[:4]) == string(out[21:])
}

const bech32Letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// bech32 checks the checksum over "bc" and the data, of either version.
func bech32(s string) bool {
	low := strings.ToLower(s)
	if low != s && strings.ToUpper(s) != s {
		return false
	}
	sum := uint32(1)
	step := func(v byte) {
		top := sum >> 25
		sum = (sum&0x1ffffff)<<5 ^ uint32(v)
		for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	for _, v := range []byte{'b' >> 5, 'c' >> 5, 0, 'b' & 31, 'c' & 31} {
		step(v)
	}
	for i := 3; i < len(low); i++ {
		v := strings.IndexByte(bech32Letters, low[i])
		if v < 0 {
			return false
		}
		step(byte(v))
	}
	return sum == 1 || sum == 0x2bc830a3
}
