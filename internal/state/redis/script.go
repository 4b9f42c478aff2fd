package redis

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var sources embed.FS

// moveTries and moveWait are how often and how long a command waits for keys
// that move between two masters.
const (
	moveTries = 5
	moveWait  = 5 * time.Millisecond
)

// script is a program that the server runs, and the name that it gives it.
type script struct{ source, sha string }

// scripts are those that we have.
type scripts struct {
	take, give, merge, put, group, shelf, sweep, read, probe script
}

func loadScripts() (s scripts, err error) {
	for name, to := range map[string]*script{
		"take": &s.take, "give": &s.give, "merge": &s.merge, "put": &s.put,
		"group": &s.group, "shelf": &s.shelf, "sweep": &s.sweep, "read": &s.read, "probe": &s.probe,
	} {
		b, err := sources.ReadFile("lua/" + name + ".lua")
		if err != nil {
			return scripts{}, err
		}
		sum := sha1.Sum(b) // EVALSHA's choice
		*to = script{string(b), hex.EncodeToString(sum[:])}
	}
	return s, nil
}

// doer sends a command.
type doer interface {
	Process(ctx context.Context, cmd goredis.Cmder) error
}

// once is a command that is not sent again when its answer is lost.
type once struct{ *goredis.Cmd }

// NoRetry keeps the client of a Cluster from sending it again.
func (once) NoRetry() bool { return true }

// timed is a context whose first look at Done finds nothing to wait for. The client
// looks once before each command, which would make a timer that nobody needs: an
// idle connection keeps within the deadline by itself. Whoever looks again waits,
// for a connection or for a Cluster's map.
type timed struct {
	context.Context
	looked atomic.Bool
}

// Done implements context.Context.
func (c *timed) Done() <-chan struct{} {
	if !c.looked.Swap(true) {
		return nil
	}
	return c.Context.Done()
}

// run runs sc on the server that has keys. An effect that may not be had twice
// is asked for once.
func (sc *script) run(ctx context.Context, c doer, isOnce bool, keys []string, args ...any) *goredis.Cmd {
	line := make([]any, 0, 3+len(keys)+len(args))
	line = append(line, "evalsha", sc.sha, len(keys))
	for _, k := range keys {
		line = append(line, k)
	}
	line = append(line, args...)
	cmd, err := send(ctx, c, isOnce, line)
	if err == nil || !goredis.HasErrorPrefix(err, "NOSCRIPT") {
		return cmd
	}
	again := append([]any{"eval", sc.source}, line[2:]...)
	cmd, _ = send(ctx, c, isOnce, again) // cmd has the error
	return cmd
}

// send sends a command, and does so again while its keys are on their way from
// one master to another: then it was not run.
func send(ctx context.Context, c doer, isOnce bool, line []any) (cmd *goredis.Cmd, err error) {
	for range moveTries {
		quiet := &timed{Context: ctx}
		cmd = goredis.NewCmd(quiet, line...)
		if isOnce {
			err = c.Process(quiet, once{cmd})
		} else {
			err = c.Process(quiet, cmd)
		}
		if err == nil || !goredis.HasErrorPrefix(err, "TRYAGAIN") {
			break
		}
		select {
		case <-ctx.Done():
			return cmd, err
		case <-time.After(moveWait):
		}
	}
	return cmd, err
}

// run runs a script whose effect may be had twice without harm.
func (s *Store) run(ctx context.Context, sc *script, keys []string, args ...any) *goredis.Cmd {
	return sc.run(ctx, s.client, false, keys, args...)
}
