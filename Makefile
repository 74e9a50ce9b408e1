# Everything a developer or a pipeline runs. Nothing but Go and make is needed
# beforehand; "make test" installs what the tests need besides (see scripts/).
SHELL := /bin/bash
GO    ?= go
BIN   := bin/sallyport
# The linter is pinned here and built by the Go toolchain, so that no release of
# it can turn a green tree red.
LINT  := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 30s

.DEFAULT_GOAL := build

## build: build bin/sallyport
.PHONY: build
build:
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/sallyport

## run: build, start on the embedded default and say what to try next
.PHONY: run
run: build
	$(BIN) dev

## test: run every test with the race detector, on SQLite and on PostgreSQL
.PHONY: test
test:
	@scripts/test-deps
	$(GO) vet ./...
	$(GO) test -race -timeout 12m ./...

## e2e: only the end-to-end tests
.PHONY: e2e
e2e:
	@scripts/test-deps
	$(GO) test -race -timeout 12m -count=1 ./e2e/...

## lab: the tests that need root and network namespaces; "make test" includes them for root, but never with CI set
.PHONY: lab
lab:
	$(GO) test -race -timeout 15m -count=1 ./e2e/lab ./internal/nft ./internal/netattach ./internal/forward

## lint: the linters of .golangci.yml
.PHONY: lint
lint:
	$(LINT) run ./...

## fmt: format the code
.PHONY: fmt
fmt:
	$(LINT) fmt ./...

## check: what must pass before a merge: format, linters, tests, generated files
.PHONY: check
check:
	$(LINT) fmt --diff ./...
	$(LINT) run ./...
	$(MAKE) test
	$(MAKE) golden
	@git diff --exit-code -- '*.golden' '*.txtar' docs README.md || { echo 'generated files are not current: run make golden and commit'; exit 1; }

## golden: write the golden files and generated documents anew, and show the difference
.PHONY: golden
golden:
	@for p in $$(grep -rlE 'flag\.Bool\("update"' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
		$(GO) test -count=1 $$p -update >/dev/null || exit 1; done
	@git --no-pager diff --stat

## fuzz: run every fuzz target for FUZZTIME (30s)
.PHONY: fuzz
fuzz:
	@for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
		for t in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' $$f); do \
			echo "$$t ($$(dirname $$f))"; \
			$(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) $$(dirname $$f) || exit 1; done; done

## bench: measure and keep the results under bench/results
.PHONY: bench
bench:
	$(GO) run ./bench
	$(GO) run ./bench -size

## cover: test coverage per package
.PHONY: cover
cover:
	$(GO) test -coverprofile=coverage.out ./internal/...
	$(GO) tool cover -func=coverage.out | tail -1

## help: this list
.PHONY: help
help:
	@sed -nE 's/^## ([a-z0-9-]+): (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

## bench-forward: measure the data plane beside HAProxy and nginx, and the cut, as root
.PHONY: bench-forward
bench-forward:
	$(GO) run ./bench/forward
	$(GO) run ./bench/cut
