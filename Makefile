# Each target makes its own environment: a machine needs only make and Python 3.11 or newer.
#   make train                      train E-3DSNN-T on the embedded 3D shapes
#   make train ARGS="--data DIR"    pass options on to `snnjax train`
#   make test                       run the test suite (ARGS="-m slow" runs the long trainings instead)
#   make lint                       ruff, import arrows, types
#   make bench                      measure, one JSON line each, into experiments/bench/results/

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help train test lint format bench clean

help:
	@sed -n '2,/^$$/s/^# *//p' Makefile

# The stamps make a second call instant; a change of pyproject.toml installs again.
$(VENV)/stamp-pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"snnjax needs Python 3.11 or newer; {sys.executable} is {v[0]}.{v[1]}. Run: make PYTHON=python3.12 ...") if v < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	touch $@

$(VENV)/stamp-train: pyproject.toml $(VENV)/stamp-pip
	$(PIP) install --editable '.[viz]'
	touch $@

$(VENV)/stamp-dev: pyproject.toml $(VENV)/stamp-pip
	$(PIP) install --editable '.[viz]' --group dev
	touch $@ $(VENV)/stamp-train

train: $(VENV)/stamp-train
	$(BIN)/snnjax train $(ARGS)

test: $(VENV)/stamp-dev
	$(BIN)/python -m pytest --numprocesses auto --no-loadscope-reorder $(ARGS)

lint: $(VENV)/stamp-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/stamp-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/stamp-train
	$(BIN)/python -m experiments.bench $(ARGS)

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache
