# The commands of this project; `make help` lists them. None needs more than Rust (rustup), Go or a container engine, and
# what tests/cluster installs by itself.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CLUSTER := tests/cluster/cluster
TRIPLE := $(subst arm64,aarch64,$(shell uname -m))-unknown-linux-gnu
SCRIPTS := tests/cluster/cluster tests/packages tests/bench/litellm tests/bench/against tests/cluster/images $(wildcard tests/cluster/*.sh) tests/demo/demo tests/demo/install \
	tests/demo/repository tests/demo/with-registry tests/demo/models tests/sdk/install tests/aimock/install tests/nextest/install tests/nextest/run tests/agents/install \
	$(wildcard tests/agents/bin/manyworlds-worker-*) .ci/run charts/render cli/kubectl_complete-worlds
# For `make bench`: the prefix of the figures to measure; all of them by default, and all of the gateway's for "gateway".
ONLY ?=
# For `make fuzz`: the seconds of each test, and the number that all chance follows from.
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= $(shell date +%s)
# For `make bench-against`.
AGAINST ?=
ROUNDS ?= 3
NO_CLUSTER = $(filter gateway% upstream% limit% fairness%,$(ONLY))
# Each fake node holds 250 pods.
FAKE_NODES ?= 20
export ONLY

# What the tests and the tools find in their environment. `tools` prints a folder with kubectl and helm.
ENVIRONMENT = export KUBECONFIG="$$($(CLUSTER) kubeconfig)" PATH="$$($(CLUSTER) tools):$$PATH"; \
	export MANYWORLDS_TEST_KUBECONFIG="$$KUBECONFIG" MANYWORLDS_TEST_CLUSTER="$(CURDIR)/$(CLUSTER)" MANYWORLDS_HELM=helm; \
	export MANYWORLDS_TEST_FAKE_KUBECONFIG="$$($(CLUSTER) kubeconfig --fake)";

.PHONY: help demo test unit fuzz bench bench-against cluster fake-cluster cluster-down images agents install programs lint generate packages rust

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: rust ## Start a cluster, install Manyworlds, and let five Worlds fix a real bug
	tests/demo/demo

test: rust packages lint cluster images install agents fake-cluster ## Everything that must pass: format, lints, and all tests, on a real cluster
	cargo build --workspace --locked
	$(ENVIRONMENT) tests/nextest/run --workspace

unit: rust packages ## The tests that need no cluster: git, Python, OpenSSL, ssh and PostgreSQL, and PyPI and npm once
	tests/nextest/run --workspace --exclude manyworlds-tests

fuzz: rust ## Try the parsers of hostile input with changed inputs, longer than `make test` does (FUZZ_SECONDS=60, FUZZ_SEED=number)
	@echo "FUZZ_SEED=$(FUZZ_SEED)"
	FUZZ_SECONDS="$(FUZZ_SECONDS)" FUZZ_SEED="$(FUZZ_SEED)" cargo test --locked -p manyworlds-gateway -p manyworlds-operator -p manyworlds-runner --lib --test messages fuzzed::

# The program under test is the one of the images. Only the time to the first output needs a real node.
bench: rust $(if $(NO_CLUSTER),,$(if $(filter-out f% evaluation%,$(ONLY)),programs,install) fake-cluster) ## Measure speed and size on fake nodes (ONLY=prefix for a part) and write target/bench.json
	$(if $(NO_CLUSTER),,$(ENVIRONMENT) export MANYWORLDS_OPERATOR_BINARY="$(CURDIR)/target/$(TRIPLE)/release/manyworlds-operator";) \
	RUSTFLAGS="-C target-feature=+crt-static" cargo run --release --locked --target $(TRIPLE) -p manyworlds-bench

bench-against: ## Measure this tree and another in turns (AGAINST=commit or folder, ONLY=prefix, ROUNDS=3)
	tests/bench/against "$(AGAINST)" $(ROUNDS)

cluster: ## Start the local Kubernetes, or take the one that KUBECONFIG names
	$(CLUSTER) up

fake-cluster: ## Start a control plane with fake nodes beside it, for the tests of crashes and of scale
	$(CLUSTER) up --fake $(FAKE_NODES) --audit

cluster-down: ## End the local Kubernetes and remove what it left
	$(CLUSTER) down
	$(CLUSTER) down --fake

programs: rust
	tests/cluster/images --compile-only

images: rust cluster ## Build the images and load them into the cluster
	tests/cluster/images

# Large, and only for the tests (docs/agents.md).
agents: images
	tests/cluster/images agents

install: images ## Install the charts and the sample's repository into the cluster
	$(ENVIRONMENT) tests/demo/install --values tests/demo/values.yaml; tests/demo/repository serve; tests/demo/models serve

lint: rust ## Formatting, lints and documentation of all crates
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --locked --no-deps --document-private-items
	@if command -v shellcheck >/dev/null; then shellcheck $(SCRIPTS); else echo "shellcheck is not installed; the scripts are not checked"; fi

generate: rust ## Write the generated files again: CRDs, JSON Schemas, rendered manifests
	cargo run --quiet --locked -p manyworlds-api --bin generate
	$(ENVIRONMENT) charts/render

rust:
	@command -v cargo >/dev/null || { echo "Rust is missing; install it from https://rustup.rs (rust-toolchain.toml names the version)" >&2; exit 1; }

packages:
	tests/packages
