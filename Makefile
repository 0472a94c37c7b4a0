# `make demo` and `make test` need only Python 3.11-3.13 and make: the rest is fetched into .venv.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test lint format docs ablations benchmarks bench-views lock clean

# The first interpreter that really runs (version managers leave commands that only complain).
PYTHON := $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14); print(sys.executable)' \
	2>/dev/null && break; done)
UV := $(or $(shell uv --version >/dev/null 2>&1 && command -v uv),.venv-uv/bin/uv)
BIN := .venv/bin
INSTALL := $(UV) pip install --quiet --python $(BIN)/python

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.installed  ## pretrain BYOL on 20,000 real images, measure it, write runs/demo/report.html
	$(BIN)/ownlatent demo --out runs/demo

test: lint  ## lint, check types and run every test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lint: .venv/.installed  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.installed  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.installed  ## build the site into build/site
	$(INSTALL) --constraint requirements.lock --editable '.[docs]'
	$(BIN)/python scripts/pages.py
	$(BIN)/zensical build --clean --strict
	$(BIN)/python scripts/pages.py --check build/site

ablations: .venv/.installed  ## the papers' claims as experiments (SCALE=tiny, cpu or gpu)
	$(BIN)/python -m benchmarks.ablations --scale $(or $(SCALE),cpu) $(ARGS)

benchmarks: .venv/.installed .venv-benchmark/.installed  ## every figure in docs/ again (DATA=folder)
	$(BIN)/python benchmarks/everything.py $(or $(DATA),data) $(ARGS)

bench-views: .venv-benchmark/.installed  ## compare the views with three libraries' on this machine
	.venv-benchmark/bin/python -m benchmarks.views $(ARGS)

setup: .venv/.installed  ## only build the environment

lock: | $(UV)  ## rewrite requirements.lock (ARGS=--upgrade for newer versions)
	$(UV) pip compile --quiet --universal --python-version 3.11 --extra track --extra dev \
		--no-annotate --no-emit-index-url --custom-compile-command "make lock" $(ARGS) \
		--output-file requirements.lock pyproject.toml

clean:  ## remove the environments and caches; runs/ stays
	rm -rf .venv .venv-uv .venv-benchmark .mypy_cache .pytest_cache .ruff_cache
	find src tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/python
	$(UV) pip sync --python $(BIN)/python requirements.lock
	$(INSTALL) --no-deps --editable .
	@touch $@

# An environment of their own: what the peers bring must not change what is tested.
.venv-benchmark/.installed: requirements.lock pyproject.toml | $(UV)
	rm -rf .venv-benchmark
	$(UV) venv --quiet --python "$(or $(PYTHON),3.11)" .venv-benchmark
	$(UV) pip install --quiet --python .venv-benchmark/bin/python --constraint requirements.lock \
		--editable '.[benchmark]'
	@touch $@

.venv/bin/python: | $(UV)
	@echo "Setting up .venv: with nothing cached this fetches about 5 GB, most of it torch."
	rm -rf .venv
	$(UV) venv --quiet --python "$(or $(PYTHON),3.11)" .venv

.venv-uv/bin/uv:
	@test -n "$(PYTHON)" || { echo "Install Python 3.11, 3.12 or 3.13, or uv."; exit 1; }
	@"$(PYTHON)" -m venv .venv-uv || { echo "Install Python's venv module (Debian: python3-venv), or uv."; exit 1; }
	.venv-uv/bin/python -m pip install --quiet uv
