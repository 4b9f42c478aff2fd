//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is one long-running program, whose output goes to a log.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended
	err  error         // how it ended; read after done
}

// start runs cmd with its output in the log of that name.
func (l *Lab) start(name string, cmd *exec.Cmd) (*process, error) {
	log, err := os.OpenFile(l.logPath(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	err = cmd.Start()
	log.Close() // the program has its own
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// ended returns an error once the program has ended; Until waits no longer
// then.
func (p *process) ended() error {
	select {
	case <-p.done:
		return hopeless{fmt.Errorf("%s ended: %v", p.name, p.err)}
	default:
		return nil
	}
}

// stop sends sig and waits; after grace it kills.
func (p *process) stop(sig syscall.Signal, grace time.Duration) error {
	if p.ended() != nil {
		return nil
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	return p.await(grace)
}

// await waits for the program to end, and kills it after grace.
func (p *process) await(grace time.Duration) error {
	select {
	case <-p.done:
		return nil
	case <-time.After(grace):
		p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("end %s: killed after %v", p.name, grace)
	}
}
