package milter

import (
	"io"
	"net"
	"testing"
	"time"
)

// guarded returns a guard and the MTA's end of its connection.
func guarded(t *testing.T) (*guard, net.Conn) {
	t.Helper()
	mta, server := net.Pipe()
	g := newGuard(server, newBuffers(), time.Minute, time.Minute)
	t.Cleanup(func() { _, _ = mta.Close(), g.Close() })
	return g, mta
}

// An MTA that starts the next message without ABORT has the library forget the
// one before, and the library is shown no field's content.
func TestLibrarySeesOneMessageAtATime(t *testing.T) {
	g, mta := guarded(t)
	go func() {
		_, _ = io.WriteString(mta, pack('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff")+pack('C', "h\x00U")+
			pack('M', "<>\x00")+pack('L', "Subject\x00 one\x00")+pack('E')+
			pack('M', "<>\x00")+pack('L', "Subject\x00 two\x00")+pack('H', "x\x00")+pack('Q'))
	}()
	got := ""
	for {
		f, _, err := readFrame(g, nil)
		if err != nil || f.Cmd == cmdQuit {
			break
		}
		got += string(f.Cmd)
		if f.Cmd == cmdHeader && string(f.Data) != string(libraryField) {
			t.Errorf("the library sees %q", f.Data)
		}
	}
	if want := "OCMLEAMLAH"; got != want {
		t.Errorf("the library sees %s, want %s", got, want)
	}
}

// Whatever was changed before a refusal stays here.
func TestRefusalDropsChanges(t *testing.T) {
	g, mta := guarded(t)
	go func() {
		for _, p := range []string{pack('h', "X\x00 1\x00"), pack('y', "554 no\x00"), pack('h', "X\x00 2\x00"), pack('a')} {
			_, _ = io.WriteString(g, p)
		}
	}()
	for _, want := range []string{pack('y', "554 no\x00"), pack('h', "X\x00 2\x00") + pack('a')} {
		got := make([]byte, 200)
		n, err := mta.Read(got)
		if err != nil || string(got[:n]) != want {
			t.Errorf("the MTA sees %q, %v, want %q", got[:n], err, want)
		}
	}
}
