package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gatepost/gatepost/internal/account"
	"github.com/gatepost/gatepost/internal/password"
	"github.com/gatepost/gatepost/internal/secret"
)

func newUser(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Mailboxes and their logins", Example: "  gatepost user add alice@example.org"}
	cmd.AddCommand(newUserAdd(a), newUserRemove(a), newUserList(a), newUserShow(a), newUserPassword(a), newUserGrant(a), newUserRevoke(a),
		newUserHold(a), newUserRelease(a), newUserSignals(a), newUserSet(a), newAppPassword(a),
		newUserFlag(a, "disable", "Refuse a user's logins; mail still comes in", func(s account.Store, cmd *cobra.Command, u account.User) error {
			return s.SetDisabled(cmd.Context(), u.Addr, true)
		}),
		newUserFlag(a, "enable", "Let a disabled user log in again", func(s account.Store, cmd *cobra.Command, u account.User) error {
			return s.SetDisabled(cmd.Context(), u.Addr, false)
		}))
	return cmd
}

func newUserAdd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "add ADDRESS", Short: "Add a mailbox; the password comes from a prompt or stdin",
		Example: "  gatepost user add alice@example.org\n  gatepost user add bob@example.org < password.txt",
		Args:    cobra.ExactArgs(1),
	}
	scheme := schemeFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		addr, err := address(args[0])
		if err != nil {
			return err
		}
		cfg, err := a.load()
		if err != nil {
			return err
		}
		mail, there, err := mailOf(cfg, addr)
		if err != nil {
			return err
		}
		hash, err := readNewPassword(cmd, addr.String(), *scheme)
		if err != nil {
			return err
		}
		err = a.withAccounts(cmd, func(s account.Store) error {
			return s.AddUser(cmd.Context(), account.User{Addr: addr, Password: hash})
		})
		if err == nil && there {
			warn(cmd.ErrOrStderr(), "%s is there already: its mail is now that of %s", mail, addr)
		}
		return err
	}
	return cmd
}

func newUserPassword(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "password ADDRESS", Short: "Set a password, from a prompt or stdin",
		Example: "  gatepost user password alice@example.org\n  gatepost user password alice@example.org --scheme SCRAM-SHA-256",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: a.complete(1, userNames),
	}
	scheme := schemeFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		addr, err := address(args[0])
		if err != nil {
			return err
		}
		hash, err := readNewPassword(cmd, addr.String(), *scheme)
		if err != nil {
			return err
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			return s.SetPassword(cmd.Context(), addr, hash)
		})
	}
	return cmd
}

// schemeFlag adds --scheme to cmd.
func schemeFlag(cmd *cobra.Command) *string {
	var names []string
	for _, s := range password.MakeSchemes() {
		names = append(names, string(s))
	}
	text := "how it is stored: " + strings.Join(names, ", ")
	flag := cmd.Flags().String("scheme", string(password.Default), text)
	// The names are ours, so this can not fail.
	_ = cmd.RegisterFlagCompletionFunc("scheme", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return flag
}

// newScheme reads --scheme, and warns of one that does not protect a password.
func newScheme(w io.Writer, name string) (password.Scheme, error) {
	s, err := password.ParseScheme(name)
	if err == nil && !slices.Contains(password.MakeSchemes(), s) {
		err = fmt.Errorf("no new password is stored as %s", s)
	}
	if err != nil {
		return "", &misuse{hint(fmt.Errorf("--scheme: %w", err), "%s is the best; gatepost user password --help lists the others", password.Default)}
	}
	if why, weak := password.Weak(s); weak {
		warn(w, "%s protects no password from who reads the store: %s", s, why)
	}
	return s, nil
}

func newUserRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "remove ADDRESS", Short: "Remove a mailbox's login; its mail stays on disk",
		Example: "  gatepost user remove bob@example.org", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(1, userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := address(args[0])
			if err != nil {
				return err
			}
			cfg, err := a.load()
			if err != nil {
				return err
			}
			mail, there, mailErr := mailOf(cfg, addr) // none for a name that has no directory
			err = a.withAccounts(cmd, func(s account.Store) error {
				return s.RemoveUser(cmd.Context(), addr)
			})
			if err == nil && mailErr == nil && there {
				fmt.Fprintf(cmd.ErrOrStderr(), "gatepost: the mail stays in %s\n", printable(mail))
			}
			return err
		},
	}
}

