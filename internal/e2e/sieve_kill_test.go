//go:build linux && e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// deathAt is the n-th system call of a kind that a thread makes.
type deathAt struct {
	call string
	n    int
}

// killAt has gatepost killed with SIGKILL as one of its threads comes to that
// step, counted from now on. The function that it returns takes the trap away.
func killAt(t *testing.T, at deathAt) (release func()) {
	t.Helper()
	cmd := exec.Command("strace", "-f", "-qq", "-p", strconv.Itoa(the.GatepostPID()), "-o", "/dev/null",
		"-e", "trace="+at.call, "-e", fmt.Sprintf("inject=%s:signal=SIGKILL:when=%d", at.call, at.n))
	var talk bytes.Buffer
	cmd.Stderr = &talk
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	status := fmt.Sprintf("/proc/%d/status", the.GatepostPID())
	err := the.Until("strace to hold gatepost", func() error {
		if the.GatepostRuns() != nil {
			return nil // the call came at once, of what it was doing before
		}
		b, err := exec.Command("grep", "TracerPid:", status).Output()
		if err != nil || strings.TrimSpace(strings.TrimPrefix(string(b), "TracerPid:")) == "0" {
			return fmt.Errorf("%q, %v, %s", b, err, talk.String())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = cmd.Process.Kill() // the kernel lets go of what strace held
		_ = cmd.Wait()
	}
}

// TestSieveKilled: gatepost is killed at each step of a delivery whose script
// sends the message on. Whatever it had done by then, the message arrives there
// or in the mailbox; twice only where a kill came in between.
func TestSieveKilled(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is missing: apt-get install strace")
	}
	box := user(t, "cutshort")
	withScripts(t)
	putScript(t, box, `redirect "frank@example.net";`)
	killed := 0
	steps := []deathAt{
		{"fsync", 1}, {"fsync", 2}, {"fsync", 3}, // of the spool's file, and of its directory
		{"renameat", 1}, {"unlinkat", 1}, // into the spool, and out of it
		{"connect", 1},                   // to the smtpd for mail of our own
		{"pwrite64", 1}, {"pwrite64", 4}, // of what the script remembers
		{"write", 2}, {"write", 4}, {"write", 8}, {"write", 12}, // of answers and of the log
	}
	for i, at := range steps {
		id := fmt.Sprintf("<sieve.killed.%d@example.net>", i)
		m := fromNextHop(box.User, id, "x")
		release := killAt(t, at)
		taken := isTaken(the.Send(m))
		if taken { // the delivery is Postfix's to begin, so there is something to wait for
			_ = the.Until("an end", func() error {
				if the.GatepostRuns() != nil || len(arrived("frank@example.net", "Message-ID: "+id)) > 0 {
					return nil
				}
				return errors.New("neither killed nor delivered")
			})
		}
		release()
		cut, tries := false, 0
		err := the.UntilQueued("the message", func() error {
			if tries++; tries%50 == 0 { // what was put off while nobody answered need not wait
				if _, err := the.Postfix("postqueue", "-f"); err != nil {
					return err
				}
			}
			if the.GatepostRuns() != nil { // the kernel may be a moment late
				cut = true
				if err := the.StartGatepost(); err != nil {
					return err
				}
			}
			if !taken { // the sender was told, and sends it again
				if taken = isTaken(the.Send(m)); !taken {
					return errors.New("not taken")
				}
			}
			return wantOnceOrTwice(t, box, id, at)
		})
		if err != nil {
			t.Fatal(err)
		}
		if cut {
			killed++
		}
	}
	t.Logf("killed %d times", killed)
	if killed < len(steps)/2 {
		t.Errorf("only %d of %d deliveries were cut", killed, len(steps))
	}
}

func isTaken(o lab.Outcome, err error) bool {
	return err == nil && o.At == "message" && o.Reply.Code == 250
}

// wantOnceOrTwice counts the copies once no mail is queued.
func wantOnceOrTwice(t *testing.T, box lab.Mailbox, id string, at deathAt) error {
	t.Helper()
	if queue, err := the.Postfix("postqueue", "-p"); err != nil || !strings.Contains(queue, "is empty") {
		return fmt.Errorf("killed at %v: Postfix still has %s, %v", at, queue, err)
	}
	there := len(arrived("frank@example.net", "Message-ID: "+id))
	kept, err := the.Holds(box, id)
	if err != nil {
		return err
	}
	if there == 0 && !kept {
		return fmt.Errorf("killed at %v: %s is nowhere", at, id)
	}
	t.Logf("%v: %d at the next hop, in the mailbox %t", at, there, kept)
	if there > 2 {
		t.Errorf("killed at %v: %d copies", at, there)
	}
	return nil
}
