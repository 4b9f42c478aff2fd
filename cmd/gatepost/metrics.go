package main

import (
	"context"
	"log/slog"
	"math"
	"net"

	"github.com/gatepost/gatepost/internal/listen"
	"github.com/gatepost/gatepost/internal/verdict"
)

// daemonVerdicts are the words with which each daemon counts its answers. A
// test holds what a serving process counts against them.
var daemonVerdicts = map[string][]string{
	"milter": {
		verdict.Accept.String(), verdict.Mark.String(), verdict.Quarantine.String(),
		verdict.Defer.String(), verdict.Reject.String(), "discard",
	},
	"policyd": {
		"dunno", "reject", "defer", "hold", "discard", "redirect", "bcc", "filter", "prepend", "warn", "info", "permit",
	},
	"socketmap": {"ok", "notfound", "temp", "perm"},
	"authd":     {"ok", "fail", "refused", "temp"},
	"dict":      {"found", "refused", "unknown", "temp"},
	"lmtpd": {
		"inbox", "junk", "unscanned", "unknown_recipient", "recipient_limit", "message_size_limit", "address", "fault",
		"detail", "quota", "loop", "hopcount_limit", "sieve",
	},
}

// policyVerdicts are those of auth_policy, which is off by default.
var policyVerdicts = []string{"ok", "delay", "fail", "refused", "temp", "bad"}

// socketDaemon names the daemon of each socket as metrics do.
var socketDaemon = map[string]string{
	"milter": "milter", "milter-submission": "milter", "milter-local": "milter", "milter-outgoing": "milter",
	"policy": "policyd", "socketmap": "socketmap",
	"auth": "authd", "login": "authd", "master": "authd", "userdb": "authd", "dict": "dict", "auth_policy": "auth_policy",
	"lmtp": "lmtpd",
}

// measureDaemons makes the series of every daemon.
func (s *stores) measureDaemons() {
	for daemon, verdicts := range daemonVerdicts {
		s.metrics.Daemon(daemon, verdicts...)
	}
}

// measureQueues adds how many connections wait for each daemon that is served.
// Where the kernel does not tell, there is no such metric.
func (s *stores) measureQueues(sockets []socket, lns []net.Listener, log *slog.Logger) {
	queues := map[string][]net.Listener{}
	for i, sock := range sockets {
		daemon, ok := socketDaemon[sock.name]
		if !ok {
			continue // the admin socket, which answers this very question
		}
		if _, err := listen.Waiting(lns[i]); err != nil {
			log.LogAttrs(context.Background(), slog.LevelWarn, "connections that wait are not counted", slog.Any("err", err))
			return
		}
		queues[daemon] = append(queues[daemon], lns[i])
	}
	for daemon, lns := range queues {
		s.metrics.Waiting(daemon, func() float64 { return waiting(lns) })
	}
}

// waiting sums what waits on all listeners; it is not a number when one is
// closed.
func waiting(lns []net.Listener) float64 {
	sum := 0
	for _, ln := range lns {
		n, err := listen.Waiting(ln)
		if err != nil {
			return math.NaN()
		}
		sum += n
	}
	return float64(sum)
}
