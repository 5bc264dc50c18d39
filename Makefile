# `make serve` and `make test` set everything up in .venv the first time. CONTRIBUTING.md explains the others.
PYTHON ?= python3
BIN := .venv/bin
UI := $(shell find ui -type f -not -path '*/node_modules/*' -not -path '*/dist/*' 2>/dev/null)

.PHONY: serve test check page packages chaos fuzz audit soak bench bench-quick bench-stores bench-ui guard lock clean

serve: .venv/.ready ## Serve the chat page and the API on http://127.0.0.1:8000
	@$(BIN)/headwater serve

test: test-ui ## Run every test, including the browser tests; TESTS="…" are further arguments of pytest
	$(BIN)/python -m pytest -q $(TESTS)

.PHONY: test-ui
test-ui: .venv/.ready-dev ## Run the tests of the page and its packages
	@scripts/programs
	@$(BIN)/python scripts/ui.py test

check: .venv/.ready-dev ## Run the linters and type checkers that every commit must pass
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python scripts/ceiling.py
	$(BIN)/python scripts/ui.py check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	$(BIN)/zizmor -q --offline .github/workflows

.PHONY: docs screenshots
docs: .venv/.ready-dev ## Build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

screenshots: .venv/.ready-dev ## Take the pictures of the page in docs/images anew
	@scripts/programs
	$(BIN)/python scripts/screenshots.py

.PHONY: test-clients
test-clients: .venv/.ready-dev ## Run the clients that people use, pinned, against a running server
	@$(BIN)/python scripts/clients.py
	$(BIN)/python -m pytest -q tests/clients

chaos: .venv/.ready-dev ## Inject every fault into every store several times, and print a table
	@cd tests && ../$(BIN)/python -m chaos

fuzz: .venv/.ready-dev ## Fuzz what reads bytes of strangers, and every route: over 100,000 inputs; minutes
	@cd tests && ../$(BIN)/python -m fuzz

audit: .venv/.ready-dev ## Ask PyPI and npm whether any pinned package has a known vulnerability
	$(BIN)/pip-audit --requirement requirements.lock --disable-pip --no-deps
	$(BIN)/python scripts/ui.py audit

soak: .venv/.ready-dev ## Half an hour of mixed load with faults: nothing may be lost, doubled, hung or left behind
	@cd tests && ../$(BIN)/python -m soak

bench: .venv/.ready-dev ## Measure the cost of a token, an answer and a reader beside other servers; half an hour
	@$(BIN)/python -m bench

bench-quick: .venv/.ready-dev ## Measure fewer servers and loads, in two minutes
	@$(BIN)/python -m bench --quick

bench-stores: .venv/.ready-dev ## Count the commands that each store executes for an answer and for a reader
	@$(BIN)/python -m bench.stores

bench-ui: .venv/.ready-dev ## Measure the page beside other renderers, its first load and a long chat; 25 minutes
	@$(BIN)/python -m bench.ui

guard: .venv/.ready-dev ## Fail if a token or a replay costs over 1.5 times the usual CPU; seconds
	@$(BIN)/python -m bench.guard

page: .venv/.ready ## Rebuild the chat page

packages: .venv/.ready-dev ## Build @headwater/client and @headwater/react, and pack them into ui/dist
	@$(BIN)/python scripts/ui.py pack

lock: ## Write the installed versions to requirements.lock
	$(BIN)/pip freeze --exclude-editable --exclude pip --exclude setuptools | grep -v ' @ ' > requirements.lock

clean:
	rm -rf .venv .venv-clients tests/clients/node_modules dist site src/headwater/static ui/node_modules ui/dist ui/packages/*/dist

# Without Debian's python3-venv half an environment is made, which would pass for a whole one the next time.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Headwater needs Python 3.11 or newer; try make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check "pip>=25.1"

.venv/.ready: .venv/bin/python pyproject.toml requirements.lock hatch_build.py $(UI)
	@echo "Setting up Headwater in .venv; this takes a minute the first time."
	$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock -e '.[local]'
	@touch $@

.venv/.ready-dev: .venv/.ready
	$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements.lock --group dev
	@touch $@
