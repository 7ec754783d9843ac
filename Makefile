# `make demo` and `make test` each work alone: the first one makes .venv with the pinned packages.
# To take packages from elsewhere, use pip's own variables. On Linux without a GPU, for example,
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
# takes the build of torch without the GPU libraries.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
SOURCES := imug_tts analysis experiments tests docs/conf.py

# The first Python that is new enough and can make environments; PYTHON=... chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

.PHONY: help install demo test suite fuzz simulate docs check format clean

help:
	@echo "make demo   run the study on this machine and show it"
	@echo "make test   lint, types and tests"
	@echo "make suite  tests only"
	@echo "make fuzz   search new random examples in the property tests"
	@echo "make simulate   ask intervals and claims of thousands of simulated studies"
	@echo "make docs   build the documentation in build/docs, without a network"
	@echo "make check  lint and types only"
	@echo "make clean  remove runs and caches, and the environment"

install: $(READY)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt install python3-venv); choose one with make PYTHON=..."; exit 1; }
	@echo "Installing the packages pinned in constraints.txt into $(VENV) (once; a few minutes at most)"
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -e '.[analysis,apis,models,serve,wandb,docs,dev]' -c constraints.txt
	@touch $@

demo: $(READY)
	$(BIN)/python experiments/run.py -m experiment=demo
	$(BIN)/python -m analysis runs/demo

test: check suite

# A file's tests stay in one process, because they share what they make; the files go by their order.
suite: $(READY)
	$(BIN)/python -m pytest -q -n logical --dist loadfile --no-loadscope-reorder

fuzz: $(READY)
	$(BIN)/python -m pytest -q -m hypothesis --hypothesis-profile=fuzz

simulate: $(READY)
	$(BIN)/python -m tests.analysis.simulation --studies 1000

docs: $(READY)
	$(BIN)/python -m sphinx -n -W --keep-going -q -b html docs build/docs
	@echo "open build/docs/index.html"

check: $(READY)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:
	rm -rf build runs .mypy_cache .pytest_cache .ruff_cache .hypothesis $(VENV)
