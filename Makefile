# Two commands for a fresh machine: `make demo` and `make test`. Each sets up what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PORT ?= 8000

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-all lint peers bench docs fix clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## Set everything up and serve examples/notes on port 8000 (PORT=... for another)
	@scripts/demo $(BIN) $(PORT)

test: $(READY) lint ## Set everything up, lint, and run the tests
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not heavy"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-all: $(READY) ## Run the heavy tests and the published suites of FastAPI and Starlette
	@scripts/setup-browser
	@scripts/setup-nginx
	$(BIN)/pytest -m heavy --ignore tests/integration/running
	$(BIN)/pytest -m heavy --numprocesses 2 tests/integration/running
	scripts/test-pythons $(VENV)
	$(BIN)/python scripts/peer-suites

lint: $(READY) ## Check style, types and the floors of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

fix: $(READY) ## Format, and mend what Ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

peers: $(READY) ## Run the published suites of FastAPI and Starlette with SturdyAPI in place
	$(BIN)/python scripts/peer-suites

bench: $(READY) ## Print what SturdyAPI costs, as ratios to bare FastAPI and Uvicorn
	$(BIN)/python benchmarks/requests_in_process.py
	$(BIN)/python benchmarks/dependencies.py
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/serving.py

docs: $(READY) ## Build the site into site/
	$(BIN)/pip install --quiet --group docs
	$(BIN)/python scripts/generate-docs
	$(BIN)/mkdocs build --strict

$(READY): pyproject.toml scripts/setup
	@scripts/setup "$(PYTHON)" "$(VENV)"
	@touch $@

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(VENV)-* .coverage* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .peer-suites site dist
