# Two commands: `make demo` runs the whole method in miniature, `make test` checks everything. Each sets itself up.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
WORKSPACE ?= workspace
# One thread: on small shared machines the barriers of a second thread cost more than it brings, and runs repeat bit by bit.
export OMP_NUM_THREADS ?= 1

# vLLM pins other versions than we do, so it gets an environment of its own.
VLLM := .venv-vllm
# pip must not be content with a CUDA wheel that breaks transformers on a CPU; vLLM works without these two.
VLLM_BROKEN := torchaudio torchcodec

# One more than cores: a quarter of their time workers wait, for servers, browsers and what was killed.
WORKERS = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# Stores of tests lie in memory where there is room for them, and for programs: each write to one waits for the disk.
TESTED_IN = $(shell ! grep -q '/dev/shm .*noexec' /proc/mounts 2>/dev/null && \
  [ "$$(df -k --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 4000000 ] 2>/dev/null && echo PYTEST_DEBUG_TEMPROOT=/dev/shm)

.PHONY: demo test check units ui-test audit mutants setup vllm-test clean

demo: setup
	$(BIN)/wmsd pipeline --workspace $(WORKSPACE)

# Beside one another: pyright needs a core for a minute.
test: setup
	+@$(MAKE) --no-print-directory --jobs 2 check units

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --project pyproject.toml
	$(BIN)/lint-imports

units: setup
	$(TESTED_IN) $(BIN)/pytest --numprocesses $(or $(JOBS),$(WORKERS)) --maxprocesses 4 --dist loadfile

# By clicking in the system's Chromium: Prefect's UI as `wmsd up` serves it, and the pages to look through. `make test` does it too.
ui-test: setup
	@command -v chromium chromium-browser >/dev/null || { echo "Chromium is needed: apt-get install chromium"; exit 1; }
	$(BIN)/pytest tests/deployments/test_served.py tests/bench/test_viewer.py tests/worldtasks/test_browser.py --durations=5

# Known vulnerabilities among the versions of constraints.txt, where the database of them is reached; elsewhere it says so. It is
# the Open Source Vulnerabilities project's: pip-audit's other one, PyPI, passes over what a mirror does not tell of.
DATABASE ?= https://api.osv.dev/v1/query
audit: setup
	@if $(BIN)/python -m deployments.audit $(DATABASE); then \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,audit]' && \
	  $(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --progress-spinner off \
	    --vulnerability-service osv --osv-url $(DATABASE); \
	fi

# Small faults put into objectives, sampling, rewards and statistics, one at a time: those that no test notices are listed.
mutants: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,mutants]'
	rm -rf mutants
	$(BIN)/mutmut run --max-children $(or $(JOBS),1)
	$(BIN)/mutmut results

# The client against a real vLLM server on this machine's CPU (3.5 GB of disk; 3 minutes, the first time).
vllm-test: setup $(VLLM)/.ready
	WMSD_VLLM_PYTHON=$(abspath $(VLLM)/bin/python) $(BIN)/pytest tests/vlm/test_vllm.py -s

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	  || { echo "Python 3.11 or 3.12 is needed; name it with: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch .venv/.ready

$(VLLM)/.ready: deployments/vllm/requirements.txt
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --requirement deployments/vllm/requirements.txt
	$(VLLM)/bin/python -m pip uninstall --quiet --yes $(VLLM_BROKEN)
	# Without its dependencies: only for the shim that lets a CPU torch import torchvision.
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(VLLM)/.ready

clean:
	rm -rf $(WORKSPACE) .pytest_cache .ruff_cache mutants
