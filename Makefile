# Everything a newcomer needs: `make demo`, `make test`, `make check`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: install check lint types fence test test-all focus validator demo bench lock clean

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

lock: ## refresh requirements.lock from pyproject.toml
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header infra/docker/build.in -o infra/docker/build.lock

check: lint types fence ## what CI runs before the tests

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

fence: install
	$(BIN)/lint-imports

# These need nothing but a core. The others have brokers, engines and clocks: two files at a time, each with stacks of
# its own; in the order of their names, which has the long ones first.
PURE := tests/unit tests/contract
SIDE_BY_SIDE := -n 2 --dist loadgroup --no-loadscope-reorder

test: install ## proves the product, about a quarter of an hour on two cores
	$(BIN)/pytest -m "not long" -n auto $(PURE)
	$(BIN)/pytest -m "not long" $(SIDE_BY_SIDE) $(PURE:%=--ignore=%)

test-all: test ## the long ones too, one by one: faults at length, evaluation, benchmarks
	$(BIN)/pytest -m long

# The public FOCUS validator needs Python 3.12 or 3.13 and packages older than ours: it lives in .focus.
FOCUS_PYTHON ?= $(firstword $(foreach p,python3.12 python3.13 $(wildcard $(HOME)/.pyenv/versions/3.1[23].*/bin/python3),\
  $(shell $(p) -c 'import sys; print(sys.executable)' 2>/dev/null)))

focus: install .focus/bin/focus-validator ## our FOCUS export before the public validator
	$(BIN)/pytest tests/integration/test_focus.py

validator: ## what `make test` checks the export with; says so where there is no Python for it
	@test -z "$(FOCUS_PYTHON)" || $(MAKE) --no-print-directory .focus/bin/focus-validator
	@test -n "$(FOCUS_PYTHON)" || echo "NOT TESTED: no Python 3.12 or 3.13 for the public FOCUS validator"

.focus/bin/focus-validator:
	@test -n "$(FOCUS_PYTHON)" || { echo "no Python 3.12 or 3.13 here; name one: make focus FOCUS_PYTHON=/path/to/python3.12"; exit 1; }
	$(FOCUS_PYTHON) -m venv .focus
	.focus/bin/pip install --quiet --disable-pip-version-check focus-validator==2.2.1 'pyarrow<22'

demo: install
	$(BIN)/spendstream demo

bench: install
	$(BIN)/spendstream bench

clean:
	rm -rf $(VENV) .focus .spendstream .pytest_cache .mypy_cache .ruff_cache
