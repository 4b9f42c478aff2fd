//go:build linux

package lab

// The hosts of the lab's internet. The IPv4 networks are routed to the
// loopback interface, so that any address in them can be a client's or a
// server's; IPv6 addresses are added one by one.
const (
	Hostname = "mx.example.org"
	Domain   = "example.org"

	// The host with Postfix, Dovecot and gatepost.
	ServerIP  = "192.0.2.1"
	ServerIP6 = "2001:db8:1::25"
	// The next hop of mail for example.net; see [Sink].
	NextHopIP  = "192.0.2.25"
	NextHopIP6 = "2001:db8:25::25"
	// A well-kept foreign mail server: mail.example.com.
	StrangerIP  = "203.0.113.25"
	StrangerIP6 = "2001:db8:203::25"
	// A host without a name in DNS.
	AttackerIP  = "203.0.113.66"
	AttackerIP6 = "2001:db8:203::66"
	// Where the users sit.
	UserIP      = "198.51.100.7"
	OtherUserIP = "198.51.100.8"
	UserIP6     = "2001:db8:198::7"

	dnsIP = "127.0.53.1"
)

// routes are the networks and addresses of the loopback interface. Postfix
// takes an address for inet_interfaces only if an interface has it.
var routes = struct{ nets, addrs []string }{
	nets: []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"},
	addrs: []string{
		ServerIP + "/32", ServerIP6 + "/128", NextHopIP6 + "/128",
		StrangerIP6 + "/128", AttackerIP6 + "/128", UserIP6 + "/128",
	},
}

// zone is what DNS says before a test adds anything.
var zone = []string{
	"example.org. MX 10 mx.example.org.",
	"example.org. TXT \"v=spf1 mx -all\"",
	"mx.example.org. A " + ServerIP,
	"mx.example.org. AAAA " + ServerIP6,
	"mx.example.org. TXT \"v=spf1 a -all\"",
	"1.2.0.192.in-addr.arpa. PTR mx.example.org.",
	"example.net. MX 10 mx.example.net.",
	"mx.example.net. A " + NextHopIP,
	"mx.example.net. AAAA " + NextHopIP6,
	"25.2.0.192.in-addr.arpa. PTR mx.example.net.",
	"example.com. MX 10 mail.example.com.",
	"example.com. TXT \"v=spf1 ip4:" + StrangerIP + " ip6:" + StrangerIP6 + " -all\"",
	"mail.example.com. A " + StrangerIP,
	"mail.example.com. AAAA " + StrangerIP6,
	"25.113.0.203.in-addr.arpa. PTR mail.example.com.",
	"7.100.51.198.in-addr.arpa. PTR laptop.isp.example.",
	"laptop.isp.example. A " + UserIP,
}
