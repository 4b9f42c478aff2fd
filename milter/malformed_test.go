package milter

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatepost/gatepost/internal/scan"
)

// malformed are the packets that kill a server that trusts them.
var malformed = map[string]func(*testing.T){
	"length 0":                     badBytes("\x00\x00\x00\x00", false),
	"CONNECT without NUL":          badBytes(pack('C', "host"), false),
	"CONNECT empty":                badBytes(pack('C'), false),
	"CONNECT host only, no family": badBytes(pack('C', "host\x00"), false),
	"MACRO empty":                  badBytes(pack('D'), false),
	"length 0xFFFFFFFF":            badBytes("\xff\xff\xff\xff", false),
	"half packet":                  badBytes("\x00\x00\x00\x20Hcut", true),
	"silence":                      badBytes("", true),
	"OPTNEG of 1 byte":             badFirst(pack('O', "\x00")),
	"commands before OPTNEG":       badFirst(pack('M', "<a@b>\x00")),
	"macros before OPTNEG":         badFirst(pack('D', "C")),
	"second OPTNEG":                badBytes(pack('O', strings.Repeat("\x00\x00\x00\x06", 3)), false),
	"OPTNEG of 1 byte more":        badFirst(pack('O', strings.Repeat("\x00\x00\x00\x06", 3)+"x")),
	"MAIL without NUL":             badBytes(pack('M', "<a@b>"), false),
	"MAIL empty":                   badBytes(pack('M'), false),
	"MAIL behind QUIT_NC":          badBytes(pack('K')+pack('M', "<a@b>\x00"), false),
	"RCPT without MAIL":            badBytes(pack('R', "<a@b>\x00"), false),
	"EOM without MAIL":             badBytes(pack('E'), false),
	"HELO without NUL":             badBytes(pack('H', "x"), false),
	"HEADER without value":         badBytes(pack('M', "<>\x00")+pack('L', "X\x00"), false),
	"HEADER behind EOH":            badBytes(pack('M', "<>\x00")+pack('N')+pack('L', "X\x00y\x00"), false),
	"UNKNOWN without NUL":          badBytes(pack('U', "x"), false),
	"ABORT with data":              badBytes(pack('A', "x"), false),
	"no command of ours":           badBytes(pack('\x00'), false),
}

func badBytes(b string, waits bool) func(*testing.T) {
	return func(t *testing.T) { bad(t, func(m *mta) { m.hello() }, b, waits) }
}

func badFirst(b string) func(*testing.T) {
	return func(t *testing.T) { bad(t, func(*mta) {}, b, false) }
}

// bad sends b, waits for the end of the connection and uses the server again.
func bad(t *testing.T, before func(*mta), b string, waits bool) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		ln := serve(t, testConfig(), Deps{}, slog.New(slog.NewTextHandler(&log, nil)), scan.Inbound)
		good := ln.dial(t).hello()
		m := ln.dial(t)
		before(m)
		go func() { _, _ = m.conn.Write([]byte(b)) }()
		start := time.Now()
		m.wantClosed()
		if d := time.Since(start); !waits && d != 0 {
			t.Errorf("closed after %v", d)
		}
		synctest.Wait()
		if got := log.String(); !strings.Contains(got, "level=WARN") || strings.Contains(got, "panic") {
			t.Errorf("log: %s", got)
		}
		if waits {
			return
		}
		if _, final := good.transfer(plain()); final.Code != 'a' {
			t.Errorf("another session: %v", final)
		}
		good.quit()
	})
}
