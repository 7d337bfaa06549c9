# `make demo` and `make test` do everything on a fresh machine that has Python 3.11 to 3.13, git and make.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := test
.DELETE_ON_ERROR:
.PHONY: help demo test lint style scenario chaos fuzz format pins docs-cli architecture recipes docs clean

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
READY := $(VENV)/.ready
PYTHONS := $(PYTHON) python3.13 python3.12 python3.11 python3 python
IMAGES :=
WORKERS := auto
RECORD := runs/scenario
CHAOS := --seconds 1800
FUZZ := --count 1000
BASE :=

help: ## Print the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 14

demo: $(READY) ## Translate two sample photographs, or those of IMAGES=FOLDER, and say where to look
	@images="$(IMAGES)"; name=; \
	if [ -n "$$images" ]; then \
	  path=$$(CDPATH= cd "$$images" 2>/dev/null && pwd -P || printf %s "$$images"); \
	  name="_$$(basename "$$path")_$$(printf %s "$$path" | cksum | cut -d ' ' -f 1)"; \
	else \
	  images=$$($(BIN)/python -c 'import importlib.util as u; print(u.find_spec("sklearn").submodule_search_locations[0])')/datasets/images; \
	fi; \
	code=0; $(BIN)/nirgen translate "$$images" "demo/nir$$name" || code=$$?; \
	if [ $$code = 0 ] || [ $$code = 3 ]; then \
	  printf '\nNIR images:    %s\nSide by side:  %s\n' "demo/nir$$name" "demo/nir$$name/preview.png"; \
	fi; \
	exit $$code

test: style ## Run the linters, the types and the tests
	@$(BIN)/python tests/browse/prepare.py
	@types=$$(mktemp); $(BIN)/mypy > "$$types" 2>&1 & mypy=$$!; \
	trap 'kill $$mypy 2> /dev/null || true; rm -f "$$types"' EXIT; \
	code=0; $(BIN)/pytest -n $(WORKERS) --dist worksteal || code=$$?; \
	wait $$mypy || code=$$?; cat "$$types"; exit $$code

lint: style ## Run the linters and the types
	$(BIN)/mypy

style: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo

scenario: $(READY) ## Record in RECORD=FOLDER what fixed commands print and write, and compare it with an older one, BASE=FOLDER
	$(BIN)/python tests/scenario.py record "$(RECORD)"
	@if [ -n "$(BASE)" ]; then $(BIN)/python tests/scenario.py compare "$(BASE)" "$(RECORD)"; fi

chaos: $(READY) ## Run commands under random faults for half an hour (CHAOS="--seconds 60 --seed 7" for another run)
	$(BIN)/python tests/chaos.py $(CHAOS)

fuzz: $(READY) ## Read a thousand changed files (FUZZ="--count 50 --targets model" for another run)
	$(BIN)/python tests/fuzz.py $(FUZZ)

format: $(READY) ## Put the code in form, and mend what can be mended without thinking
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs-cli: $(READY) ## Write docs/cli.md anew from the commands' --help
	$(BIN)/python docs/generate_cli.py

architecture: $(READY) ## Redraw docs/architecture.svg from the imports
	$(BIN)/python docs/generate_architecture.py

recipes: $(READY) ## Write the table of the recipes anew
	$(BIN)/python docs/generate_recipes.py

docs: $(READY) ## Build the documentation as a site
	$(BIN)/mkdocs build --strict
	@printf '\nThe documentation: site/index.html\n'

pins: $(UV) ## Write requirements.txt anew (ARGS=--upgrade takes the newest versions)
	$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make pins" --quiet $(ARGS) -o requirements.txt
	@! grep -nE 'https?:|file:' requirements.txt

clean: ## Remove the environment, the demo's results and the caches
	rm -rf $(VENV) demo dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

# The environment. uv itself is installed from its pin, then everything else by it.
$(READY): requirements.txt pyproject.toml | $(UV)
	@echo "Installing what nirgen needs into $(VENV): several GB, a few minutes the first time"
	@$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)

$(UV):
	@for python in $(PYTHONS); do \
	  if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	  echo "nirgen needs Python 3.11, 3.12 or 3.13, and none is on the PATH ($$(python3 --version 2>&1 || true)); install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "$$found can't make environments; install its venv package (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$found --version)"; \
	$$found -m venv --clear $(VENV)
	@sed -n '/^uv==/,/^ *# via/p' requirements.txt > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
