package stated

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// FuzzServer: nothing that a daemon sends brings the server down.
func FuzzServer(f *testing.F) {
	for _, seed := range []struct{ call, body string }{
		{"state/get", `{"table":"ban","key":"aw=="}`},
		{"state/put", `{"table":"ban","entry":{"key":"aw==","value":"","expires":"2030-01-01T00:00:00Z"},"sync":true}`},
		{"state/take-all", `{"claims":[{"key":"aw==","n":1,"max":2,"window":3600000000000}],"ask":true}`},
		{"state/merge", `{"id":"a","counters":[{"key":"aw==","max":2,"window":3600000000000,"grants":[{"Ago":1,"N":1}]}]}`},
		{"account/user", `{"addr":{"local":"YWxpY2U=","domain":"example.org"}}`},
		{"account/change", `{"addr":{"domain":"x"},"quota":5}`},
		{"login/rehash", `{"addr":{},"old":"a","new":"b"}`},
		{"tell", `{"kind":"record","what":{"daemon":"milter"}}` + "\n" + `{"kind":"sent","what":{}}` + "\n"},
		{"tell", `{"kind":"keep","what":{"trace":{},"features":"AAAA"}}`},
		{"keys/sign", `[{"domain":"example.org","selector":"s1"}]` + "\nFrom: a@example.org\r\n\r\nx"},
		{"quarantine/put", `{"id":"","rcpt_to":["a"]}` + "\nmessage"},
		{"learn/score", `"AAAA"`}, {"learn/learn", `{"items":[{}]}`}, {"outgoing/add", `{"Raw":"eA=="}`},
	} {
		f.Add(seed.call, seed.body)
	}
	p := newParts(f)
	s := New(p.Parts, func(int) Grant { return All() }, quiet())
	who := &peer{Grant: All(), caller: newCaller(0), name: "fuzz"}
	f.Fuzz(func(t *testing.T, call, body string) {
		if strings.ContainsAny(call, " \x00?#%") || !validPath(call) {
			return
		}
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), peerKey{}, who), http.MethodPost, "/v1/"+call, strings.NewReader(body))
		w := httptest.NewRecorder()
		s.mux.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %q: %s", call, body, w.Body)
		}
	})
}

func validPath(s string) bool {
	_, err := http.NewRequest(http.MethodPost, "http://state/v1/"+s, nil) //nolint:noctx // nothing is sent
	return err == nil && !strings.ContainsAny(s, "\r\n\t") && strings.ToValidUTF8(s, "") == s
}

// FuzzEvent: a line of the stream is refused, or read as it was written.
func FuzzEvent(f *testing.F) {
	f.Add([]byte(`{"table":"ban","entry":{"key":"aw==","value":"dg==","expires":"2030-01-01T00:00:00Z"},"deleted":true}`))
	f.Add([]byte(`{"missed":true}`))
	f.Add([]byte(`{"version":7} {}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var e, again event
		if decodeLine(line, &e) != nil {
			return
		}
		wire := marshal(t, e)
		if err := decodeLine(wire, &again); err != nil {
			t.Fatalf("decodeLine(%s) = %v", wire, err)
		}
		if second := marshal(t, again); !reflect.DeepEqual(wire, second) {
			t.Errorf("%s is read as %s", wire, second)
		}
	})
}
