# Two commands: `make demo` runs the whole method in miniature, `make test` checks everything. Each sets itself up.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
WORKSPACE ?= workspace
# One thread: on small shared machines the barriers of a second thread cost more than it brings, and runs repeat bit by bit.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test check setup clean

demo: setup
	$(BIN)/wmsd pipeline --workspace $(WORKSPACE)

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --project pyproject.toml
	$(BIN)/lint-imports
	$(BIN)/pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/pyright --project pyproject.toml
	$(BIN)/lint-imports

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	  || { echo "Python 3.11 or 3.12 is needed; name it with: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch .venv/.ready

clean:
	rm -rf $(WORKSPACE) .pytest_cache .ruff_cache
