package scan

// hostRules know mail that leaves broken web applications.
var hostRules = []rule{}
