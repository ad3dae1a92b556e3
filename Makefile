# Every target that needs the environment makes it first: on a fresh clone `make demo` or
# `make test` is all there is to type. What is done already is not done again (see .venv/.done-*).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
BIN := .venv/bin
RUST_TARGET := wasm32-wasip1
# Every Envoy's V8 has these instructions; copying, comparing and hashing are quicker by them.
export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS := -C target-feature=+simd128
CARGO := cargo
WASM := $(addprefix controlplane/filters/,flash-sale.wasm quota.wasm redis-bridge.wasm)
# The do-nothing filter is for `make bench` only, and is not installed.
FILTER_PACKAGES := flash-sale-filter quota-filter redis-bridge noop-filter
WASM_OUT := filters/target/$(RUST_TARGET)/release
FILTER_SOURCES := $(shell find filters -name target -prune -o -name fuzz -prune -o -type f \
	\( -name '*.rs' -o -name '*.toml' -o -name '*.lua' -o -name Cargo.lock \) -print)
LOAD := bench/load/target/release/sluice-load
LOAD_SOURCES := $(shell find bench/load -name target -prune -o -type f \
	\( -name '*.rs' -o -name '*.toml' -o -name Cargo.lock \) -print)
# A real Kubernetes API server for the tests; binaries built elsewhere can be named instead, by the
# variables that envtest has.
GO ?= go
RIG_SOURCES := tests/cluster/rig/go.mod tests/cluster/rig/go.sum
RIG := $(if $(TEST_ASSET_ETCD),,.rig/etcd) $(if $(TEST_ASSET_KUBE_APISERVER),,.rig/kube-apiserver) \
	$(if $(TEST_ASSET_HELM),,.rig/helm) $(if $(TEST_ASSET_KUBELET),,.rig/kubelet)
KUBE_VERSION := $(shell awk '$$1 == "require" && $$2 == "k8s.io/kubernetes" { print $$3 }' tests/cluster/rig/go.mod)
KUBE_MINOR := $(word 2,$(subst ., ,$(KUBE_VERSION)))
KUBE_FLAGS := -X k8s.io/component-base/version.gitVersion=$(KUBE_VERSION) \
	-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(KUBE_MINOR)
# What Helm takes a cluster for that it does not ask: `helm template` and `helm lint`.
HELM_VERSION := $(shell awk '$$1 == "helm.sh/helm/v3" { print $$2 }' tests/cluster/rig/helm/go.mod)
HELM_FLAGS := -X helm.sh/helm/v3/internal/version.version=$(HELM_VERSION) \
	$(foreach package,chartutil lint/rules,-X helm.sh/helm/v3/pkg/$(package).k8sVersionMajor=1 \
	-X helm.sh/helm/v3/pkg/$(package).k8sVersionMinor=$(KUBE_MINOR))
# go.sum is checked in: no checksum database is needed, and some networks have none.
GO_BUILD = cd tests/cluster/rig && GOSUMDB=off CGO_ENABLED=0 $(GO) build -mod=readonly -trimpath
# Two workspaces: the filters are built for Wasm, the load generator for this machine.
WORKSPACES := filters bench/load

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sort | \
		awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

# ---------------------------------------------------------------------------------------- set-up
.PHONY: setup
setup: .venv/.done-project $(WASM) ## Make .venv with all that the project needs, and build the filters

.venv/.done-python:
	@command -v "$(PYTHON)" >/dev/null || { echo "error: $(PYTHON) is not on PATH: install Python 3.11 or newer, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is too old: Python 3.11 or newer is needed" >&2; exit 1; }
	@"$(PYTHON)" -m venv .venv
	@touch $@

.venv/.done-packages: requirements-dev.txt .venv/.done-python
	@echo "Installing the pinned packages into .venv (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.txt
	@touch $@

.venv/.done-project: pyproject.toml .venv/.done-packages
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.done-rust: .venv/.done-python
	@command -v $(CARGO) >/dev/null || { echo "error: cargo is not on PATH: install Rust with rustup (the filters are written in it)" >&2; exit 1; }
	@test -d "$$(rustc --print sysroot)/lib/rustlib/$(RUST_TARGET)" || { \
		command -v rustup >/dev/null || { echo "error: Rust here lacks the target $(RUST_TARGET) and there is no rustup to add it: install Rust with rustup" >&2; exit 1; }; \
		rustup target add $(RUST_TARGET); }
	@touch $@

.PHONY: filters
filters: $(WASM) ## Build the Wasm filters into controlplane/filters/

# All come out of one cargo run.
$(WASM) &: $(FILTER_SOURCES) .venv/.done-rust
	$(CARGO) build --locked --manifest-path filters/Cargo.toml --target-dir filters/target \
		--release --target $(RUST_TARGET) $(FILTER_PACKAGES:%=--package %)
	@mkdir -p controlplane/filters
	@cp $(WASM_OUT)/flash_sale_filter.wasm controlplane/filters/flash-sale.wasm
	@cp $(WASM_OUT)/quota_filter.wasm controlplane/filters/quota.wasm
	@cp $(WASM_OUT)/redis_bridge.wasm controlplane/filters/redis-bridge.wasm

