//go:build linux

package tour

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/gatepost/gatepost/internal/e2e/lab"
)

// signed: a login at submission, and two signatures that others verify.
func signed(t *Tour) error {
	if err := publishKeys(t); err != nil {
		return err
	}
	const id = "<minutes.1@laptop>"
	t.out.Say("%s logs in at submission from %s over TLS and sends:", alice.user, lab.UserIP)
	msg := lab.Message{
		From: "Alice <" + alice.user + ">", To: "dave@example.net", Subject: "Minutes", ID: id,
		Body: "The minutes of Monday:\n\nWe agreed.\n",
	}
	out, err := t.send(alice.submission(lab.UserIP, []string{"dave@example.net"}, msg.Bytes()))
	if err != nil {
		return err
	}
	if err := accepted(out); err != nil {
		return err
	}
	t.sent = out.Reply.QueueID()
	t.out.OK("Postfix took it", out.Reply.String())
	got, err := t.lab.Await(id)
	if err != nil {
		return err
	}
	t.out.Say("What the next hop mx.example.net received from %s:", got.Client)
	t.out.Quote(string(got.Data))
	t.out.Say("Two verifiers, which find the keys only in DNS (Debian's OpenDKIM can not verify Ed25519):")
	if err := verify(t, got.Data); err != nil {
		return err
	}
	t.out.Say("The same with one byte of the body flipped:")
	flipped := bytes.Replace(got.Data, []byte("We agreed"), []byte("We agraed"), 1)
	if bytes.Equal(flipped, got.Data) {
		return errors.New("the body has changed on the way")
	}
	return verifyBroken(t, flipped)
}

// publishKeys makes keys and puts into DNS what gatepost printed.
func publishKeys(t *Tour) error {
	t.out.Say("The administrator makes keys, and DNS gets what `gatepost dkim dns` prints:")
	if _, err := t.lab.CLI("", "dkim", "new", lab.Domain); err != nil {
		return err
	}
	zone, err := t.lab.CLI("", "dkim", "dns", lab.Domain)
	if err != nil {
		return err
	}
	t.out.Quote("$ gatepost dkim new "+lab.Domain, "$ gatepost dkim dns "+lab.Domain, zone)
	return t.lab.DNS.Add(zone)
}

// verify asks dkimpy about each signature and OpenDKIM about the message.
func verify(t *Tour, msg []byte) error {
	algorithms, err := algorithms(msg)
	if err != nil {
		return err
	}
	for i, alg := range algorithms {
		v, err := t.lab.DKIMPy(msg, i)
		if err != nil {
			return err
		}
		if !v.Pass {
			return fmt.Errorf("%s (%s): %s", v.Tool, alg, v.Line)
		}
		t.out.OK(fmt.Sprintf("dkimpy on %s: %s", alg, v.Tool), v.Line)
	}
	v, err := t.lab.OpenDKIM(msg)
	if err != nil {
		return err
	}
	if !v.Pass {
		return fmt.Errorf("%s: %s", v.Tool, v.Line)
	}
	t.out.OK("OpenDKIM on rsa-sha256: "+v.Tool, v.Line)
	return nil
}

// verifyBroken wants every verifier to say no.
func verifyBroken(t *Tour, msg []byte) error {
	var all []lab.Verified
	for i := range 2 {
		v, err := t.lab.DKIMPy(msg, i)
		if err != nil {
			return err
		}
		all = append(all, v)
	}
	v, err := t.lab.OpenDKIM(msg)
	if err != nil {
		return err
	}
	for _, v := range append(all, v) {
		if v.Pass {
			return fmt.Errorf("%s says yes to a changed body: %s", v.Tool, v.Line)
		}
		t.out.OK("no longer: "+v.Tool, v.Line)
	}
	return nil
}

// algorithms returns the algorithms of the signatures, from the top, and an
// error unless they are one RSA and one Ed25519 of our domain.
func algorithms(msg []byte) ([]string, error) {
	var algs []string
	for _, f := range lab.Fields(msg, "DKIM-Signature") {
		flat := strings.Join(strings.Fields(f), "")
		if !strings.Contains(flat, "d="+lab.Domain+";") {
			return nil, fmt.Errorf("a signature of another domain: %q", f)
		}
		for _, alg := range []string{"rsa-sha256", "ed25519-sha256"} {
			if strings.Contains(flat, "a="+alg+";") {
				algs = append(algs, alg)
			}
		}
	}
	if len(algs) != 2 || algs[0] == algs[1] {
		return nil, fmt.Errorf("signatures %q, want one rsa-sha256 and one ed25519-sha256", algs)
	}
	return algs, nil
}
