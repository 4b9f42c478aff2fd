package managesieve

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/gatepost/gatepost/internal/journal"
	"github.com/gatepost/gatepost/internal/script"
)

// edit answers a command about scripts.
func (k *session) edit(ctx context.Context, c command) error {
	start := time.Now()
	var r reply
	var cause error
	var before []byte
	switch c.name {
	case cmdHaveSpace:
		r, cause = k.answer(k.srv.deps.Scripts.HaveSpace(k.user, c.text(0), c.args[1].number), "there is room")
	case cmdListScripts:
		before, r, cause = k.list()
	case cmdGetScript:
		before, r, cause = k.get(c.text(0))
	case cmdCheckScript:
		r, cause = k.checkOnly(ctx, c.args[0].text)
	case cmdPutScript:
		r, cause = k.put(ctx, c.text(0), c.args[1].text)
	case cmdSetActive:
		r, cause = k.activate(ctx, c.text(0))
	case cmdDeleteScript:
		r, cause = k.answer(k.srv.deps.Scripts.Delete(k.user, c.text(0)), "script deleted")
	case cmdRenameScript:
		r, cause = k.answer(k.srv.deps.Scripts.Rename(k.user, c.text(0), c.text(1)), "script renamed")
	}
	took := time.Since(start)
	k.count(r, start)
	k.tell(ctx, c, r, cause, took)
	return k.write(r.appendTo(before))
}

// answer returns the reply to what the store said, and the cause if the fault is
// ours.
func (k *session) answer(err error, done string) (reply, error) {
	if err == nil {
		return ok(done), nil
	}
	r, fault := decideError(err)
	if !fault {
		return r, nil
	}
	return r, err
}

func (k *session) list() ([]byte, reply, error) {
	all, err := k.srv.deps.Scripts.List(k.user)
	r, cause := k.answer(err, "that is all")
	var b []byte
	for _, i := range all {
		b = appendString(b, i.Name)
		if i.Active {
			b = append(b, " ACTIVE"...)
		}
		b = append(b, "\r\n"...)
	}
	return b, r, cause
}

func (k *session) get(name string) ([]byte, reply, error) {
	src, err := k.srv.deps.Scripts.Read(k.user, name)
	r, cause := k.answer(err, "that is it")
	if err != nil {
		return nil, r, cause
	}
	b := append(strconv.AppendInt([]byte{'{'}, int64(len(src)), 10), "}\r\n"...)
	return append(append(b, src...), "\r\n"...), r, nil
}

// compile checks a script; the zero reply is that it can be used. Compiling
// takes memory, so that not many are at it.
func (k *session) compile(ctx context.Context, name string, src []byte) ([]string, reply) {
	select {
	case k.srv.checks <- struct{}{}:
		defer func() { <-k.srv.checks }()
	case <-ctx.Done():
		return nil, no(codeTryLater, textFault)
	}
	warnings, err := k.srv.deps.Check(k.user, name, src)
	if err != nil {
		return nil, decideFaulty(err)
	}
	return warnings, reply{}
}

func (k *session) checkOnly(ctx context.Context, src []byte) (reply, error) {
	if int64(len(src)) > int64(k.cfg.MaxScriptSize) {
		return k.answer(&script.QuotaError{Quota: script.QuotaBytes, Max: int64(k.cfg.MaxScriptSize)}, "")
	}
	warnings, r := k.compile(ctx, "", src)
	if !r.isZero() {
		return r, nil
	}
	return decideKept("the script has no fault", warnings), nil
}

// put keeps a script. Quota and faults are looked at before anything is
// replaced.
func (k *session) put(ctx context.Context, name string, src []byte) (reply, error) {
	if err := k.srv.deps.Scripts.HaveSpace(k.user, name, int64(len(src))); err != nil {
		return k.answer(err, "")
	}
	warnings, r := k.compile(ctx, name, src)
	if !r.isZero() {
		return r, nil
	}
	if err := k.srv.deps.Scripts.Put(k.user, name, src); err != nil {
		return k.answer(err, "")
	}
	return decideKept("script kept", warnings), nil
}

// activate makes a script the active one. Somebody else may have written it, or
// what it may use has changed: it is checked again.
func (k *session) activate(ctx context.Context, name string) (reply, error) {
	if name == "" {
		return k.answer(k.srv.deps.Scripts.Activate(k.user, ""), "no script is active")
	}
	src, err := k.srv.deps.Scripts.Read(k.user, name)
	if err != nil {
		return k.answer(err, "")
	}
	warnings, r := k.compile(ctx, name, src)
	if !r.isZero() {
		return r, nil
	}
	if err := k.srv.deps.Scripts.Activate(k.user, name); err != nil {
		return k.answer(err, "")
	}
	return decideKept("script active", warnings), nil
}

// events are the commands that change something, in the journal's words.
var events = map[string]string{
	cmdPutScript: "put", cmdSetActive: "activate", cmdDeleteScript: "delete", cmdRenameScript: "rename",
}

// tell journals and logs a command that changes something, and any fault of
// ours.
func (k *session) tell(ctx context.Context, c command, r reply, cause error, took time.Duration) {
	event, changes := events[c.name]
	if changes {
		rec := journal.Record{
			Time: time.Now(), Daemon: daemon, Event: event, Session: k.id, Service: "sieve",
			ClientAddr: k.client.Addr().Unmap(), ClientPort: k.client.Port(), User: k.user.String(),
			Verdict: verdictOf(r), Rule: r.code, Facts: []journal.Fact{{Key: "script", Value: c.text(0)}}, Took: took,
		}
		switch c.name {
		case cmdRenameScript:
			rec.Facts = append(rec.Facts, journal.Fact{Key: "to", Value: c.text(1)})
		case cmdPutScript:
			rec.Facts = append(rec.Facts, journal.Fact{Key: "bytes", Value: strconv.Itoa(len(c.args[1].text))})
		}
		k.srv.deps.Journal.Record(rec)
	}
	if !changes && cause == nil {
		return
	}
	attrs := append(k.attrs(), slog.String("rule", c.name), slog.String("verdict", verdictOf(r)), slog.Duration("took", took))
	level := slog.LevelInfo
	if cause != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.Any("err", cause))
	}
	k.srv.log.LogAttrs(ctx, level, "scripts edited", attrs...)
}