# --------------------------------------------------------------------------------------- running
.PHONY: demo
demo: setup ## Run the whole stack on this machine: a sale, live in the terminal (or SAMPLE=NAME)
	$(BIN)/sluice demo $(if $(SAMPLE),--sample "$(SAMPLE)")

# ---------------------------------------------------------------------------------------- proving
.PHONY: test
test: lint test-rust test-python ## Lint, then every test: Rust, Python, both against a real Envoy, Redis and API server

.PHONY: test-python
test-python: setup rig ## The Python tests, with a real Envoy, Redis and Kubernetes API server
	$(BIN)/python -m pytest -m "not soak"

.PHONY: test-rust
test-rust: .venv/.done-rust ## The tests of the filters' logic, native
	@for workspace in $(WORKSPACES); do \
		$(CARGO) test --quiet --locked --manifest-path "$$workspace/Cargo.toml" --workspace; \
	done

.PHONY: rig
rig: $(RIG) ## Build etcd, kube-apiserver, helm and more for the tests (a few minutes, once)

.rig/.done-go:
	@command -v "$(GO)" >/dev/null || { echo "error: $(GO) is not on PATH: install Go 1.24 or newer (the tests build a Kubernetes API server), or name binaries by TEST_ASSET_ETCD and TEST_ASSET_KUBE_APISERVER" >&2; exit 1; }
	@mkdir -p .rig
	@touch $@

.rig/etcd: $(RIG_SOURCES) .rig/.done-go
	@echo "Building etcd"
	@$(GO_BUILD) -o "$(CURDIR)/$@" -ldflags "-s -w" go.etcd.io/etcd/server/v3
	@touch $@

.rig/kube-apiserver: $(RIG_SOURCES) .rig/.done-go
	@echo "Building kube-apiserver $(KUBE_VERSION) (three minutes the first time)"
	@$(GO_BUILD) -o "$(CURDIR)/$@" -ldflags "-s -w $(KUBE_FLAGS)" k8s.io/kubernetes/cmd/kube-apiserver
	@touch $@

# Of a kubelet only the port-forwards, which need no containers.
.rig/kubelet: tests/cluster/rig/kubelet/main.go $(RIG_SOURCES) .rig/.done-go
	@echo "Building the port-forwards of a kubelet"
	@$(GO_BUILD) -o "$(CURDIR)/$@" -ldflags "-s -w" ./kubelet
	@touch $@

# A module of its own: Helm and the API server need not agree on every version.
.rig/helm: tests/cluster/rig/helm/go.mod tests/cluster/rig/helm/go.sum .rig/.done-go
	@echo "Building helm $(HELM_VERSION)"
	@cd tests/cluster/rig/helm && GOSUMDB=off CGO_ENABLED=0 $(GO) build -mod=readonly -trimpath -o "$(CURDIR)/$@" \
		-ldflags "-s -w $(HELM_FLAGS)" helm.sh/helm/v3/cmd/helm
	@touch $@

.PHONY: lint
lint: setup ## ruff, mypy, import-linter, cargo fmt, cargo clippy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@for workspace in $(WORKSPACES); do \
		echo "cargo fmt and clippy: $$workspace"; \
		$(CARGO) fmt --manifest-path "$$workspace/Cargo.toml" --all --check; \
		$(CARGO) clippy --quiet --locked --manifest-path "$$workspace/Cargo.toml" --workspace --all-targets -- --deny warnings; \
	done

.PHONY: fmt
fmt: setup ## Format Python and Rust
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	@for workspace in $(WORKSPACES); do $(CARGO) fmt --manifest-path "$$workspace/Cargo.toml" --all; done

.PHONY: bench
bench: setup rig $(LOAD) ## Measure the filters against plain Envoy; writes bench/results/latest.json
	$(BIN)/python -m bench

$(LOAD): $(LOAD_SOURCES) .venv/.done-rust
	$(CARGO) build --locked --manifest-path bench/load/Cargo.toml --target-dir bench/load/target --release

.PHONY: soak
soak: setup ## 500 random rounds of failures under load (about half an hour)
	$(BIN)/python -m pytest -m soak --timeout=7200

# --------------------------------------------------------------------------------------- making
.PHONY: generate
generate: .venv/.done-project ## Make again what is generated and checked in
	$(BIN)/python -m controlplane.xds.generate
	$(BIN)/python -m controlplane.model.reference
	$(BIN)/python -m controlplane.model.crds
	$(BIN)/python -m controlplane.model.crds manifests/chart/crds
	$(BIN)/python -m controlplane.translate.chart

.PHONY: lock
lock: .venv/.done-packages ## Pin the newest versions that pyproject.toml allows, with their hashes
	$(BIN)/uv pip compile pyproject.toml --upgrade --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" --output-file requirements.txt
	$(BIN)/uv pip compile pyproject.toml --upgrade --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make lock" --output-file requirements-dev.txt \
		--constraint requirements.txt --extra local --group dev

.PHONY: wheel
wheel: setup ## Build dist/*.whl, filters and scripts included
	$(BIN)/python -m build --wheel --no-isolation

.PHONY: clean
clean: ## Remove all that was built or fetched
	rm -rf .venv .rig dist filters/target bench/load/target controlplane/filters/*.wasm .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
