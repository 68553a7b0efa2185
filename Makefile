# Everything is set up inside the working copy: .venv (Python), .collections (the path Ansible wants), build (scratch).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COLLECTION := .collections/ansible_collections/talosops/selinux
# ansible-test accepts a collection only at its real path, so it is given a copy of what is released.
SANITY := build/sanity/ansible_collections/talosops/selinux
# What ansible-test looks at, and how it is run.
RELEASED := $(wildcard $(shell git ls-files --cached --others --exclude-standard -- ':!tests')) tests/sanity/run.py tests/config.yml
# Test processes; three times the cores, since tests also wait. A file's tests stay together (tests/conftest.py).
WORKERS ?= 6
SIMULATOR := $(shell git ls-files tests/simulator tests/integration/simulator)
TESTS ?= tests/unit tests/integration --ignore=tests/integration/simulator
# What the tests reach of the code: COVERAGE=1 measures it, which CI does. Without it nothing is measured or slowed.
MEASURED := build/coverage
MEASURE := COVERAGE_ROOT="$(CURDIR)" COVERAGE_PROCESS_START="$(CURDIR)/pyproject.toml"
REPORT := COVERAGE_ROOT="$(CURDIR)" $(BIN)/coverage
SAMPLE ?= 100
FIGURES := bench_reinstall.py "bench_fleet.py 200 1000" "bench_compliance.py 1000" bench_ledger.py bench_denials.py \
	"bench_events.py 100 60"
REQUIREMENTS := requirements.txt tests/requirements.txt
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/.collections
export PYTHONPATH := $(CURDIR)/tests:$(CURDIR)/.collections
# Some containers forbid it, and each of a test run's hundreds of processes would compile what it imports again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo pages screenshots test checks unit simulator-test lint types sanity ansible-lint changelog simulator interop bench figures coverage coverage-report mutation nightly clean

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup: $(VENV)/.ready $(COLLECTION) ## Install what the project needs, inside the working copy

$(VENV)/.ready: $(REQUIREMENTS)
	@echo "Setting up the Python environment in $(VENV) (once)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; say which one with PYTHON=/path/to/python") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

$(COLLECTION):
	@mkdir -p $(dir $@)
	@ln -sfn ../../.. $@

demo: setup ## Roll a simulated fleet from permissive to enforcing
	@$(BIN)/python tests/demo/run.py

test: setup ## Run every test
	@$(MAKE) --no-print-directory -j2 --output-sync=target unit simulator-test checks

# In this order, so that what is quick says first that it fails.
checks: setup ## Everything that reads the files and runs nothing
	@for check in lint types changelog ansible-lint sanity; do $(MAKE) --no-print-directory $$check || exit 1; done

unit: setup ## Unit and integration tests, against the simulator; some of them: make unit TESTS=tests/unit/gate
	@test -z "$(COVERAGE)" || { rm -rf $(MEASURED); mkdir -p $(MEASURED); }
	$(if $(COVERAGE),$(MEASURE)) $(BIN)/python -m pytest -n $(WORKERS) $(TESTS)
	@test -z "$(COVERAGE)" || $(MAKE) --no-print-directory coverage-report

coverage: ## The same tests, and how much of the code they reach
	@$(MAKE) --no-print-directory unit COVERAGE=1

coverage-report:
	@$(REPORT) combine --quiet
	@$(REPORT) report --skip-covered --show-missing

mutation: setup ## Change one thing at a time, and see whether a test notices: make mutation SEED=1 SAMPLE=100 (after make coverage)
	@cd tests && ../$(BIN)/python -m mutation --fixed
	@cd tests && ../$(BIN)/python -m mutation --sample $(SAMPLE) $(if $(SEED),--seed $(SEED)) --only '!plugins/plugin_utils/gate/*'

simulator-test: build/simulator-tested ## The simulator's own tests, where it changed since they last passed here

build/simulator-tested: $(VENV)/.ready $(SIMULATOR) | $(COLLECTION)
	$(BIN)/python -m pytest -n 2 tests/integration/simulator
	@mkdir -p build && touch $@

lint: setup ## ruff and yamllint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint --strict .

types: setup ## mypy --strict on plugin_utils and action
	$(BIN)/mypy --strict plugins/plugin_utils plugins/action

ansible-lint: setup ## ansible-lint, production profile
	$(BIN)/ansible-lint --profile production --offline --strict

changelog: setup ## Changelog fragments
	$(BIN)/antsibull-changelog lint

sanity: build/sanity-tested ## ansible-test sanity, where what it looks at changed since it last passed here

build/sanity-tested: $(VENV)/.ready $(RELEASED) | $(COLLECTION)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tests/sanity/run.py $(SANITY)
	@mkdir -p build && touch $@

pages: setup ## Make anew what is made from data: the index of the refusal pages, the event source's argument schema
	@$(BIN)/python tests/refusal_index.py
	@$(BIN)/python tests/event_schema.py

screenshots: setup ## Make the screenshots of the docs anew (needs chromium)
	@$(BIN)/python tests/demo/screenshots.py

simulator: setup ## Start a simulated fleet: make simulator SCENARIO=file.yml DIR=dir
	@test -n "$(SCENARIO)" -a -n "$(DIR)" || { echo "usage: make simulator SCENARIO=file.yml DIR=dir"; exit 2; }
	@$(BIN)/python -m simulator "$(SCENARIO)" "$(DIR)"

interop: setup ## Compare the simulator with a real talosctl: make interop TALOSCTL=/path/to/talosctl
	@$(BIN)/python -m simulator.interop "$(TALOSCTL)"

bench: setup ## Benchmarks; ratios taken in one run
	@for bench in tests/benchmarks/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

figures: setup ## Measure what docs/figures.md says, on a machine that does nothing else; about ten minutes
	@for bench in $(FIGURES); do echo "== $$bench"; $(BIN)/python tests/benchmarks/$$bench || exit 1; done

nightly: coverage ## Every test, the property and fuzz tests with their large example counts, and every mutant
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n $(WORKERS) --timeout=3600 tests/unit tests/integration
	@cd tests && ../$(BIN)/python -m mutation --fixed
	@cd tests && ../$(BIN)/python -m mutation --all

clean: ## Remove everything that was set up
	rm -rf $(VENV) .collections build .pytest_cache .mypy_cache .ruff_cache .hypothesis .ansible
