# `make` lists the targets. `make demo` and `make test` need a Debian or Ubuntu machine, root and Rust, and nothing else.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test fuzz lint unit integration live docs picture dist image dist-check parts engines engines-stop cargo

# Where the tests find the real parts. Set one to use a part of your own; what is not set is brought up here.
export POLYARCH_TEST_STATE ?= $(HOME)/.cache/polyarch-test
export POLYARCH_TEST_PARTS ?= $(CURDIR)/target/test-parts
ifeq ($(origin POLYARCH_TEST_ENGINE_OLD), undefined)
export POLYARCH_TEST_ENGINE_OLD := unix:///var/run/docker.sock
engines: engine
endif
ifeq ($(origin POLYARCH_TEST_ENGINE_NEW), undefined)
export POLYARCH_TEST_ENGINE_NEW := unix://$(POLYARCH_TEST_STATE)/new/run/engine.sock
export POLYARCH_TEST_TOOLS ?= $(CURDIR)/scripts/engine-tools
engines: engine-new
endif
ifeq ($(origin POLYARCH_TEST_ENGINE_GRAPH), undefined)
export POLYARCH_TEST_ENGINE_GRAPH := unix:///tmp/polyarch-test-engines/graph/engine.sock
engines: engine-graph
endif

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: cargo engine ## build the image of build.yaml on a Docker Engine (apt installs one where there is none) and run it
	cargo run --quiet --locked -- build
	docker run --rm --pull never hello:1.0

test: lint unit integration live ## everything that CI runs

lint: cargo parts ## format, clippy, documentation, dependencies
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --lib --no-default-features -- -D warnings
	cargo clippy --locked --no-default-features --features cli -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --quiet --no-deps
	@scripts/public-names
	cargo check --locked --quiet --manifest-path fuzz/Cargo.toml --target-dir target
	cargo deny --locked check bans licenses sources

unit: cargo ## the tests beside the code: they need nothing
	cargo test --locked --lib --bins
	cargo test --locked --doc

# Most of these tests wait for a peer or for a retry, so twice as many run at once as there are processors.
integration: export RUST_TEST_THREADS ?= $(shell expr 2 '*' "$$(nproc)")
integration: cargo parts ## the tests that need loopback and the test parts
	cargo test --locked --test integration

live: cargo parts engines ## the tests on the three Docker Engines
	cargo test --locked --test live

MINUTES ?= 5
fuzz: cargo ## fuzz each target of fuzz/ for MINUTES=5
	@scripts/fuzz $(MINUTES)

docs: cargo ## build the book in target/book and check its links
	@scripts/book

picture: cargo parts engine ## make docs/live-view.svg from a run of polyarch in a terminal
	cargo build --quiet --locked
	@scripts/picture

TARGETS ?=
dist: cargo ## make the archives of a release in target/archives, for TARGETS="x86_64-unknown-linux-musl aarch64-unknown-linux-musl"
	@scripts/dist $(TARGETS)

image: ## build the image of polyarch from these archives, with the arguments ARGS of `polyarch build`
	@scripts/image $(ARGS)

dist-check: ## prove the archives: built again, in an empty Debian, and as an image
	@scripts/dist-check reproducible $(TARGETS)
	@scripts/dist-check empty-root
	@scripts/dist-check image

parts: ## install what the tests need and this machine lacks
	@scripts/test-parts

engines: ## bring up the engines that the tests build on

.PHONY: engine engine-new engine-graph
engine:
	@scripts/engine start

engine-new: parts
	@scripts/engine-new start

engine-graph: engine-new
	@scripts/engine-graph start

engines-stop: ## end the engines that these targets started
	for state in /tmp/polyarch-test-engines/polyarch-test-*/; do [ ! -d "$$state" ] || scripts/engine-private stop "$$(basename "$$state")"; done
	scripts/engine-graph stop
	scripts/engine-new stop
	scripts/engine stop

cargo:
	@command -v cargo >/dev/null || { echo 'there is no cargo: install Rust 1.95 or later (https://rustup.rs), then run this again' >&2; exit 1; }