// newUserFlag is a command that sets one flag of a user.
func newUserFlag(a *app, use, short string, set func(account.Store, *cobra.Command, account.User) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " ADDRESS", Short: short, Example: "  gatepost user " + use + " alice@example.org", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.complete(1, userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, err := address(args[0])
			if err != nil {
				return err
			}
			return a.withAccounts(cmd, func(s account.Store) error {
				return set(s, cmd, account.User{Addr: addr})
			})
		},
	}
}

func newUserList(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "list [DOMAIN|MASK]", Short: "List users, all or those of a domain or mask",
		Example: "  gatepost user list example.org\n  gatepost user list 'a*@example.org' --json", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: a.complete(1, domainNames)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.withAccounts(cmd, func(s account.Store) error {
			all, err := s.Users(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), list(all))
			}
			return printUsers(cmd, all)
		})
	}
	return cmd
}

func newUserShow(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "show ADDRESS", Short: "Show a user",
		Example: "  gatepost user show alice@example.org", Args: cobra.ExactArgs(1), ValidArgsFunction: a.complete(1, userNames)}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		addr, err := address(args[0])
		if err != nil {
			return err
		}
		return a.withAccounts(cmd, func(s account.Store) error {
			u, err := s.User(cmd.Context(), addr)
			if err != nil {
				return fmt.Errorf("user %s: %w", addr, err)
			}
			more, err := showUser(cmd, s, u)
			if err != nil {
				return err
			}
			apps, err := s.AppPasswords(cmd.Context(), addr)
			if err != nil {
				return err
			}
			page := userPage{shownUser: more, AppPasswords: list(apps)}
			if *asJSON {
				return printJSON(cmd.OutOrStdout(), page)
			}
			return page.print(cmd.OutOrStdout())
		})
	}
	return cmd
}

// readNewPassword asks for a password twice at a terminal, or reads one line
// of stdin, and returns its hash. A password is never an argument: those are
// seen by every user of the machine.
func readNewPassword(cmd *cobra.Command, user, schemeName string) (secret.Value, error) {
	scheme, err := newScheme(cmd.ErrOrStderr(), schemeName)
	if err != nil {
		return secret.Value{}, err
	}
	var pw []byte
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		pw, err = promptTwice(cmd.ErrOrStderr(), int(f.Fd()), user)
	} else {
		pw, err = readLine(cmd.InOrStdin())
	}
	switch {
	case err != nil:
		return secret.Value{}, fmt.Errorf("read password: %w", err)
	case len(pw) == 0:
		return secret.Value{}, hint(errors.New("no password was given"), "type it at the prompt, or give it as one line on stdin")
	case len(pw) > password.MaxBytes:
		return secret.Value{}, fmt.Errorf("a password has at most %d bytes", password.MaxBytes)
	}
	if utf8.RuneCount(pw) < shortPassword {
		warn(cmd.ErrOrStderr(), "the password has fewer than %d characters, and is soon guessed", shortPassword)
	}
	return password.Hash(scheme, pw)
}

// shortPassword is below how many characters a password is worth a warning. It
// is still taken: somebody may need it for a test.
const shortPassword = 8

// readLine reads all of r, which has to be one line. A second line is no part
// of a password, and may be a sign of the wrong file.
func readLine(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, password.MaxBytes+3)) // CR LF, and one too many
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	if err == nil && len(rest) > 0 {
		err = hint(errors.New("there is more than one line"), "give the password alone, as one line on stdin")
	}
	return bytes.TrimSuffix(line, []byte("\r")), err
}

func promptTwice(w io.Writer, fd int, user string) ([]byte, error) {
	fmt.Fprintf(w, "Password for %s: ", user)
	first, err := term.ReadPassword(fd)
	fmt.Fprintln(w)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(w, "The same again: ")
	second, err := term.ReadPassword(fd)
	fmt.Fprintln(w)
	if err != nil {
		return nil, err
	}
	if !secret.New(first).Equal(secret.New(second)) {
		return nil, errors.New("the two are not the same")
	}
	return first, nil
}
