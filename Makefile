# make replicate: set up and run the default replication.   make test: set up and run the tests.
SHELL := /bin/bash
ifneq ($(findstring :,$(CURDIR)),)
$(error $(CURDIR): found a colon in the path of this checkout, expected none, since PATH is split at colons: move the checkout)
endif
PYTHON ?= python3
UV_VERSION := 0.13.9
# An activated conda environment made from environment.yml is used as it is; otherwise ./.venv is made.
ENV := $(if $(filter sgenet,$(CONDA_DEFAULT_ENV)),$(CONDA_PREFIX),$(CURDIR)/.venv)
export PATH := $(ENV)/bin:$(PATH)
# uv from the machine where there is one, otherwise its own in .uv/
UV := $(or $(shell command -v uv 2>/dev/null),$(CURDIR)/.uv/bin/uv)
# Written when the environment is complete. It is no target of make, which splits a path at its spaces.
STAMP := $(ENV)/.sgenet-complete
PYTEST = pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# Processes that run tests at a time, each with one thread.
WORKERS ?= 2

.PHONY: setup replicate test test-all test-cluster soak coverage lint schemas statistics docs bench browser clean lock
.DEFAULT_GOAL := replicate

setup:
	@[ "$(STAMP)" -nt requirements.lock ] && [ "$(STAMP)" -nt pyproject.toml ] || $(MAKE) --no-print-directory environment

.PHONY: environment
environment:
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit(f"Python {v[0]}.{v[1]} found, 3.11 to 3.13 expected: make setup PYTHON=python3.11")'
	@[ -x "$(UV)" ] || { echo "fetching uv $(UV_VERSION)"; "$(PYTHON)" -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }
	@[ -x "$(ENV)/bin/python" ] || "$(UV)" venv --quiet --python "$$(command -v "$(PYTHON)")" "$(ENV)"
	"$(UV)" pip sync --python "$(ENV)/bin/python" --require-hashes --compile-bytecode --quiet requirements.lock
	"$(UV)" pip install --python "$(ENV)/bin/python" --no-deps --no-build-isolation --quiet --editable .
	"$(ENV)/bin/python" -c 'from sgenet.kernels import cpu; cpu.load()' # compiles SGE for this machine
	@touch "$(STAMP)"

replicate: setup
	snakemake --cores all

test: setup ## the tests of every change, in minutes
	python -m $(PYTEST)

test-all: setup ## and the slow ones
	python -m $(PYTEST) -m "not soak"

test-cluster: setup ## the tests on a real Slurm on this machine, whose Debian packages are installed where that is possible
	@command -v slurmctld >/dev/null || [ -x /usr/sbin/slurmctld ] || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update && apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge; } || \
	  echo "Slurm is not installed, and installing it takes root and apt-get: the tests are skipped" >&2
	python -m pytest -m "slurm and not soak" tests/cluster

soak: setup ## the long form of the tests: hours of injected faults and mutated inputs
	python -m pytest -m soak

coverage: setup ## lines and branches of src/sgenet that the tests reach: make coverage TESTS="-m 'not soak'"
	coverage erase
	coverage run -m $(PYTEST) $(TESTS)
	coverage combine --quiet
	coverage report

lint: setup
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	codespell *.md mkdocs.yml docs params profiles src tests workflow bench config Snakefile dvc.yaml Makefile pyproject.toml .github
	snakefmt --check Snakefile workflow
	@snakemake --lint 2>&1 | awk '/^Lints for/ {rule = $$0} /^    [*] / && !/Specify a conda environment or container/ \
	  {print rule; print; bad = 1} END {exit bad || !rule}' # no rule declares software: docs/containers.md

schemas: setup ## rewrite workflow/schemas and docs/parameters.md from the models
	python -m sgenet.pipeline.schemas

statistics: setup ## measure how often verdicts and intervals are right, and rewrite the tables of docs/statistics.md
	PYTHONPATH=tests python -m support.statistics_page

docs: setup ## the documentation as a web site in site/; a warning is an error (with --quiet it would not be)
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

bench: setup
	python -m bench

browser: ## a Chromium for tests/report/test_browser.py, which is skipped without one
	@command -v $(CHROMIUM) chromium chromium-browser google-chrome || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then apt-get update && apt-get install -y chromium fonts-dejavu; \
	  else echo "no Chromium was found, and installing one takes root and apt-get: install it, or set CHROMIUM to its path" >&2; exit 1; fi; }

lock: ## rewrite requirements.lock from pyproject.toml
	"$(UV)" pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev \
	  --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

clean: ## everything that was made, the environment aside
	rm -rf results $(filter-out reports/published,$(wildcard reports/*)) $(filter-out data/released,$(wildcard data/*)) logs wandb dvc_plots .resume .snakemake dvc.lock \
	  .dvc/cache .dvc/tmp .hypothesis .import_linter_cache .pytest_cache .mypy_cache .ruff_cache .coverage* build dist site src/*.egg-info
