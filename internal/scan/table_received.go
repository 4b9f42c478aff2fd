package scan

// receivedRules are about the session, the client and the Received lines.
var receivedRules = []rule{
	{Rule: Rule{"RECEIVED_ILLEGAL", "header", 3, "A Received field holds bytes that no mail server writes."}, inbound: true, match: receivedIllegal},
	{Rule: Rule{"RECEIVED_DATE", "header", 1, "A Received field has an impossible date."}, inbound: true, match: receivedDateBad},
	{Rule: Rule{"HELO_IP", "session", 2.5, "The client named itself by an IP address."}, inbound: true, match: heloIP},
	{Rule: Rule{"HELO_BAD_IP", "session", 2, "The client named itself by an IP address that is not its own."}, inbound: true, match: heloBadIP},
	{Rule: Rule{"HELO_BARE", "session", 2, "The client named itself without a domain."}, inbound: true, match: heloBare},
	{Rule: Rule{"HELO_LOCAL", "session", 1.5, "The client named itself as in a network at home."}, inbound: true, match: heloLocal},
	{Rule: Rule{"HELO_OWN", "session", 4, "The client named itself by a domain of ours."}, inbound: true, match: heloOwn},
	{Rule: Rule{"HELO_PROVIDER", "session", 3, "The client named itself by a provider of mailboxes and is none of its servers."}, inbound: true, match: heloProvider},
	{Rule: Rule{"HELO_POOL", "session", 2, "The client named itself like an access line."}, inbound: true, match: heloPool},
	{Rule: Rule{"PTR_MISSING", "session", 2, "The client's address has no name that leads back to it."}, inbound: true, match: ptrMissing},
	{Rule: Rule{"PTR_POOL", "session", 2, "The client's address has the name of an access line."}, inbound: true, match: ptrPool},
	{Rule: Rule{"PTR_UNKNOWN", "session", 0, "The name of the client's address could not be looked up."}, inbound: true, fact: true, match: ptrUnknown},
	{Rule: Rule{"DIRECT_POOL", "session", 2, "An access line brings mail that no server has handled."}, inbound: true, match: directPool},
	{Rule: Rule{"RELAY_NAMELESS", "header", 0.5, "A server on the way got the message from an address without a name."}, inbound: true, match: relay(relayNameless)},
	{Rule: Rule{"RELAY_POOL", "header", 0.3, "A server on the way got the message from an access line."}, inbound: true, match: relay(relayPool)},
	{Rule: Rule{"RELAY_HELO_IP", "header", 0.5, "A server on the way got the message from a client that named itself by an IP address."}, inbound: true, match: relay(relayHeloIP)},
	{Rule: Rule{"RELAY_HELO_BARE", "header", 0.3, "A server on the way got the message from a client that named itself without a domain."}, inbound: true, match: relay(relayHeloBare)},
	{Rule: Rule{"RELAY_HELO_PROVIDER", "header", 1, "A server on the way got the message from a client that named itself by a provider of mailboxes and was none of its servers."}, inbound: true, match: relay(relayHeloProvider)},
	{Rule: Rule{"RELAY_HELO_USER", "header", 1, "A server on the way got the message from a client that named itself \"user\"."}, inbound: true, match: relay(relayHeloUser)},
}
