package scan

// knownRules are about what is remembered of the sender.
var knownRules = []rule{}
