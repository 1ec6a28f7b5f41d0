# Every target says what it does after ##; make help lists them.
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
POSTGRES := $(shell command -v postgres || ls /usr/lib/postgresql/*/bin/postgres 2>/dev/null | tail -1)

# The packages in which goroutines meet, the longest first.
MEET := ./internal/app ./internal/ledger ./internal/store ./internal/decide ./internal/live ./internal/api ./internal/identity ./internal/watch ./sdk/...

.PHONY: help build demo test unit race e2e verifiers lint fmt bench tools

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/writ
	go build -trimpath -o bin/writ ./cmd/writ

demo: ## run the demo until Ctrl-C
	go run ./cmd/writ demo

test: tools unit race e2e verifiers ## everything, on both databases

unit: ## the tests beside the code, where no goroutines meet
	go test -timeout 15m $$(go list . ./internal/... ./cmd/... ./sdk/... ./bench/... | grep -vxF "$$(go list $(MEET))")

race: ## the others, under the race detector
	go test -race -timeout 20m $(MEET)

e2e: build ## the binary driven from outside: crash, tampering, several nodes, a browser
	go test -timeout 20m ./e2e

verifiers: ## verifiers that nobody here wrote, against a live ledger
	cd e2e/verifiers && go test ./...

tools: ## install PostgreSQL, strace and Chromium where they are missing
ifeq ($(POSTGRES),)
	apt-get update -q && apt-get install -y -q postgresql
endif
	@command -v strace >/dev/null || (apt-get update -q && apt-get install -y -q strace)
	@command -v chromium >/dev/null || (apt-get update -q && apt-get install -y -q chromium)

lint: ## format, vet and golangci-lint
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || (gofmt -l $$(git ls-files '*.go'); exit 1)
	go vet ./...
	go run $(GOLANGCI) run ./...

fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

bench: ## measure beside the peers; QUICK=1 takes under a minute
	go run ./bench $(if $(QUICK),-quick)
