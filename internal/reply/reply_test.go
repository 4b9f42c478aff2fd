package reply

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailerr"
)

func TestNew(t *testing.T) {
	for _, tc := range []struct {
		name         string
		code         int
		detail, text string
		want         string // "" for a refusal
	}{
		{"transient", 450, "7.1", "try later", "450 4.7.1 try later"},
		{"permanent", 550, "1.1", "no such user", "550 5.1.1 no such user"},
		{"success", 250, "0.0", "delivered", "250 2.0.0 delivered"},
		{"full enhanced code in detail", 450, "4.7.1", "x", ""},
		{"CR LF", 450, "7.1", "a\r\n250 ok", ""},
		{"bare LF", 450, "7.1", "a\nb", ""},
		{"NUL", 450, "7.1", "a\x00", ""},
		{"not UTF-8", 450, "7.1", "\xff", ""},
		{"too long", 450, "7.1", strings.Repeat("x", MaxTextBytes+1), ""},
		{"empty", 450, "7.1", "", ""},
		{"3yz", 354, "0.0", "go on", ""},
		{"code of two digits", 45, "7.1", "x", ""},
		{"detail of letters", 450, "a.b", "x", ""},
		{"detail of four digits", 450, "1234.1", "x", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := New(tc.code, tc.detail, tc.text)
			if (err != nil) != (tc.want == "") || r.String() != tc.want {
				t.Errorf("New(%d, %q, %q) = %q, %v, want %q", tc.code, tc.detail, tc.text, r, err, tc.want)
			}
		})
	}
	if got := Must(554, "17.123", "x").EnhancedCode(); got != [3]int{5, 17, 123} {
		t.Errorf("EnhancedCode() = %v, want [5 17 123]", got)
	}
}

func TestFromError(t *testing.T) {
	cause := errors.New("open /var/vmail/x: permission denied")
	full := WithError(DiskFull, cause)
	for _, tc := range []struct {
		name string
		err  error
		want Reply
	}{
		{"plain error", cause, Broken},
		{"permanent", mailerr.With(mailerr.Permanent, cause), Refused},
		{"carries a reply", full, DiskFull},
		{"wrapped", fmt.Errorf("deliver: %w", full), DiskFull},
		{"classed anew outside", mailerr.With(mailerr.Permanent, full), Refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := FromError(tc.err); got != tc.want {
				t.Errorf("FromError(%v) = %v, want %v", tc.err, got, tc.want)
			}
		})
	}
}
