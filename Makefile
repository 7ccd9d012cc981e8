# The project's commands; `make` alone explains them. All set-up happens by itself, in .venv.
# Needed: python3 (3.11 or newer), pip (22.3 or newer) and make. Another Python: make test PYTHON=python3.13
# More options for a tool: make test ARGS="-k retry"

PYTHON ?= python3
ARGS ?=

SHELL := /bin/sh
BIN := .venv/bin
# --python: pip works on the venv from outside, so no pip is needed inside it (Debian has no
# ensurepip), and a system that forbids `pip install` (externally managed) does not mind.
# PIP_USER: someone's own configuration may say that installations go to the home folder.
PIP = PIP_USER=0 "$(PYTHON)" -m pip --python $(or $(VENV),.venv)/bin/python --disable-pip-version-check install \
	--quiet --quiet --root-user-action=ignore --no-warn-script-location
# What the benchmarks measure us beside; each has an environment of its own.
PEERS := prefect procrastinate pgqueuer

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # one venv, one terminal

.PHONY: help
help: ## explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

.PHONY: run
run: .venv/run.stamp .venv/bytecode.stamp ## start the server and a local agent here, until Ctrl-C (CRONLEDGER_HOME, CRONLEDGER_PORT)
	@exec $(BIN)/cronledger serve --with-agent --sign-in-link $(ARGS)

# Bytecode is kept whatever the caller's environment says: the tests start Python hundreds of times.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest

# Three for two cores: a good part of the tests waits for leases, timers and processes.
.PHONY: test
test: .venv/dev.stamp ## run the tests, without the long campaigns
	@$(PYTEST) -n 3 --dist worksteal -m "not soak" $(ARGS)

.PHONY: ci
ci: layout lint types imports test ## check everything that a change must pass, as .ci/run does

.PHONY: format
format: .venv/dev.stamp ## format the code, and mend what the linter can mend
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

.PHONY: layout
layout: .venv/dev.stamp ## check that the code is formatted
	@$(BIN)/ruff format --check .

.PHONY: lint
lint: .venv/dev.stamp ## check the code with ruff
	@$(BIN)/ruff check .

.PHONY: types
types: .venv/dev.stamp ## check the types with mypy
	@$(BIN)/mypy

.PHONY: imports
imports: .venv/dev.stamp ## check who may import whom
	@$(BIN)/lint-imports

.PHONY: soak
soak: .venv/dev.stamp ## run the long campaigns: many claimers, kill -9 under load
	@$(PYTEST) -m soak --timeout 1800 $(ARGS)

.PHONY: bench
bench: .venv/bench.stamp .venv/bytecode.stamp ## measure all and write docs/performance.md (ARGS=--quick, ARGS=--large)
	@$(BIN)/python -m bench.run $(ARGS)

.PHONY: bench-peers
bench-peers: .venv/bench.stamp $(PEERS:%=.venv/peers/%.stamp) ## the same beside Prefect, Procrastinate and pgqueuer
	@$(BIN)/python -m bench.run --peers $(ARGS)

.PHONY: screenshots
screenshots: .venv/dev.stamp ## take the pictures of the pages in docs/screenshots (needs Chromium)
	@$(BIN)/python -m tests.screenshots

.PHONY: agent-pyz
agent-pyz: | $(BIN)/python ## build dist/cronledger-agent.pyz: agent and exec as one file for other machines
	@$(BIN)/python -m cli.build_agent dist/cronledger-agent.pyz

# Kept versions stay as they are; `make lock ARGS=--upgrade` takes the newest. The run-time lock is
# made last and held to the other's versions, so that what is tested is what is run.
LOCK = $(BIN)/uv --no-config --quiet pip compile --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links
.PHONY: lock
lock: .venv/dev.stamp ## write requirements/*.txt from pyproject.toml (newest: ARGS=--upgrade)
	@$(LOCK) $(ARGS) --extra embedded --group dev pyproject.toml requirements/build.in \
		--output-file requirements/dev.txt
	@$(LOCK) --extra embedded --constraints requirements/dev.txt $(ARGS) pyproject.toml \
		requirements/build.in --output-file requirements/run.txt
	@$(LOCK) --constraints requirements/dev.txt $(ARGS) --group bench --output-file requirements/bench.txt
	@for peer in $(PEERS); do \
		$(LOCK) $(ARGS) requirements/peers/$$peer.in --output-file requirements/peers/$$peer.txt; done

# Where nothing may be written at a start (PYTHONDONTWRITEBYTECODE, another user's crontab), each
# `exec` would compile all that it imports, which takes longer than all the rest of it.
PACKAGES := domain store projections api agent cli
.venv/bytecode.stamp: $(wildcard $(PACKAGES:=/*.py) $(PACKAGES:=/*/*.py)) | $(BIN)/python
	@$(BIN)/python -m compileall -q $(PACKAGES)
	@touch $@

.PHONY: clean
clean: ## remove .venv and everything else that was made here (never a ledger's home)
	@rm -rf .venv .bench dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .schemathesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A venv holds its own path and the libraries of one Python: after a move or an upgrade of Python it
# is of no use, and is made anew.
WHERE := $(BIN)/python -I -c 'import sys; print(sys.prefix, *sys.version_info[:2])'
PLACE := $(shell $(WHERE) 2>/dev/null)
ifneq ($(wildcard .venv/place),)
ifneq ($(shell cat .venv/place),$(PLACE))
.PHONY: $(BIN)/python .venv/run.stamp .venv/dev.stamp .venv/bytecode.stamp
endif
endif

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Cronledger needs Python 3.11 or newer; "$(PYTHON)" is none (make PYTHON=… names another).' >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import pip, sys; sys.exit([int(n) for n in pip.__version__.split(".")[:2]] < [22, 3])' \
		2>/dev/null || { \
		echo 'Cronledger needs pip 22.3 or newer for "$(PYTHON)" (Debian: apt install python3-pip).' >&2; \
		exit 1; }
	@echo 'Setting up .venv …'
	@"$(PYTHON)" -m venv --clear --without-pip .venv

# What older pips write into bin/cronledger imports `re`, for Windows: a fifth of an `exec`.
INSTALL = $(PIP) --no-deps --no-build-isolation -e . && \
	sed -i.bak -e '/^import re$$/d' -e '/re\.sub(/d' $(BIN)/cronledger && rm $(BIN)/cronledger.bak

.venv/run.stamp: requirements/run.txt pyproject.toml | $(BIN)/python
	@$(PIP) --require-hashes -r requirements/run.txt
	@$(INSTALL)
	@$(WHERE) > .venv/place
	@touch $@

.venv/dev.stamp: requirements/dev.txt pyproject.toml | $(BIN)/python
	@$(PIP) --require-hashes -r requirements/dev.txt
	@$(INSTALL)
	@$(WHERE) > .venv/place
	@touch $@ .venv/run.stamp

.venv/bench.stamp: requirements/bench.txt .venv/dev.stamp
	@$(PIP) --require-hashes -r requirements/bench.txt
	@touch $@

# private, or what it needs would be installed there too.
.venv/peers/%.stamp: private VENV = .venv/peers/$*
.venv/peers/%.stamp: requirements/peers/%.txt | .venv/bench.stamp
	@echo 'Installing $* into $(VENV) …'
	@"$(PYTHON)" -m venv --clear --without-pip $(VENV)
	@$(PIP) --require-hashes -r requirements/peers/$*.txt
	@touch $@
