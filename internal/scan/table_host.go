package scan

// hostRules know mail that leaves broken web applications.
var hostRules = []rule{
	{Rule: Rule{"PHP_EVAL", "host", 4, "A script that was hidden in another one made the message."}, match: phpEval},
	{Rule: Rule{"PHP_HIDDEN", "host", 0.5, "A script in a hidden directory made the message."}, match: phpHidden},
	{Rule: Rule{"PHP_ROOT", "host", 1.5, "A script that runs as the superuser made the message."}, match: phpRoot},
	{Rule: Rule{"PHP_FAKE", "host", 0.5, "The message says to be made by a script, in a form that PHP does not write."}, match: phpFake},
	{Rule: Rule{"PHP_SHELL", "host", 3, "A script that is known to be put on broken web sites made the message."}, match: phpShell},
	{Rule: Rule{"PHP_ODD_PLACE", "host", 1.5, "A script made the message that lies where no script for mail belongs."}, match: phpOdd},
	{Rule: Rule{"PHP_SCRIPT", "host", 0.5, "A script of a web site made the message."}, match: phpScript},
}
