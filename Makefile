# `make` checks the code; `make test` checks everything, with real Postfix and
# Dovecot (as root); `make demo` shows it.

# sudo's PATH seldom holds the directory of Go's own installer.
GO      ?= $(shell command -v go || echo /usr/local/go/bin/go)
GOFMT   ?= $(dir $(shell command -v $(GO)))gofmt
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS := -s -w $(if $(VERSION),-X main.version=$(VERSION))
FUZZTIME ?= 60s
PREFIX  ?= /usr/local
# The race detector needs a C compiler: without one CI fails, and at home the
# tests run without it.
RACE    := $(if $(or $(filter true,$(CI)),$(shell command -v gcc)),-race)
E2E     := ./internal/e2e/...

export GOFLAGS ?= -mod=readonly

.DEFAULT_GOAL := check
.PHONY: check test lint layers unit e2e demo build fuzz bench conformance eval eval-compare rules-report generate install deps torture odd simulate

check: lint layers unit

# With DEPS=no, test, demo and eval-compare print the apt line and do nothing
# else.
ifeq ($(DEPS),no)
test demo eval-compare:
	@DEPS=no .ci/deps.sh $@
else
test:
	@.ci/deps.sh test || [ "$(CI)" != true ]
	$(MAKE) lint layers unit e2e
	$(GO) run ./internal/e2e/cmd/demo -optional
	$(GO) run ./internal/e2e/cmd/demo -optional -split

# KEEP=1 stays up until Ctrl-C. $(error) ends make with this one line; a recipe
# that fails would bring a second one of make's own.
demo:
	$(if $(filter 0,$(shell id -u)),,$(error make demo needs root, Postfix does not start otherwise: sudo make demo))
	@.ci/deps.sh demo
	@$(GO) run ./internal/e2e/cmd/demo $(if $(filter 1,$(KEEP)),-keep)

# The same streams given to bogofilter and SpamAssassin in the same run, beside
# ours; a quarter of an hour, because SpamAssassin takes 0.12 s a message: it gets
# the FIRST messages of each corpus, 0 for all. UPDATE=1 writes the table into
# the page.
eval-compare:
	@.ci/deps.sh $@
	@$(GO) run ./internal/eval/cmd/compare -data $(CORPORA)/.. -first $(FIRST) $(if $(filter 1,$(UPDATE)),-update docs/accuracy.md)
endif

lint:
	@files=$$($(GOFMT) -l .); \
	if [ -n "$$files" ]; then echo "gofmt: $$files"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags e2e $(E2E)
	$(GO) tool staticcheck ./...
	$(GO) tool staticcheck -tags e2e $(E2E)

layers:
	$(GO) test ./internal/layers

# Unit tests; the seeds of every fuzz test are among them.
unit:
	@$(if $(RACE),,echo "skip: race detector: no gcc")
	$(GO) test $(RACE) ./...

e2e:
	$(GO) test -tags e2e -count=1 $(E2E)

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/gatepost ./cmd/gatepost

# What a message asks of each store, measured with real Postfix, MariaDB and Redis,
# and what that makes of ten hosts and a million mailboxes; about two minutes, as
# root. ARGS="-mailboxes 50000 -hosts 2" changes what is assumed; UPDATE=1 writes
# the tables into docs/scale.md.
simulate:
	$(if $(filter 0,$(shell id -u)),,$(error make simulate needs root, Postfix does not start otherwise: sudo make simulate))
	@$(GO) run ./internal/e2e/cmd/simulate $(ARGS) $(if $(filter 1,$(UPDATE)),-update docs/scale.md)

# Every fuzz test of every package, FUZZTIME each.
fuzz:
	@for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u); do \
		for name in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$dir/*_test.go); do \
			echo "$$dir $$name"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$dir || exit 1; \
		done; \
	done

# Each rate beside a null server or a bare operation of the same run; what
# counts is the ratio (docs/benchmarks.md).
bench:
	@$(GO) run ./internal/e2e/cmd/bench -go $(GO)

# The tables of docs/accuracy.md, without network and seed; UPDATE=1 writes them
# into the page.
CORPORA  ?= ../shared/data/corpora
FIRST    ?= 2000
MASK     ?= $(CORPORA)/../split/mask-headers.txt
eval:
	@$(GO) run ./internal/eval/cmd/accuracy -data $(CORPORA)/.. $(if $(filter 1,$(UPDATE)),-update docs/accuracy.md)

# What each rule hits in the corpora, and its weight: docs/rules.md and the
# weights that are compiled in.
rules-report:
	$(GO) run ./internal/scan/cmd/fit -corpora $(CORPORA) -mask $(MASK) \
		-weights internal/scan/weights_fitted.go -report docs/rules.md

# A line a public suite, "name: passed/total", and one for each case that does
# not pass, with its reason.
conformance:
	@out=$$(mktemp); trap 'rm -f $$out' EXIT; \
	$(GO) test -count=1 -v -run 'Conformance|Suite' ./internal/mailauth/... ./internal/publicsuffix/... ./internal/sieve/... >$$out 2>&1 || { cat $$out; exit 1; }; \
	sed -n 's/^conformance: //p' $$out

generate:
	$(GO) generate ./...

# Kills a real gatepost N times while eight senders deliver, and counts every
# copy in the end. SEED repeats a run's choices, DIR takes a run up that was
# ended. A small one is among the unit tests.
N ?= 1000
torture:
	@$(GO) run ./internal/torture/cmd/torture -go $(GO) -n $(N) $(if $(SEED),-seed $(SEED)) $(if $(DIR),-dir $(DIR))

# 10,000 odd messages through lmtpd, read back by Dovecot; `make test` has 300.
odd:
	$(GO) test -tags e2e -count=1 -run 'TestLMTPOddMessages' -v ./internal/e2e -odd 10000

# DESTDIR for packagers. The units name /usr/local/bin; another PREFIX is put
# in its place. No service is switched on, no user made: see docs/howto.
install: build
	install -D -m 0755 bin/gatepost $(DESTDIR)$(PREFIX)/bin/gatepost
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/tmpfiles.d \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d
	for u in contrib/systemd/*.service contrib/systemd/*.socket; do \
		sed 's|/usr/local|$(PREFIX)|g' $$u >$(DESTDIR)$(PREFIX)/lib/systemd/system/$${u##*/} || exit 1; done
	for d in contrib/systemd/*.service.d; do \
		for f in $$d/*.conf; do install -D -m 0644 $$f $(DESTDIR)$(PREFIX)/lib/systemd/system/$${d##*/}/$${f##*/} || exit 1; done; done
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/doc/gatepost/contrib/systemd contrib/systemd/gatepost-split.*
	install -m 0644 contrib/systemd/gatepost.tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/gatepost.conf
	install -m 0644 contrib/systemd/gatepost.sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/gatepost.conf
	for m in docs/man/*.[158]; do \
		install -D -m 0644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/} || exit 1; done
	for f in LICENSE *.md docs/*.md docs/howto/*.md examples/*.yaml examples/*/* contrib/dovecot/*; do \
		install -D -m 0644 $$f $(DESTDIR)$(PREFIX)/share/doc/gatepost/$$f || exit 1; done
	install -m 0644 contrib/systemd/dovecot-gatepost.conf $(DESTDIR)$(PREFIX)/share/doc/gatepost/

deps:
	@DEPS=$(DEPS) .ci/deps.sh test
