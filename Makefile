# What a change must pass, and the tools for it. `make test` is the whole; the rest are its parts.
#
#   make test                      everything, on a fresh Debian 12 with Rust, a C compiler and root's apt-get
#   make lint | deny | unit | clients | benches-once | smoke
#   make fuzz [SECONDS=10]         every fuzz target for SECONDS; one: make fuzz TARGETS=head
#   make loom                      the wake-up protocol of the queue, every interleaving
#   make reading                   the tests of nodes that read the body as a value, in the build for benches
#   make bench-only                that build, see docs/performance.md
#   make asan                      the tests around the unsafe code under AddressSanitizer, see docs/sanitizers.md
#   make fuzz-long                 every fuzz target for ten minutes
#   make loadtest SCENARIO=steady  a k6 scenario against a server of its own, see loadtest/README.md
#   make advisories                known vulnerabilities of our dependencies (needs the RustSec database: a network)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: all test tools lint deny advisories unit clients benches-once bench-only reading loom asan fuzz fuzz-build fuzz-long smoke loadtest

BUILT := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
TOOLS := $(BUILT)/tools
export PATH := $(TOOLS)/bin:$(PATH)

SECONDS ?= 10
TARGETS ?= $(sort $(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs)))
SCENARIO ?= smoke

all:
	cargo build --release --locked

# Tests come last: what they say is what the run says.
test: tools lint deny benches-once loom fuzz smoke clients reading unit

tools:
	@.ci/tools "$(TOOLS)"

lint:
	cargo fmt --all --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo fmt --check --manifest-path loom/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --no-deps --lib --quiet

# Needs the crates and nothing else from a network; see deny.toml for what that leaves out.
deny: tools
	cargo fetch --locked
	cargo fetch --locked --manifest-path fuzz/Cargo.toml
	cargo deny --offline --locked check --hide-inclusion-graph -A license-exception-not-encountered licenses bans sources
	cargo deny --offline --locked --manifest-path fuzz/Cargo.toml check --hide-inclusion-graph licenses bans sources
	@echo "advisories were not checked: their database needs a network (make advisories)"

advisories: tools
	cargo deny --locked check advisories

# The tests that need nothing but Rust: what `cargo test` runs.
unit:
	cargo test --locked --doc
	cargo test --locked --lib --bins --tests

# The tests that need programs from outside (curl, axios, requests, php, go, java, ruby, …): marked `#[ignore]` there.
clients: tools
	tests/clients/install.sh "$(BUILT)/clients"
	INRUSH_CLIENTS="$(BUILT)/clients" cargo test --locked --lib --bins --tests -- --ignored

# Each bench once, as a test of itself, without measuring.
benches-once:
	cargo test --locked --benches

# A target directory of its own, because the flag rebuilds every crate.
reading:
	RUSTFLAGS="--cfg inrush_bench" cargo test --locked --target-dir "$(BUILT)/bench-only" --test reading --test allocations

bench-only: reading
	RUSTFLAGS="--cfg inrush_bench" cargo build --release --locked --target-dir "$(BUILT)/bench-only"

loom:
	cargo test --locked --manifest-path loom/Cargo.toml --target-dir "$(BUILT)/loom"

asan:
	RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR="$(BUILT)/asan" $(if $(NIGHTLY),,RUSTC_BOOTSTRAP=1 )cargo $(NIGHTLY) test \
	    --locked --target x86_64-unknown-linux-gnu --lib -- queue buffer json event ingest

# cargo-fuzz wants nightly's sanitizer flags; a stable compiler gives them under RUSTC_BOOTSTRAP.
NIGHTLY := $(shell rustup run nightly rustc --version >/dev/null 2>&1 && echo +nightly)
FUZZ := $(if $(NIGHTLY),,RUSTC_BOOTSTRAP=1 )cargo $(NIGHTLY) fuzz
FUZZ_BUILD := --target-dir "$(BUILT)/fuzz"

fuzz-build: tools
	$(FUZZ) build $(FUZZ_BUILD)

# New inputs are kept under the build folder, so that a later run goes on where this one stopped.
fuzz: fuzz-build
	@for target in $(TARGETS); do \
	    corpus="$(BUILT)/fuzz-corpus/$$target"; mkdir -p "$$corpus"; \
	    dictionary="fuzz/dictionaries/$$target.dict"; \
	    echo "fuzz $$target for $(SECONDS) s"; \
	    $(FUZZ) run $(FUZZ_BUILD) "$$target" "$$corpus" "fuzz/seeds/$$target" -- \
	        -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
	        $$([[ -f $$dictionary ]] && echo "-dict=$$dictionary") \
	        2> >(grep -vE '^(#[0-9]+.*(NEW|REDUCE|pulse|RELOAD)|#####|INFO: )|^".*" # Uses: ' >&2); \
	done

fuzz-long:
	$(MAKE) fuzz SECONDS=600

smoke:
	$(MAKE) loadtest SCENARIO=smoke

loadtest: tools
	cargo build --release --locked
	loadtest/run $(SCENARIO) --inrush "$(BUILT)/release/inrush"
