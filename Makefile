# windlass: `make demo`, `make test`, `make check`, `make build`, `make tools`.

MODULE := src/sandbox/control_plane
SOURCES := $(MODULE)/go.mod $(MODULE)/go.sum $(MODULE)/main.go $(wildcard $(MODULE)/windlass-renderer/*.go)
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/windlass
# The same digest of the same files as in src/sandbox/tools.rs.
TOOLS := $(CACHE)/tools/$(shell cat $(SOURCES) | sha256sum | cut -c1-16)
CONTRACT := $(CACHE)/contract/$(shell cat tests/contract/package.json tests/contract/requirements.txt | sha256sum | cut -c1-16)
KUBERNETES := 1.37.2
PEERS_MODULES := tests/peers/modules
PEERS_SOURCES := $(foreach file,flux/go.mod flux/go.sum helm/go.mod helm/go.sum argocd/go.mod argocd/go.sum argocd/main.go,$(PEERS_MODULES)/$(file))
# The same digest of the same files as in tests/peers/programs.rs.
PEERS := $(CACHE)/peers/$(shell cat $(PEERS_SOURCES) | sha256sum | cut -c1-16)
DEMO_ARGS ?=
# The stories mostly wait, for rollouts and for each other.
THREADS ?= 8
# Where the stories keep repositories and etcd: in memory, if there is room. They take 150 MiB there.
MEMORY := $(shell [ "$$(df -Pm /dev/shm 2>/dev/null | awk 'NR==2 {print $$4}')" -ge 2048 ] 2>/dev/null && echo /dev/shm)
# What the crash and contract tests counted.
COUNTS := $(or $(CARGO_TARGET_DIR),target)/tmp/crash.txt $(or $(CARGO_TARGET_DIR),target)/tmp/contract.txt

.PHONY: demo test test-peers unit check build bench soak reference tools peers contract needs needs-contract

# Makes targets and runs a command at the same time: neither keeps all cores busy by itself.
beside = $(MAKE) --no-print-directory $(1) & others=$$!; $(2) || { kill $$others 2>/dev/null; exit 1; }; wait $$others

## Tells the whole story on this machine (DEMO_ARGS=--exit: ends after it); the profile of the tests, so that one build serves both
demo: needs
	@$(call beside,tools,cargo build --locked)
	$(or $(CARGO_TARGET_DIR),target)/debug/windlass demo $(DEMO_ARGS)

## All tests; STORY=name for the stories whose names have it
test: needs needs-contract
	@$(call beside,tools contract,cargo test --locked $(if $(STORY),--test it) --no-run)
	@rm -f $(COUNTS)
	$(if $(MEMORY),TMPDIR=$(MEMORY)) WINDLASS_CONTRACT=$(CONTRACT) cargo test --locked $(if $(STORY),--test it -- $(STORY),--) --test-threads $(THREADS)
	@cat $(COUNTS) 2>/dev/null || true

## Flux and Argo CD beside windlass: what previews of their stages predict, against what they then do (docs/benchmarks.md); PEERS_MODE=flux for a part
test-peers: needs tools peers
	cargo test --locked --test peers -- $(PEERS_MODE)

## What needs no control plane
unit: needs
	cargo test --locked --lib

## Formatting, lints, licences and duplicates of crates, and what needs no control plane
check: needs
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo clippy --bin windlass --no-default-features --locked -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --locked check licenses bans sources; \
	else echo "cargo-deny is not installed (cargo install --locked cargo-deny): licences and duplicates were not checked"; fi
	cargo test --locked --lib

## The release binary
build: needs
	cargo build --release --locked

## What windlass costs, beside kubectl and a bare loop (docs/benchmarks.md); BENCH=plan for one part
bench: needs tools
	cargo bench --locked --bench bench -- $(BENCH)

## An hour of hostile heads, webhooks and labels (SOAK_MINUTES=60): what stands still, and how much memory it takes
soak: needs tools
	cargo bench --locked --bench soak

## The pages and files that are made from the types: docs/reference, the definitions, the schema of windlass.yaml
reference:
	cargo build --locked
	$(or $(CARGO_TARGET_DIR),target)/debug/windlass reference docs/reference
	$(or $(CARGO_TARGET_DIR),target)/debug/windlass crd > deploy/crds.yaml
	$(or $(CARGO_TARGET_DIR),target)/debug/windlass schema > deploy/windlass.schema.json

## Kubernetes, kustomize and helm, built once from pinned Go modules
tools: $(TOOLS)/.complete

$(TOOLS)/.complete: $(SOURCES)
	@sh scripts/build-tools "$(MODULE)" "$(TOOLS)" "$(KUBERNETES)"

## Flux's and Argo CD's controllers, built once from pinned Go modules
peers: $(PEERS)/.complete

$(PEERS)/.complete: $(PEERS_SOURCES)
	@sh scripts/build-peers "$(PEERS_MODULES)" "$(PEERS)"

## GitHub's official API descriptions, and clients written by others, for the contract tests
contract: $(CONTRACT)/.complete

$(CONTRACT)/.complete: tests/contract/package.json tests/contract/requirements.txt
	@sh scripts/fetch-contract "$(CONTRACT)"

needs:
	@sh scripts/needs cargo go cc git

needs-contract:
	@sh scripts/needs node npm python3 curl jq
