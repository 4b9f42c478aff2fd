package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/gatepost/gatepost/internal/mailaddr"
	"github.com/gatepost/gatepost/internal/quarantine"
)

const (
	// maxLearn is the first part of a message that is learned.
	maxLearn = 4 << 20
	// learnEvery is how often what could not be learned is tried again.
	learnEvery = 10 * time.Minute
)

// learn learns the message as ham for all who got it, once.
func (j *job) learn(ctx context.Context) error {
	if j.r.d.Learn == nil || !j.mark.Learn || j.mark.Learned {
		return nil
	}
	raw, err := j.raw()
	if err != nil {
		return err
	}
	for _, d := range j.mark.Delivered {
		user, err := mailaddr.Parse(d.To)
		if err != nil {
			continue // a mailbox's name: it was delivered to
		}
		if err := j.r.d.Learn(ctx, raw, user); err != nil {
			return fmt.Errorf("%s is released, but not learned yet: %w", j.entry.ID, err)
		}
	}
	j.mark.Learned = true
	return j.r.d.Spool.SetMark(j.entry.ID, j.mark)
}

// raw returns the message as its recipients have it, or the first part.
func (j *job) raw() ([]byte, error) {
	var d quarantine.Delivered
	if n := len(j.mark.Delivered); n > 0 {
		d = j.mark.Delivered[n-1]
	}
	all := io.MultiReader(strings.NewReader(j.top(d.ID, d.At)), j.entry.Leaving(j.msg))
	raw, err := io.ReadAll(io.LimitReader(all, maxLearn))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", j.entry.ID, err)
	}
	return raw, nil
}

// Run learns what a kill or a fault left released and unlearned, until ctx ends.
func (r *Releaser) Run(ctx context.Context) {
	t := time.NewTicker(learnEvery)
	defer t.Stop()
	for {
		for _, id := range r.d.Spool.Unlearned() {
			if err := r.again(ctx, id); err != nil && ctx.Err() == nil && !errors.Is(err, quarantine.ErrNotFound) {
				r.log.LogAttrs(ctx, slog.LevelWarn, "released message not learned", slog.String("id", id), slog.Any("err", err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// again ends a release that was cut off behind its last delivery.
func (r *Releaser) again(ctx context.Context, id string) (err error) {
	if r.d.Learn == nil || !r.take(id) {
		return nil
	}
	defer r.free(id)
	j := &job{r: r}
	if j.mark, err = r.d.Spool.Mark(id); err != nil {
		return err
	}
	if j.entry, j.msg, err = r.d.Spool.Message(id); err != nil {
		return err
	}
	defer j.msg.Close()
	_, err = j.finish(ctx)
	return err
}
