// Package pair has the end-to-end tests with two mail hosts: two Postfix and two
// gateposts, that know nothing of one another, or that share accounts in one
// MariaDB and state in one Redis.
package pair
