# `make serve` and `make test` are all you need; both do their own set-up, in .venv.
PYTHON ?= python3
BIN := .venv/bin
UI := $(shell find ui -type f -not -path '*/node_modules/*' 2>/dev/null)

.PHONY: serve test check page chaos bench bench-quick bench-stores guard lock clean

serve: .venv/.ready ## The page on http://127.0.0.1:8000
	@$(BIN)/headwater serve

test: .venv/.ready-dev ## Every test, the browser's included
	@scripts/chromium
	@$(BIN)/python scripts/ui.py test
	$(BIN)/python -m pytest -q

check: .venv/.ready-dev ## What every commit must pass, besides the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python scripts/ceiling.py
	$(BIN)/python scripts/ui.py check

chaos: .venv/.ready-dev ## Every fault, over every store, several times; prints a table
	@cd tests && ../$(BIN)/python -m chaos

bench: .venv/.ready-dev ## What a token, an answer and a reader cost, beside the peers, in one run of half an hour
	@$(BIN)/python -m bench

bench-quick: .venv/.ready-dev ## The same with fewer sides and shapes, in two minutes
	@$(BIN)/python -m bench --quick

bench-stores: .venv/.ready-dev ## What each store is asked to do for an answer and for a reader
	@$(BIN)/python -m bench.stores

guard: .venv/.ready-dev ## Fails when a token or a hit has become half as dear again; seconds
	@$(BIN)/python -m bench.guard

page: .venv/.ready ## Build the chat page again

lock: ## Write down the versions that were tested
	$(BIN)/pip freeze --exclude-editable --exclude pip --exclude setuptools | grep -v ' @ ' > requirements.lock

clean:
	rm -rf .venv src/headwater/static ui/node_modules

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Headwater needs Python 3.11 or newer; try make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check "pip>=25.1"

.venv/.ready: .venv/bin/python pyproject.toml requirements.lock hatch_build.py $(UI)
	@echo "Setting up Headwater in .venv; this takes a minute the first time."
	$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock -e '.[local]'
	@touch $@

.venv/.ready-dev: .venv/.ready
	$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock --group dev
	@touch $@
