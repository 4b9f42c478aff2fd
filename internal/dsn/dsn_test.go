package dsn

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/rawmsg"
)

func addr(s string) mailaddr.Address {
	a, err := mailaddr.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}

// report is a notification with these parts.
func report(status, returned string) string {
	return "From: MAILER-DAEMON@mx.example.net\nMIME-Version: 1.0\n" +
		"Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\n\n--b\n\nNo.\n--b\n" +
		"Content-Type: message/delivery-status\n\n" + status + "\n--b\nContent-Type: text/rfc822-headers\n\n" + returned + "\n--b--\n"
}

const perMessage = "Reporting-MTA: dns; mx.example.org\nX-Postfix-Queue-ID: 4XyZ1b2c3d\n\n"

func TestParse(t *testing.T) {
	failed := func(rcpt string) string {
		return "Final-Recipient: rfc822; " + rcpt + "\nAction: failed\nStatus: 5.1.1\n"
	}
	for name, c := range map[string]struct {
		in   string
		want Report
		ok   bool
	}{
		"failed": {report(perMessage+failed("Bob@Example.net"), "Message-ID: <1@x>\n"),
			Report{"<1@x>", "4XyZ1b2c3d", []mailaddr.Address{addr("bob@example.net")}}, true},
		"two, by alias": {report(perMessage+"Original-Recipient: rfc822;info@example.net\n"+failed("bob@example.net")+"\n"+failed("c@example.net"), ""),
			Report{"", "4XyZ1b2c3d", []mailaddr.Address{addr("info@example.net"), addr("bob@example.net"), addr("c@example.net")}}, true},
		"delayed":        {report(perMessage+"Final-Recipient: rfc822; b@x.example\nAction: delayed\nStatus: 4.4.1\n", "Message-ID: <1@x>\n"), Report{}, false},
		"failed for now": {report(perMessage+"Final-Recipient: rfc822; b@x.example\nAction: failed\nStatus: 4.4.7\n", ""), Report{}, false},
		"no address":     {report(perMessage+failed("everybody"), ""), Report{}, false},
		"a text":         {"Subject: Undeliverable\n\nFinal-Recipient: rfc822; b@x.example\nAction: failed\nStatus: 5.1.1\n", Report{}, false},
		"folded": {report(perMessage+"Final-Recipient: rfc822;\n b@x.example\nAction:\n failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550\n no\n", "Subject: x\nMessage-ID:\n <2@x>\n"),
			Report{"<2@x>", "4XyZ1b2c3d", []mailaddr.Address{addr("b@x.example")}}, true},
	} {
		r, ok := Parse(rawmsg.Scan([]byte(c.in), rawmsg.Default()))
		if ok != c.ok || ok && !reflect.DeepEqual(r, c.want) {
			t.Errorf("%s: Parse = %+v, %v, want %+v, %v", name, r, ok, c.want, c.ok)
		}
	}
}

// TestPostfix reads what Postfix 3.7 wrote.
func TestPostfix(t *testing.T) {
	b, err := os.ReadFile("testdata/postfix.eml")
	if err != nil {
		t.Fatal(err)
	}
	r, ok := Parse(rawmsg.Scan(b, rawmsg.Default()))
	if !ok || r.QueueID == "" || !strings.HasSuffix(r.MessageID, "@mx.example.org>") || len(r.Failed) != 1 || r.Failed[0] != addr("b@example.invalid") {
		t.Errorf("Parse = %+v, %v", r, ok)
	}
}

func TestBounds(t *testing.T) {
	var b strings.Builder
	b.WriteString(perMessage)
	for i := range 3 * MaxRcpts {
		fmt.Fprintf(&b, "Final-Recipient: rfc822; u%d@x.example\nAction: failed\nStatus: 5.1.1\n\n", i)
	}
	r, ok := Parse(rawmsg.Scan([]byte(report(b.String(), "")), rawmsg.Default()))
	if !ok || len(r.Failed) != MaxRcpts {
		t.Errorf("%d recipients, %v", len(r.Failed), ok)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(report(perMessage+"Final-Recipient: rfc822; b@x.example\nAction: failed\nStatus: 5.1.1\n", "Message-ID: <1@x>\n")))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := Parse(rawmsg.Scan(b, rawmsg.Default()))
		if ok && (len(r.Failed) == 0 || len(r.Failed) > MaxRcpts || len(r.MessageID) > maxIDBytes || len(r.QueueID) > maxIDBytes) {
			t.Errorf("Parse = %+v", r)
		}
	})
}
