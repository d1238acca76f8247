# build   every package, and the programs into bin/
# demo    a Go function runs inside a throw-away container, or inside that of PID=…
# test    vet and all tests, then once more with the race detector; root runs all of them
# test-states the tests on machines in STATES; test/states/run.sh says which there are
# lint    formatting, linters, import rules, the builds without cgo, for another system and other machines, the C part
# fuzz    every fuzz test for FUZZTIME
# bench   every benchmark, for BENCHTIME each, then ROUNDS of the comparisons with others
# kernels the tests of PACKAGES in guests with the kernels in the directories KERNELS; docs/kernels.md has more

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: build demo test test-states lint lint-go lint-gate lint-arch lint-c fuzz bench kernels tools needs

export GOFLAGS := $(shell go env GOFLAGS) -buildvcs=false
FUZZTIME  ?= 10s
BENCHTIME ?= 1s
ROUNDS    ?= 200

# The architectures that are supported; docs/kernels.md has them, too.
ARCHITECTURES := amd64 arm64 arm 386 riscv64 s390x ppc64le loong64

LINTER_VERSION := 2.15.0
LINTER := $(or $(shell go env GOBIN),$(shell go env GOPATH)/bin)/golangci-lint

# One package at a time: they look for mounts and interfaces that a test left behind on the machine. With the race
# detector every worker would sleep for a second before it exits. The time limit is for slow and busy machines.
tests = go test -p 1 -timeout 30m -v -shuffle=on $(1) ./... 2>&1 </dev/null | .ci/audit

build: needs
	go build ./...
	go build -o bin/ ./cmd/... ./examples/...

demo: needs
	go build -o bin/demo ./examples/demo
	bin/demo $(if $(PID),-pid '$(PID)')

test: needs
	go vet ./...
	$(call tests,)
	GORACE=atexit_sleep_ms=0 $(call tests,-race)

test-states: needs
	test/states/run.sh $(STATES)

lint: needs lint-go lint-gate lint-c lint-arch

lint-go: tools
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt -w is wanted: $$unformatted"; exit 1; fi
	go mod tidy -diff
	go vet ./...
	$(LINTER) run
	go -C bench mod tidy -diff
	go -C bench vet ./...

# What the library promises: without cgo and on other systems it builds, and whoever needs no spawning links no C.
lint-gate:
	@deps=$$(go list -deps -f '{{if not .Standard}}{{.ImportPath}}{{end}}' ./discover | wc -l); \
	if [ "$$deps" -gt 60 ]; then echo "discover compiles $$deps packages outside the standard library, more than 60"; exit 1; fi
	GOOS=darwin go build ./...
	GOOS=darwin go vet ./...
	@deps=$$(go list -deps ./species ./handle $(addprefix ./,$(wildcard discover))); \
	if grep -E '^(runtime/cgo|testing|.*/nsenter)$$' <<<"$$deps"; then \
		echo "only call may depend on that, or only tests"; exit 1; \
	fi
	@cgo=$$(go list -f '{{if .CgoFiles}}{{.ImportPath}}{{end}}' ./...); \
	if [ "$$cgo" != github.com/nsops/nsops/nsenter ]; then echo "only nsenter may use cgo, found: $$cgo"; exit 1; fi

# Everything compiles for each architecture, with its tests and without cgo; the others are refused with a sentence.
lint-arch:
	@for arch in $(ARCHITECTURES); do \
		export CGO_ENABLED=0 GOARCH=$$arch; \
		go build ./... && go vet ./... || { echo "for $$arch"; exit 1; }; \
	done
	@refused=$$(GOARCH=mips go build ./internal/raw 2>&1 || true); \
	if ! grep -q nsops_does_not_support <<<"$$refused"; then \
		echo "an architecture that nobody has tried is not refused"; exit 1; \
	fi

# -Werror and its like in CGO_CFLAGS would break runtime/cgo, hence the check beside the build.
lint-c:
	@for file in nsenter/*.c; do \
		if [ "$$(wc -l <$$file)" -gt 300 ]; then echo "$$file has more than 300 lines"; exit 1; fi; \
	done
	@for cc in gcc clang musl-gcc; do \
		if command -v $$cc >/dev/null; then \
			for file in nsenter/*.c; do $$cc -fsyntax-only -Wall -Wextra -Wshadow -Wconversion -Werror $$file || exit 1; done; \
		elif [ "$${CI:-}" = true ]; then \
			echo "CI needs $$cc"; exit 1; \
		else \
			echo "not checked with $$cc, which is not installed"; \
		fi; \
	done

fuzz: needs
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

bench: needs
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...
	go -C bench run ./spawn -n $(ROUNDS)
	go -C bench run ./netconf -n $(ROUNDS)
	bench/discover/run.sh n $(ROUNDS)

kernels: needs
	test/kernels/run.sh $(KERNELS)

tools:
	@[ "$$($(LINTER) version --short 2>/dev/null)" = $(LINTER_VERSION) ] || \
		go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(LINTER_VERSION)

needs:
	@command -v go >/dev/null || { echo "Go is missing; go.mod says which version"; exit 1; }
	@echo '#include <stdlib.h>' | $$(go env CC) -fsyntax-only -xc - 2>/dev/null || \
		{ echo "a C compiler with its headers is missing: apt-get install gcc libc6-dev"; exit 1; }
