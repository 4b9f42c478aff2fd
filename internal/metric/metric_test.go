package metric

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestSet(t *testing.T) {
	s := New("1.2.3")
	s.Daemon("authd", "ok", "fail")
	s.Waiting("authd", func() float64 { return 2 })
	s.Waiting("policyd", func() float64 { return 1 })
	s.Request("policyd", "dunno", 3*time.Millisecond)
	s.Request("policyd", "dunno", 3*time.Millisecond)
	s.Sessions("milter", 2)
	s.Sessions("milter", -1)
	s.Event("journal_dropped")
	s.Gauge("gatepost_queue_records", "Records that wait.", func() float64 { return 7 })
	s.Counter("gatepost_dropped_total", "Records dropped.", func() float64 { return 3 })
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`gatepost_requests_total{daemon="policyd",verdict="dunno"} 2`,
		`gatepost_request_seconds_count{daemon="policyd"} 2`,
		`gatepost_sessions{daemon="milter"} 1`,
		`gatepost_requests_total{daemon="authd",verdict="fail"} 0`,
		`gatepost_request_seconds_count{daemon="authd"} 0`,
		`gatepost_sessions{daemon="authd"} 0`,
		`gatepost_waiting_connections{daemon="authd"} 2`,
		`gatepost_waiting_connections{daemon="policyd"} 1`,
		`gatepost_events_total{event="journal_dropped"} 1`,
		`gatepost_build_info{version="1.2.3"} 1`,
		"gatepost_queue_records 7",
		"gatepost_dropped_total 3",
		"go_goroutines",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("/metrics has no %q", want)
		}
	}
}
