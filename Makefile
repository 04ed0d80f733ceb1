# What one does with this project. A fresh machine needs Python 3.11 or newer, make and git, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
FLASK := $(BIN)/python -m dev.command
TRANSLATED := $(VENV)/.translated
CATALOGUES := $(wildcard translations/*/LC_MESSAGES/*.po)
POT := $(VENV)/messages.pot

.DEFAULT_GOAL := help
.PHONY: help run test tests lint css css-check translations translations-check migrations-check lock bench lighthouse soak mutants \
	migration demo-passwords clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(INSTALLED) $(TRANSLATED) ## start everything here; PORT=8100 chooses the port, VERBOSE=1 shows all output
	@exec $(BIN)/python -m dev.run

test: lint tests ## lint, then the whole test suite with its coverage

tests: $(INSTALLED) $(TRANSLATED) ## the test suite alone
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not soak" --cov --cov-report=term

lint: $(INSTALLED) css-check translations-check migrations-check ## style, types, templates, Dockerfile, migrations, secrets, freshness of what is compiled
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/djlint --quiet --lint namaskah/templates
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/python -m dev.leaks

css: ## compile assets/app.css into namaskah/static/app.css (needs Node)
	@npm ci --silent --no-audit --no-fund
	@npm run --silent css

css-check: ## fail when the compiled style sheet is not what its sources make (skipped without Node)
	@if ! command -v npx >/dev/null; then echo "css-check: skipped, there is no Node here"; \
	elif [ ! -f namaskah/static/app.css ]; then echo "namaskah/static/app.css is missing: run make css"; exit 1; \
	else \
		set -e; [ -d node_modules ] || npm ci --silent --no-audit --no-fund || \
			{ echo "css-check: skipped, the Node packages could not be installed"; exit 0; }; \
		fresh=$$(mktemp); trap 'rm -f "$$fresh"' EXIT; \
		npx --no-install tailwindcss -i assets/app.css -o "$$fresh" --minify >/dev/null 2>&1; \
		cmp -s "$$fresh" namaskah/static/app.css || { echo "namaskah/static/app.css is stale: run make css"; exit 1; }; \
	fi

translations: $(INSTALLED) ## bring translations/*.po up to date with the sources, and compile them
	@$(BIN)/pybabel -q extract -F babel.cfg -k _l --no-location --sort-output -o $(POT) .
	@$(BIN)/pybabel -q update -i $(POT) -d translations --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date
	@$(BIN)/pybabel -q compile -d translations
	@touch $(TRANSLATED)

translations-check: $(INSTALLED)
	@[ ! -f babel.cfg ] || { set -e; \
		$(BIN)/pybabel -q extract -F babel.cfg -k _l --no-location --sort-output -o $(POT) .; \
		$(BIN)/pybabel -q update --check -i $(POT) -d translations --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date \
			|| { echo "translations are stale: run make translations"; exit 1; }; }

# Compiled catalogues are not kept in git.
$(TRANSLATED): $(INSTALLED) $(CATALOGUES)
	@[ -z "$(CATALOGUES)" ] || $(BIN)/pybabel -q compile -d translations
	@touch $@

migrations-check: $(INSTALLED)
	@$(BIN)/python -m dev.migrations

migration: $(INSTALLED) ## write a migration for changed models: make migration name="add rentals"
	@[ -n "$(name)" ] || { echo 'say what it does: make migration name="add rentals"'; exit 1; }
	@$(FLASK) db upgrade
	@$(FLASK) db migrate -m "$(name)"

# With the extras: older pips, asked for coverage[toml] while only coverage is locked, take the newest and refuse it.
lock: $(INSTALLED) ## compile requirements*.in into requirements*.txt, with hashes
	@for name in requirements requirements-dev; do \
		$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-strip-extras --generate-hashes \
			--custom-compile-command "make lock" $$name.in -o $$name.txt || exit 1; \
	done

bench: $(INSTALLED) ## measure the pages, the purchase and the live push
	@for file in $$(grep -l __main__ bench/*.py); do $(BIN)/python -m bench.$$(basename $$file .py) || exit 1; done

lighthouse: $(INSTALLED) ## Lighthouse's scores of the main pages (needs Node and Chromium)
	@$(BIN)/python -c 'from bench.lighthouse import run; run()'

soak: $(INSTALLED) $(TRANSLATED) ## storms of kills and long random lives; SEED, STEPS, KILLS and MINUTES say how long
	@$(BIN)/python -m pytest -m soak -v

mutants: $(INSTALLED) $(TRANSLATED) ## take the money's guards away, one by one: does a test notice? (docs/mutants.md)
	@$(BIN)/python -m dev.mutants

demo-passwords: $(INSTALLED) ## give the demo accounts new passwords and show them
	@$(FLASK) demo passwords

clean: ## remove what tools left; keeps .venv and the data of make run (.data)
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis htmlcov test-artifacts node_modules .coverage .coverage.*
	@find . -path ./$(VENV) -prune -o -path ./.data -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

$(INSTALLED): requirements-dev.txt
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no $(PYTHON) here: install Python 3.11 or newer, or say make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed and $(PYTHON) is " + sys.version.split()[0] + ": try make PYTHON=python3.11")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python lacks its venv module: install the package python3-venv (as root: apt-get install python3-venv)"; exit 1; }
	@echo "Installing what requirements-dev.txt lists into $(VENV): this takes about a minute"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@
