package mysql

// A Schema is where domains, users and aliases stand in tables that another
// program writes: six queries, which only read. What we add to such a user
// stands in tables of our own.
//
// In a query %d is the domain that is looked for, %u the local part and %s the
// whole address, all in lower case, as Postfix's mysql_table(5) has them; %% is
// a percent sign. They are sent as values: with or without quotation marks
// around them ('%s', '%u@%d') they can not be mistaken for SQL. %u of a catch-all
// is empty, and its %s is "@domain".
//
// Results are columns by name, in any order; another name is an error, so that a
// slip is found at the start and not in the mail. NULL is as 0 or "". A row
// whose address or domain differs from what was asked for, in more than case, is
// as if it were not there: a collation may find "é" for "e".
//
// A list (Domains, Users, Aliases) is asked with %d empty for all, and else for
// one domain. It may ignore %d, and its order is free.
type Schema struct {
	// Name is what the setting "schema" calls it.
	Name string
	// Page is the page of documentation whose tables it reads.
	Page string

	// Domain finds the domain %d, also one that is only another name of one.
	// Columns: domain.
	Domain string
	// Domains lists them. Columns: domain.
	Domains string
	// User finds the mailbox %s. A mailbox that takes no mail is no row. What it
	// says of logins holds besides what we say: both have to allow one. Columns:
	//
	//   - address, local@domain;
	//   - password, "{SCHEME}hash", or bare under default_pass_scheme; with one that
	//     can be none (a line feed in it, over 1024 bytes) nobody logs in;
	//   - id (may be left out), any value that a later user of that address
	//     would not have: a number that counts up, or when the row was made.
	//     App passwords and grants end with it. Without it they outlive a user
	//     who is removed and made again;
	//   - enabled (may be left out), 0 or NULL refuses logins and sending;
	//   - nologin (may be left out), why the user may not log in, or empty;
	//   - services (may be left out), what the user may log in to, by words of
	//     account.ServiceOf with commas between; empty is all;
	//   - allow_nets (may be left out), addresses and networks to log in from, with
	//     commas between; empty is all;
	//   - quota (may be left out), in bytes; 0 or less is none;
	//   - changed (may be left out), in seconds since 1970.
	User string
	// Users lists them, with the columns of User.
	Users string
	// Alias finds the alias %s, or with an empty %u the catch-all of %d. Another
	// name of a domain is its catch-all with the destination "@domain". Columns:
	//
	//   - address, local@domain or "@domain" (the domain alone is the same);
	//   - destinations, addresses with commas between; of several rows those of
	//     all, in their order.
	Alias string
	// Aliases lists them, with the columns of Alias.
	Aliases string
}
