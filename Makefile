# Everything lives in .venv; nothing is installed elsewhere (but see test-tools).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run setup test test-tools check format lock bench bench-quick fuzz torture clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp ## start Daybook with its embedded stores and import the sample month
	@CsvFilePath=$${CsvFilePath:-data/transactions_1_month.csv} exec $(BIN)/daybook serve

setup: $(VENV)/dev.stamp ## install what development needs

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Daybook needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements/run.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@touch $@

test-tools: ## install the servers that the tests use, where root may (Debian's redis-server)
	@command -v redis-server >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server >/dev/null; } || \
	  echo "redis-server is missing: the tests on Redis 7.0 are skipped (install redis-server)"

test: setup test-tools ## run all tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile

check: setup ## format, lint, types and spelling
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/codespell

format: setup ## put the code into shape
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: setup ## renew the locks in requirements/
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/python requirements/lock.py

$(VENV)/bench.stamp: requirements/bench.txt $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bench.txt
	@touch $@

bench: $(VENV)/bench.stamp ## measure Daybook beside other systems (half an hour); writes docs/benchmarks.md and .svg
	@$(BIN)/python -m benchmarks $(BENCH)

bench-quick: $(VENV)/bench.stamp ## the main parts with a million rows, under a minute; writes nothing
	@$(BIN)/python -m benchmarks --quick $(BENCH)

$(VENV)/fuzz.stamp: requirements/fuzz.txt $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/fuzz.txt
	@touch $@

fuzz: $(VENV)/fuzz.stamp ## look for input that breaks the readers, a minute each (FUZZ="--seconds 600 csv"); Linux only
	@PYTHONPATH=tests $(BIN)/python -m fuzz $(FUZZ)

torture: setup test-tools ## break a running Daybook in every way we know and count what drifts (two hours; TORTURE="--faults 200 --seed 7")
	@PYTHONPATH=tests $(BIN)/python -m torture $(TORTURE)

clean: ## delete everything that was made here, the data of `make run` excepted
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .fuzz dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
