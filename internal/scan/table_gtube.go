package scan

import "github.com/gatepost/gatepost/internal/verdict"

// testRules prove that the filter is in the chain.
var testRules = []rule{
	{Rule: Rule{"GTUBE", "test", 1000, "The message holds the GTUBE test pattern."},
		verdict: verdict.Reject, reply: "this message holds the GTUBE test pattern", match: gtube},
}
