// Package hostile builds the messages that make MIME libraries slow or large,
// for tests of whatever reads messages.
package hostile

import (
	"bytes"
	"fmt"
	"strings"
)

// Names returns the names that Message knows.
func Names() []string {
	return []string{
		"nested 1000", "nested 5000", "nested 20000", "100000 tiny parts", "100000 segments of a name",
		"21 MB of base64 that is none", "header line of 10 MB", "200000 header fields",
		"1000 nested messages", "a million boundary prefixes", "10 MB of div",
	}
}

// Message returns the message of that name; it panics for any other.
func Message(name string) []byte {
	switch name {
	case "nested 1000":
		return nested(1000)
	case "nested 5000":
		return nested(5000)
	case "nested 20000":
		return nested(20000)
	case "100000 tiny parts":
		return join("Content-Type: multipart/mixed; boundary=b\n\n", strings.Repeat("--b\n\nx\n", 100000))
	case "100000 segments of a name":
		var b bytes.Buffer
		b.WriteString("Content-Type: text/plain")
		for i := range 100000 {
			fmt.Fprintf(&b, ";\n name*%d=a", i)
		}
		b.WriteString("\n\nx\n")
		return b.Bytes()
	case "21 MB of base64 that is none":
		return join("Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n", strings.Repeat("!#%&()*,-.:;<>?@[]^_{|}~ no base64\n", 600000))
	case "header line of 10 MB":
		return join("Subject: "+strings.Repeat("x", 10<<20), "\n\nx\n")
	case "200000 header fields":
		return join(strings.Repeat("X-A: 1\n", 200000), "\nx\n")
	case "1000 nested messages":
		return join(strings.Repeat("Content-Type: message/rfc822\n\n", 1000), "x\n")
	case "a million boundary prefixes":
		return join(string(nested(25)), strings.Repeat("--\n", 1000000))
	case "10 MB of div":
		return join("Content-Type: text/html\n\n", strings.Repeat("<div>", 2<<20))
	}
	panic("no hostile message " + name)
}

func join(a, b string) []byte { return []byte(a + b) }

// nested returns n multiparts, each the only part of the one around it.
func nested(n int) []byte {
	var b bytes.Buffer
	b.WriteString("Content-Type: multipart/mixed; boundary=b0\n\n")
	for i := range n {
		fmt.Fprintf(&b, "--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n", i, i+1)
	}
	fmt.Fprintf(&b, "--b%d\n\nx\n", n)
	for i := n; i >= 0; i-- {
		fmt.Fprintf(&b, "--b%d--\n", i)
	}
	return b.Bytes()
}
