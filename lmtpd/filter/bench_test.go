package filter

import (
	"fmt"
	"strings"
	"testing"
)

// fiftyRules is a script as mail programs write it.
func fiftyRules() string {
	var b strings.Builder
	b.WriteString("require [\"fileinto\", \"imap4flags\", \"regex\", \"variables\"];\n")
	for i := range 10 {
		fmt.Fprintf(&b, "# rule:[list %d]\nif header :contains \"List-Id\" \"<list%d.example.com>\" { fileinto \"Lists.l%d\"; stop; }\n", i, i, i)
		fmt.Fprintf(&b, "if address :is :all \"from\" [\"friend%d@example.com\", \"friend%d@example.org\"] { addflag \"\\\\Flagged\"; fileinto \"Friends\"; }\n", i, i)
		fmt.Fprintf(&b, "if anyof (header :matches \"Subject\" \"[ticket%d-*] *\", header :contains [\"to\", \"cc\"] \"box%d@\") { fileinto \"Tickets.${1}\"; stop; }\n", i, i)
		fmt.Fprintf(&b, "if allof (header :contains \"subject\" \"invoice %d\", not size :over 2M) { fileinto \"Invoices\"; }\n", i)
		fmt.Fprintf(&b, "if header :regex \"subject\" \"^(re|fwd?): .*project-%d\" { fileinto \"Projects.p%d\"; stop; }\n", i, i)
	}
	return b.String()
}

// BenchmarkFilter50Rules is all that scripts add to a delivery: the user's script
// is found, the message read, and the last rule reached.
func BenchmarkFilter50Rules(b *testing.B) {
	for _, size := range []int{4 << 10, 36 << 10} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			w := newWorld(b, nil)
			w.script(fiftyRules())
			raw := strings.Replace(plain, "Subject:", "List-Id: <weekly.example.org>\r\nCc: a@example.com, b@example.com\r\nSubject:", 1)
			raw += strings.Repeat("Some line of text as people write it.\r\n", (size-len(raw))/39)
			m := w.message(raw, 1)
			b.ReportAllocs()
			for b.Loop() {
				if p := w.deliver(m); len(p.Copies) != 1 || p.Err != nil {
					b.Fatalf("%s, %v", shown(p), p.Err)
				}
			}
		})
	}
}
