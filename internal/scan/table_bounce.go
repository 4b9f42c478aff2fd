package scan

// bounceRules are about what claims to be a bounce.
var bounceRules = []rule{}
