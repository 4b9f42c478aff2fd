package scan

// bounceRules are about what claims to be a bounce.
var bounceRules = []rule{
	{Rule: Rule{"BOUNCE_MANY", "bounce", 1.5, "A report goes to more than the one who sent."}, inbound: true, match: bounceMany},
	{Rule: Rule{"BOUNCE_NO_AUTH", "bounce", 1, "Nothing vouches for the server that reports."}, inbound: true, match: bounceNoAuth},
	{Rule: Rule{"BOUNCE_FAKE", "bounce", 2, "What says to be a report of a mail system is a page with links."}, match: bounceFake},
	{Rule: Rule{"BOUNCE_WORDS", "bounce", 1, "The subject is that of a report, and no mail system sent it."}, match: bounceWords},
}
