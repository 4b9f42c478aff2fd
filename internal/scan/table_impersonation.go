package scan

// impersonationRules are about who the author wants to be taken for.
var impersonationRules = []rule{
	{Rule: Rule{"BRAND_NAME", "impersonation", 4, "The author bears the name of a well-known brand, whose domain this is not."}, match: brandName},
	{Rule: Rule{"BRAND_FORGED", "impersonation", 3, "The author's domain is a well-known brand's, and nothing vouches for it."}, inbound: true, match: brandForged},
	{Rule: Rule{"OWN_NAME_ADDRESS", "impersonation", 4, "The author's name shows an address of ours, and the real one is elsewhere."}, inbound: true, match: ownNameAddress},
	{Rule: Rule{"OWN_DOMAIN_FORGED", "impersonation", 4, "The author's domain is ours, and nothing vouches for it."}, inbound: true, match: ownForged},
	{Rule: Rule{"OWN_DOMAIN_REPLY", "impersonation", 3, "The author's domain is ours, and answers shall go elsewhere."}, inbound: true, match: ownReplyAway},
	{Rule: Rule{"OWN_DOMAIN_LOOKALIKE", "impersonation", 5, "The author's domain looks like one of ours."}, inbound: true, match: ownLookalike},
	{Rule: Rule{"RECIPIENT_DOMAIN_NAME", "impersonation", 2.5, "The author's name shows the recipient's domain."}, inbound: true, match: goalInName},
}
