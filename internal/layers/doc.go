// Package layers holds the plan of the house as a test: which package may
// import which. Its findings name the file and the rule.
//
// From the top: cmd wires and names each part; the four daemons speak one
// protocol each and know nothing of one another; internal packages are parts;
// the ground is values and rules, which import the standard library and each
// other only. Imports point down.
package layers
