package scan

// receivedRules are about the session, the client and the Received lines.
var receivedRules = []rule{
	{Rule: Rule{"RECEIVED_ILLEGAL", "header", 3, "A Received field holds bytes that no mail server writes."}, inbound: true, match: receivedIllegal},
	{Rule: Rule{"HELO_IP", "session", 2.5, "The client named itself by an IP address."}, inbound: true, match: heloIP},
	{Rule: Rule{"HELO_BARE", "session", 2, "The client named itself without a domain."}, inbound: true, match: heloBare},
	{Rule: Rule{"PTR_MISSING", "session", 2, "The client's address has no name that leads back to it."}, inbound: true, match: ptrMissing},
	{Rule: Rule{"PTR_UNKNOWN", "session", 0, "The name of the client's address could not be looked up."}, inbound: true, fact: true, match: ptrUnknown},
}
