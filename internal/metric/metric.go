// Package metric counts what the daemons do and serves it to Prometheus. No
// address, user or domain is ever a label.
package metric

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Set is the metrics of one process. All methods may be called concurrently.
type Set struct {
	reg      *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	sessions *prometheus.GaugeVec
	events   *prometheus.CounterVec
	// made has the series of each Daemon: to find them by their labels costs 0.35 µs
	// a request, which is a fiftieth of a policy request.
	made sync.Map // of *series, by daemon
}

// series are those of one daemon. They are not changed once they are made.
type series struct {
	requests map[string]prometheus.Counter // by verdict
	seconds  prometheus.Observer
}

// New returns a Set with the metrics of the Go runtime and the process.
func New(version string) *Set {
	s := &Set{
		reg: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatepost_requests_total",
			Help: "Answered requests, messages, logins and deliveries, by daemon and verdict.",
		}, []string{"daemon", "verdict"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gatepost_request_seconds",
			Help:    "Time from the request to its answer, by daemon.",
			Buckets: []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 10, 60},
		}, []string{"daemon"}),
		sessions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gatepost_sessions",
			Help: "Open connections, by daemon.",
		}, []string{"daemon"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gatepost_events_total",
			Help: "Things worth an alarm: records dropped, tables full, panics, by name.",
		}, []string{"event"}),
	}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "gatepost_build_info", Help: "Always 1; the version is the label.",
	}, []string{"version"})
	info.WithLabelValues(version).Set(1)
	s.reg.MustRegister(s.requests, s.seconds, s.sessions, s.events, info,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

// Daemon makes the series of a daemon, at 0, for every verdict that it knows: an
// alarm on a rate needs a series that was there before the first event.
func (s *Set) Daemon(daemon string, verdicts ...string) {
	made := &series{requests: make(map[string]prometheus.Counter), seconds: s.seconds.WithLabelValues(daemon)}
	for _, v := range verdicts {
		made.requests[v] = s.requests.WithLabelValues(daemon, v)
	}
	s.made.Store(daemon, made)
	s.sessions.WithLabelValues(daemon)
}

// Waiting adds the gauge of daemon's connections that nobody has accepted yet;
// value is called at each scrape. It may be called once for a daemon.
func (s *Set) Waiting(daemon string, value func() float64) {
	s.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "gatepost_waiting_connections",
		Help:        "Connections that wait to be accepted, by daemon: above its max_connections, or because it does not keep up.",
		ConstLabels: prometheus.Labels{"daemon": daemon},
	}, value))
}

// Request counts one answer of daemon and its time. verdict is one of the
// daemon's own few words, never what a peer sent.
func (s *Set) Request(daemon, verdict string, took time.Duration) {
	if made, ok := s.made.Load(daemon); ok {
		made := made.(*series)
		if c, ok := made.requests[verdict]; ok {
			c.Inc()
			made.seconds.Observe(took.Seconds())
			return
		}
	}
	s.requests.WithLabelValues(daemon, verdict).Inc()
	s.seconds.WithLabelValues(daemon).Observe(took.Seconds())
}

// Sessions adds delta to the open connections of daemon.
func (s *Set) Sessions(daemon string, delta int) {
	s.sessions.WithLabelValues(daemon).Add(float64(delta))
}

// Event counts one occurrence of a thing worth an alarm.
func (s *Set) Event(name string) { s.events.WithLabelValues(name).Inc() }

// Gauge adds a metric whose value is read at each scrape: a queue's length,
// the size of a table. name ends in its unit.
func (s *Set) Gauge(name, help string, value func() float64) {
	s.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// Counter adds a metric that only grows and is read at each scrape.
func (s *Set) Counter(name, help string, value func() float64) {
	s.reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
}

// Handler serves the metrics in Prometheus' text format.
func (s *Set) Handler() http.Handler {
	return promhttp.HandlerFor(s.reg, promhttp.HandlerOpts{})
}
