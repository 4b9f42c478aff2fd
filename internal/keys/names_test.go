package keys

import (
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"
)

// Names tells what stands in h= of our own signatures; what signs with a key is
// that of its record, and does not show in its print.
func TestNamesAndSigner(t *testing.T) {
	have := map[string]int{"From": 1, "Subject": 2, "List-Id": 1}
	got := strings.Join(Names(func(name string) int { return have[name] }), ":")
	want := "From:From:To:Cc:Subject:Subject:Subject:Date:Message-ID:Reply-To:MIME-Version:Content-Type:" +
		"Content-Transfer-Encoding:In-Reply-To:References:List-Id"
	if got != want {
		t.Errorf("Names = %s, want %s", got, want)
	}
	m, err := generate(RSA)
	if err != nil {
		t.Fatal(err)
	}
	k := newKey("example.org", "s", "", m.signer)
	if pub, ok := k.Signer().Public().(*rsa.PublicKey); !ok || pub.N.BitLen() != k.Bits {
		t.Errorf("Signer has the key %T", k.Signer().Public())
	}
	if s := fmt.Sprintf("%+v %#v", k, k); s != k.Name()+" "+k.Name() {
		t.Errorf("printed: %s", s)
	}
}
