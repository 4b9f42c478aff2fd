package eval

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/gatepost/gatepost/internal/classify"
	"github.com/gatepost/gatepost/internal/message"
	"github.com/gatepost/gatepost/internal/rawmsg"
	"github.com/gatepost/gatepost/internal/scan"
	"github.com/gatepost/gatepost/internal/verdict"
)

// Options say how to replay.
type Options struct {
	Mask Mask
	// Cold learns nothing: the rules alone.
	Cold bool
	// Feedback says which labels are told, and when.
	Feedback Feedback
	// Learned ranks by the points of the learned filter instead of the total.
	Learned bool
	// Scan has the thresholds and rules; Weights of this package sets it up.
	Scan scan.Config
	// Progress, if there is one, is called after each message.
	Progress func(done int)
}

// Replay scores items in their order and tells their labels afterwards.
func Replay(ctx context.Context, items []Item, o Options) (*Result, error) {
	engine, err := scan.New(o.Scan, scan.Deps{})
	if err != nil {
		return nil, err
	}
	r := replay{o: o, engine: engine, model: classify.New(), res: newResult()}
	start := cpu()
	for i, it := range items {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.one(it); err != nil {
			return nil, fmt.Errorf("message %d of %d: %w", i+1, len(items), err)
		}
		if o.Progress != nil {
			o.Progress(i + 1)
		}
	}
	r.res.finish(cpu() - start)
	return r.res, nil
}

// cpu returns the processor time that this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// replay is the state of a run.
type replay struct {
	o        Options
	engine   *scan.Engine
	model    *classify.Model
	features classify.Features
	waiting  []label // told later, the oldest first
	res      *Result
}

// label is a message whose label is still to be told.
type label struct {
	spam     bool
	features []byte
}

// one scores one message, and tells a label.
func (r *replay) one(it Item) error {
	raw, arrived, err := Read(it)
	if err != nil {
		return err
	}
	m := scan.Message{Direction: scan.Inbound, Raw: rawmsg.Scan(r.o.Mask.Apply(raw), rawmsg.Default())}
	m.Text = message.Decode(m.Raw)
	if !r.o.Cold {
		r.features.Extract(m.Raw, m.Text)
		s := r.model.Score(&r.features)
		m.Learned = scan.Learned{Logit: s.Logit, Weight: s.Weight, Ham: s.Ham, Spam: s.Spam}
	}
	res := r.engine.Scan(m, arrived)
	score := res.Total
	if r.o.Learned {
		score = m.Learned.Points()
	}
	r.res.add(it.Spam, score, res)
	if r.o.Cold {
		return nil
	}
	return r.feed(it.Spam, (res.Verdict >= verdict.Mark) != it.Spam)
}

// feed tells the label of the message that was just scored, or of an older one.
func (r *replay) feed(spam, wrong bool) error {
	if r.o.Feedback.Errors && !wrong {
		return nil
	}
	if r.o.Feedback.Delay == 0 {
		r.model.Learn(&r.features, spam, 1)
		return nil
	}
	b, err := r.features.AppendBinary(nil)
	if err != nil {
		return err
	}
	r.waiting = append(r.waiting, label{spam, b})
	if len(r.waiting) <= r.o.Feedback.Delay {
		return nil
	}
	l := r.waiting[0]
	r.waiting = r.waiting[1:]
	if err := r.features.UnmarshalBinary(l.features); err != nil {
		return err
	}
	r.model.Learn(&r.features, l.spam, 1)
	return nil
}
